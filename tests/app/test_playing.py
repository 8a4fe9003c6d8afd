"""Playing a programming run on the page: sliders, picture, buttons, and what comes next."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from app import next_steps, program_tab
from app.components import Components
from app.known import Known
from app.looks import Looks
from app.open_runs import OpenRuns
from app.page import Page
from app.playing import kept_name, look, play, played_for
from app.skills import example_html
from app.texts import Texts
from manticore.names import TASKS
from manticore.programming.trust import Trust
from manticore.runs import Run
from manticore.store.files import write_json
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER
from manticore.views.skills import MIXES, mixture_html, skill_html, skills_of, trust_html
from tests.tiny_runs import PROGRAMMED, programming_run

FOUND = {PROGRAMMED[0]: [[1.0, 0.0], [0.5, 0.5]], PROGRAMMED[1]: [[0.2, 0.8], [0.5, 0.5]]}
HYBRID = (["zoo:a", "zoo:b"], 2)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has searched two of six tasks, with the results that its events end with."""
    made = programming_run(tmp_path)
    tasks = {
        task: {
            "accuracy": 0.5,
            "guessing": 0.1,
            "mixture_weights": alpha,
            "setting": {"task": task},
        }
        for task, alpha in FOUND.items()
    }
    own = [[(2 * 1.0 + 0.2) / 3, 0.8 / 3], [0.5, 0.5]]  # at the weights 1 and 0.5
    metrics = {"mixture_weights": own, "tasks": tasks, "best_task": PROGRAMMED[0]}
    write_json(made.folder / RESULT_FOLDER / METRICS_FILE, metrics | {"agreement": 0.25})
    return made


def values(**weights: float) -> list[float]:
    named = {task.replace("-", "_"): task for task in TASKS}
    chosen = {named[name]: weight for name, weight in weights.items()}
    return [chosen.get(task, 0.0) for task in TASKS]


def played(run: Run, **weights: float) -> list[Any]:
    return play(OpenRuns(run.folder.parent), run.id, *HYBRID, *values(**weights))


def test_a_slider_combines_the_results_again(run: Run) -> None:
    picture, search, keep, mixed = played(run, in_context_recall=0.25, memorization=0.75)
    assert mixed["id"] == run.id
    assert mixed["weights"][0] == pytest.approx([0.4, 0.6])
    assert "40%" in picture
    assert "recall 25%, memorization 75%" in picture
    assert keep.interactive
    assert search.value == "Search again"
    # At its own task weights the run is as it was found, and there is nothing to keep.
    _, _, keep, mixed = played(run, in_context_recall=1.0, memorization=0.5)
    assert mixed == {"id": run.id, "weights": None}
    assert not keep.interactive


def test_what_was_not_searched_does_not_count_and_is_offered(run: Run) -> None:
    picture, search, _, mixed = played(run, in_context_recall=0.5, compression=1.0)
    assert search.value == "Search compression"
    assert mixed["weights"] == FOUND[PROGRAMMED[0]]
    assert "compression" not in picture
    several = {"compression": 1.0, "selective_copying": 1.0, "fuzzy_in_context_recall": 1.0}
    picture, search, keep, mixed = played(run, **several)
    assert search.value == "Search 3 more skills"
    assert "Raise the weight of a skill" in picture
    assert mixed is None
    assert not keep.interactive


def test_another_hybrid_is_searched_anew(run: Run) -> None:
    opened = OpenRuns(run.folder.parent)
    other = play(opened, run.id, ["zoo:a", "zoo:c"], 2, *values(memorization=1.0))
    assert other[1].value == "Search 1 skill"
    assert other[-1] is None
    assert played_for(run, ["zoo:a", "zoo:b"], 3) is None


def test_the_tab_follows_the_run_that_is_shown(run: Run) -> None:
    opened = OpenRuns(run.folder.parent)
    weights = values(compression=1.0)
    shown = look(opened, run.id, ["zoo:x"], 1, None, *weights)
    assert shown[0].value == ["zoo:a", "zoo:b"]
    assert shown[1].value == 2
    assert shown[2:8] == values(in_context_recall=1.0, memorization=0.5)
    states = dict(zip(TASKS, shown[8:14], strict=True))
    assert "50% right, 10% by chance" in states["memorization"]
    assert "not searched yet" in states["compression"]
    assert "Move a slider" in shown[14]
    again = look(opened, run.id, *HYBRID, shown[-1], *weights)
    assert isinstance(again, dict), "Gradio's word for nothing new"
    # Somebody looks at other components, and then comes back to these.
    other = look(opened, run.id, ["zoo:x", "zoo:y"], 2, shown[-1], *weights)
    assert "then search them" in other[14]
    assert not other[15].visible
    elsewhere = look(opened, None, *HYBRID, other[-1], *weights)
    assert "a + b has been searched already" in elsewhere[14]
    assert elsewhere[15].visible


def test_a_running_search_shows_accuracies_so_far(tmp_path: Path) -> None:
    run = programming_run(tmp_path, "stopped", upto=14)
    events = run.events()
    skills = skills_of(events, {}, "running")
    assert list(skills) == [PROGRAMMED[0]]
    assert "so far" in skill_html(skills[PROGRAMMED[0]])
    assert "so far" not in skill_html(skills_of(events, {}, "stopped")[PROGRAMMED[0]])


def test_mixture_weights_are_kept_as_a_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def keep(run: Run, weights: dict[str, float], name: str, owner: str | None) -> Run:
        asked.update(run=run.id, weights=weights, name=name, owner=owner)
        return run

    monkeypatch.setattr(program_tab, "keep_weights", keep)
    page = Page(
        runs=OpenRuns(run.folder.parent),
        shown=gr.Dropdown(),
        asking=gr.State(),
        texts=Texts(),
        components=Components(),
        known=Known(),
        users=None,
        at_once=1,
        tab_of=str,
        takes_runs=False,
        looks=Looks(""),
    )
    chosen = program_tab._keep(page, run.id, "ana", *HYBRID, *values(memorization=0.5))
    assert chosen.value == run.id
    assert asked["weights"]["memorization"] == 0.5
    assert asked["owner"] == "ana"
    assert asked["name"] == "a + b: memorization 100%"


def test_a_long_name_is_cut(run: Run) -> None:
    found = played_for(run, *HYBRID)
    assert found is not None
    assert len(kept_name(found, dict.fromkeys(TASKS, 1.0))) <= 120


def test_next_steps_are_for_a_programmed_hybrid(run: Run, tmp_path: Path) -> None:
    block, words, text = next_steps.show(run)
    assert block.visible
    assert "The hybrid is programmed" in words
    assert text == "bundled:stories-mixed"
    stopped = programming_run(tmp_path / "other", "stopped", upto=6)
    for other in (None, stopped):
        assert not next_steps.show(other)[0].visible


@pytest.mark.parametrize(
    ("share", "says"),
    [(0.7, "They suit the text"), (0.3, "They do not suit"), (0.51, "Little to gain")],
)
def test_trust_is_told_in_words_with_its_evidence(share: float, says: str) -> None:
    skills = {"memorization": 0.3, "compression": 0.1}
    alone, shares = {"<a>": 12.3, "b": 45.6}, {"<a>": share, "b": 1 - share}
    trust = Trust(0.9, 0.125, skills, ("mine",), alone, shares)
    told = trust_html(trust, {"memorization": 1.0, "compression": 1.0, "mine": 2.0}, "<a text>")
    assert says in told
    assert told.count("&lt;a&gt;") == 2
    assert f"{share:.0%}" in told
    assert "12.3" in told
    assert "0.90" in told
    assert "75%" in told
    assert "not counted" in told
    assert "<a text>" not in told


def test_every_mix_is_of_tasks_and_every_task_has_an_example() -> None:
    assert all(set(tasks) <= set(TASKS) for tasks in MIXES.values())
    for task in TASKS:
        assert "worked-example" in example_html(task)
        assert " open" in example_html(task, 3)


def test_nothing_of_a_component_becomes_markup() -> None:
    assert "<img" not in mixture_html([[0.5, 0.5]], ["<img>", "b"])
