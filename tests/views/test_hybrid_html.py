"""A hybrid in a notebook, and in one line."""

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from manticore import build_hybrid
from manticore.hybrid.routing import RouterSettings


@pytest.mark.parametrize("routed", [False, True])
def test_a_row_for_each_component(component: Callable[..., str], routed: bool) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    hybrid = build_hybrid(parts, n_blocks=2, mixture_weights=[[0.25, 0.75], [1.0, 0.0]])
    if routed:
        hybrid.add_router(RouterSettings(8))
    table = ElementTree.fromstring(hybrid._repr_html_())
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    assert rows[0] == ["component", "family", "parameters", "block 1", "block 2"]
    assert [row[1] for row in rows[1:]] == ["GPT-NeoX", "Mamba"]
    assert [row[3:] for row in rows[1:]] == [["25%", "100%"], ["75%", "0%"]]
    assert [cell.get("title") for cell in table.iter("td")][3] in {"layer 1", "layers 1 to 2"}
    said = "".join(table.find("caption").itertext())
    assert ("follow the text" in said) == routed
    line = repr(hybrid)
    assert "\n" not in line
    assert "2 blocks, linear projectors" in line
    assert ("routed" in line) == routed


def test_a_deep_hybrid_says_how_many_blocks_are_left_out(component: Callable[..., str]) -> None:
    hybrid = build_hybrid([component("gpt_neox", layers=18)], projector_init="identity")
    markup = hybrid._repr_html_()
    assert markup.count("<th ") == 3 + 16
    assert "2 more blocks" in markup
