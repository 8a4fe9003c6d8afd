"""A text in the colors of its mixture weights: as data, in a terminal, as HTML and in views."""

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import manticore as mc
from manticore.hybrid.routing import RouterSettings
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views.colored_text import ColoredText, pieces_of
from manticore.views.notebook.outputs import _bundles
from manticore.views.notebook.picture import picture_of
from manticore.views.panels import PANELS, Snapshot, panels_for
from manticore.views.plots import component_colour
from manticore.views.terminal.panel import brief_view, run_view
from manticore.views.terminal.watching import MixtureLines

NAMES = ["zoo:first", "zoo:<second>"]
ENGLISH, SPANISH, EVEN = [[0.75, 0.25], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]], [[0.5, 0.5]] * 2
PROBE = {
    "kind": "probe",
    "step": 0,
    "tokens": ["Once", " <upon>", "", " á", ".\n\n", "Había", " [red]una"],
    "starts": [0, 5],
    "weights": [ENGLISH, ENGLISH, SPANISH, EVEN, ENGLISH, SPANISH, SPANISH],
    "components": NAMES,
}
WORDS = "Once <upon> á.Había [red]una"


def shown(item: Any, color: Any = None, width: int = 200) -> str:
    screen = io.StringIO()
    terminal = color is not None
    Console(file=screen, width=width, force_terminal=terminal, color_system=color).print(item)
    return screen.getvalue()


def plain(text: str) -> str:
    """What a terminal shows, without its colors."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


class Words(HTMLParser):
    """The text of paragraphs as a browser shows it, and what pointing at a word shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.titles, self.inside = "", [], False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside |= tag == "p"
        self.titles += [str(value) for name, value in attrs if name == "title"]

    def handle_endtag(self, tag: str) -> None:
        self.inside &= tag != "p"

    def handle_data(self, data: str) -> None:
        self.words += data.replace("\n", "") if self.inside else ""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that is done, without a process."""
    folder = make_run_folder(
        RunConfig(components=tuple(NAMES), n_blocks=2, data={"source": "x"}), root=tmp_path
    )
    with EventWriter(folder) as events:
        events.emit("stage", name="search", total_steps=0)
        events.emit("fit", router_loss=0.1, router_accuracy=0.987)
        events.emit("mixture", step=0, weights=EVEN, components=NAMES)
        metrics = {"perplexity": 2.5, "components": dict.fromkeys(NAMES, 40.0), "floor": None}
        events.emit("eval", step=0, metrics=metrics)
        events.emit(**PROBE)
    write_status(folder, "done")
    return Run(folder)


def test_a_piece_has_the_component_of_the_greatest_weight_and_its_strength() -> None:
    pieces = list(pieces_of(PROBE["tokens"], PROBE["weights"]))
    assert "".join(piece.text for piece in pieces) == "".join(PROBE["tokens"])
    assert [piece.component for piece in pieces] == [0, 0, 0, 0, 1, 1]
    strengths = [piece.strength for piece in pieces]
    assert strengths == pytest.approx([0.75, 0.75, 0.0, 0.75, 1.0, 1.0])
    assert pieces[0].weights == ENGLISH


def test_one_component_has_its_full_color() -> None:
    (piece,) = pieces_of(["word"], [[[1.0], [1.0]]])
    assert (piece.component, piece.strength) == (0, 1.0)


def test_html_has_the_words_as_they_are_and_the_numbers_behind_them() -> None:
    page = ColoredText.of(PROBE).to_html()
    read = Words(page)
    assert read.words == WORDS
    assert page.count("<p ") == 2, "each passage is a paragraph"
    assert read.titles[0].splitlines() == [
        "first · <second>",
        "block 1: 0.75 · 0.25",
        "block 2: 1.00 · 0.00",
    ]
    assert read.titles[-1].splitlines()[1:] == ["all blocks: 0.00 · 1.00"]
    assert "<second>" not in page
    for k in range(2):
        assert component_colour(k) in page


def test_html_is_stronger_where_the_weight_is_greater() -> None:
    page = ColoredText.of(PROBE).to_html()
    found = re.findall(r"background:rgba\([^)]*, ([\d.]+)\)[^>]* title=", page)
    once, upon, even, end, *spanish = map(float, found)
    assert even < once == upon == end < min(spanish) == max(spanish)


def test_a_terminal_with_colors_shows_colored_words_and_a_legend() -> None:
    text = plain(shown(ColoredText.of(PROBE), "truecolor"))
    assert "Once <upon> á." in text
    assert "Había [red]una" in text
    assert "■ first  ■ <second>" in text
    full = [int(component_colour(1)[i : i + 2], 16) for i in (1, 3, 5)]
    assert f"48;2;{';'.join(map(str, full))}mHabía" in shown(ColoredText.of(PROBE), "truecolor")


def test_without_colors_names_stand_where_the_component_changes() -> None:
    lines = shown(ColoredText.of(PROBE)).splitlines()
    assert lines == ["[first] Once <upon> á. …", "[<second>] Había [red]una"]


def test_a_narrow_terminal_loses_no_word() -> None:
    lines = plain(shown(ColoredText.of(PROBE), "truecolor", 7)).splitlines()
    assert "".join("".join(lines).split()).startswith("Once<upon>á.…Había[red]una")
    assert max(map(len, lines)) <= 7


def test_the_panel_is_there_for_routed_runs_alone(run: Run) -> None:
    draw = PANELS["probe"].figure
    assert Words(str(draw(Snapshot.of(run)))).words == WORDS
    assert draw(Snapshot("", "search", [])) is None
    static = [event for event in run.events() if event["kind"] != "probe"]
    assert draw(Snapshot("x", "search", static)) is None
    assert "probe" not in [panel.name for panel in panels_for("program")]


def test_a_notebook_shows_it_in_the_widget_and_without_a_kernel(run: Run) -> None:
    picture = picture_of(run)
    (drawn,) = (panel for panel in picture.panels if panel.name == "probe")
    assert drawn.as_json()["figure"] == drawn.figure
    bundle = _bundles(picture)["probe"]
    assert Words(bundle["text/html"]).words == WORDS
    assert "Once <upon>" in bundle["text/plain"]


@pytest.mark.parametrize("view", [run_view, brief_view])
def test_the_terminal_shows_it(run: Run, view: Callable[[Run], Any]) -> None:
    text = shown(view(run))
    assert "[<second>] Había [red]una" in text
    assert "2.50" in text


def test_lines_say_how_well_the_router_was_fitted(run: Run) -> None:
    lines = MixtureLines()
    told = [line for event in run.events() for line in lines.of(event)]
    assert any("98.7% of the tokens" in line for line in told)


def test_any_hybrid_shows_a_text(component: Callable[..., str]) -> None:
    hybrid = mc.build_hybrid(
        [component("gpt_neox"), component("mamba")], 2, mixture_weights=[[0.2, 0.8], [0.4, 0.6]]
    )
    text = "Once upon a time the fox said to the bear that it was late"
    static = mc.show_text(hybrid, text)
    (passage,) = static.passages
    assert {piece.component for piece in passage} == {1}
    assert [piece.strength for piece in passage] == pytest.approx([0.4] * len(passage))
    assert Words(static._repr_html_()).words == text
    routed = hybrid.add_router(RouterSettings(width=4))
    torch.manual_seed(0)
    routed.row.data.zero_()
    routed.weight.data.normal_(std=20.0)
    (passage,) = mc.show_text(hybrid, text).passages
    expected = hybrid.mixture_of(text).mean(dim=1).argmax(dim=-1).tolist()
    assert [piece.component for piece in passage] == expected
    assert len(set(expected)) == 2
    assert "".join(repr(mc.show_text(hybrid, text)).split()).startswith("[")


def test_what_cannot_be_shown_is_refused(component: Callable[..., str]) -> None:
    hybrid = mc.build_hybrid([component("gpt_neox")], 2)
    with pytest.raises(ValueError, match="text is empty"):
        mc.show_text(hybrid, "")
    hybrid.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer"):
        mc.show_text(hybrid, "Once")
