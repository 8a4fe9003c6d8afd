"""`hybrid.mix()` as a Python object: what the front end asks, and what cells do meanwhile."""

from collections.abc import Callable

import pytest
import torch

import manticore as mc
from manticore import ManticoreForCausalLM, build_hybrid, load_text
from manticore.evaluate.by_hand import perplexity_at
from manticore.hybrid.routing import RouterSettings
from manticore.views.diagram.by_hand import beginnings
from manticore.views.notebook.mixing import HybridWidget
from tests.tiny import TEXT

SOME = [[0.25, 0.75], [1.0, 0.0]]


@pytest.fixture
def hybrid(component: Callable[..., str]) -> ManticoreForCausalLM:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    return build_hybrid(parts, n_blocks=2, mixture_weights=[[0.5, 0.5], [0.5, 0.5]])


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    sent: list[dict] = []
    monkeypatch.setattr(HybridWidget, "send", lambda _self, content: sent.append(content))
    return sent


@pytest.fixture
def widget(hybrid: ManticoreForCausalLM, tmp_path, told: list[dict]) -> HybridWidget:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 80))
    return hybrid.mix(load_text(text, tokenizer=hybrid.tokenizer, seq_len=32), prompt="The fox")


def ask(widget: HybridWidget, number: int, weights: list[list[float]] | None) -> None:
    widget._handle_custom_msg({"number": number, "weights": weights}, [])


def test_dragging_changes_the_hybrid_and_tells_what_it_does(widget, hybrid, told) -> None:
    assert widget.scene["editable"]
    assert widget.mixed is None
    ask(widget, 1, SOME)
    assert hybrid.mixture_weights.tolist() == widget.mixed == SOME
    assert torch.equal(widget.mixture_weights, hybrid.mixture_weights)
    (answer,) = told
    assert answer["number"] == 1
    assert answer["perplexity"] == pytest.approx(perplexity_at(hybrid, widget._ids))
    assert answer["prompt"] == "The fox"
    assert answer["compared"][0][0] == "as found"
    ask(widget, 2, None)
    assert hybrid.mixture_weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert widget.mixed is None
    assert told[1]["perplexity"] == pytest.approx(answer["compared"][0][1])


def test_what_a_cell_sets_is_shown(widget, hybrid) -> None:
    hybrid.set_mixture_weights(SOME)
    widget._look()
    assert widget.mixed == SOME


def test_wrong_mixture_weights_are_refused_in_words(widget, hybrid, told) -> None:
    ask(widget, 1, [[2.0, -1.0], [0.5, 0.5]])
    assert "error" in told[0]
    assert hybrid.mixture_weights.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_back_to_what_was_found_brings_the_router_back(hybrid, told, tmp_path) -> None:
    router = hybrid.add_router(RouterSettings(8))
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 80))
    widget = hybrid.mix(load_text(text, tokenizer=hybrid.tokenizer, seq_len=32))
    ask(widget, 1, SOME)
    assert not hybrid.is_routed
    assert hybrid.config.router is None
    ask(widget, 2, None)
    assert hybrid.mixture is router
    assert hybrid.config.router is not None
    assert widget.mixed is None


def test_a_hybrid_without_words_is_refused(hybrid) -> None:
    with pytest.raises(ValueError, match="give a prompt"):
        hybrid.mix(prompt=" ")
    hybrid.tokenizer = None
    with pytest.raises(ValueError, match="a hybrid with a tokenizer"):
        hybrid.mix()


def test_the_text_is_the_beginning_of_the_held_out_part(widget, hybrid, tmp_path) -> None:
    data = load_text(tmp_path / "text.txt", tokenizer=hybrid.tokenizer, seq_len=32)
    assert torch.equal(widget._ids, beginnings(data))
    assert torch.equal(widget._ids[0], data.valid[0]["input_ids"])


def test_a_text_is_shown_in_colors(hybrid) -> None:
    hybrid.set_mixture_weights(SOME)
    assert hybrid.show_text("The fox").to_html() == mc.show_text(hybrid, "The fox").to_html()
