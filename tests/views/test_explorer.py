"""`mc.explorer()` as a Python object: what its tabs do, and what it says that it did."""

from pathlib import Path

import pytest
import torch

import manticore as mc
from manticore import ManticoreForCausalLM
from manticore.names import TASKS
from manticore.views.notebook.explorer import Explorer, cell
from tests.app.zoo import use_tiny_zoo
from tests.tiny import TEXT

SOME = [[0.25, 0.75], [1.0, 0.0]]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two tiny bundled components, and a text as the one that diagrams are measured on."""
    use_tiny_zoo(tmp_path, monkeypatch)
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 80))
    monkeypatch.setattr("manticore.views.notebook.explorer.cell.TEXT", str(text))
    return ["zoo:tiny-mamba", "zoo:tiny-neox"]


@pytest.fixture
def explorer(sources: list[str]) -> Explorer:
    found = mc.explorer()
    assert found.hybrid is None, "nothing is bundled for these components"
    assert found.build_tab.components == sources
    found.build_tab.n_blocks.value = 2
    found.build_tab.build()
    return found


def status(explorer: Explorer) -> str:
    return explorer._status.value


def made_by(code: str) -> ManticoreForCausalLM:
    """The hybrid that some code makes."""
    names: dict = {}
    exec(code, names)
    return names["hybrid"]


def test_a_hybrid_is_built_and_mixed_and_the_code_does_the_same(explorer, sources) -> None:
    assert "Building the hybrid" in status(explorer)
    assert explorer.hybrid.config.component_sources == sources
    explorer.mix(SOME)
    assert explorer.mixture_weights.tolist() == SOME
    ids = torch.tensor([[1, 2, 3, 4]])
    again = made_by(explorer.code)
    assert torch.equal(again(ids).logits, explorer.hybrid(ids).logits)
    explorer.mix(None)
    assert "set_mixture_weights" not in explorer.code


def test_components_are_toggled_and_too_many_are_refused(explorer) -> None:
    tab = explorer.build_tab
    tab.buttons["zoo:tiny-mamba"].value = False
    assert tab.components == ["zoo:tiny-neox"]
    for name in ("scratch:gpt_neox", "scratch:mamba", "scratch:llama"):
        tab.other.value = name
    assert len(tab.components) == 4
    tab.buttons["zoo:tiny-mamba"].value = True
    assert "at most 4 components" in status(explorer)
    assert not tab.buttons["zoo:tiny-mamba"].value
    tab.components = ["zoo:nothing"]
    before = explorer.hybrid
    tab.build()
    assert "nothing" in status(explorer)
    assert explorer.hybrid is before, "what was there stays"


def test_a_search_moves_the_diagram_and_ends_with_its_hybrid(explorer) -> None:
    before, scenes = explorer.hybrid, []
    explorer.mix(SOME)
    explorer.diagram.observe(lambda change: scenes.append(change["new"]), "scene")
    tab = explorer.search_tab
    tab.text.value, tab.strategy.value, tab.steps.value = cell.TEXT, "darts", 5
    tab.search()
    assert explorer.run.config.options.steps == 5
    assert tab.begin.disabled, "one run at a time"
    tab.wait()
    assert not tab.begin.disabled
    assert explorer.run.status.state == "done"
    assert scenes
    assert not any(scene["editable"] for scene in scenes), "a run is not mixed by hand"
    assert explorer.hybrid is not before
    assert explorer.chat.hybrid is explorer.hybrid
    assert explorer.diagram.scene["history"], "it can be replayed"
    assert explorer.diagram.scene["editable"]
    code = explorer.code
    assert code.index("set_mixture_weights") < code.index("mc.search")
    assert "eval_every=1" in code
    same = mc.explorer(explorer.run)
    assert same.build_tab.n_blocks.value == 2
    assert torch.equal(same.mixture_weights, explorer.mixture_weights)


def test_skills_are_searched_and_then_played(explorer) -> None:
    tab = explorer.program_tab
    assert tab.played is None
    tab.weigh({})
    tab.search()
    assert "No task has a weight" in status(explorer)
    tasks = list(TASKS)[:2]
    run = explorer.program(dict.fromkeys(tasks, 1.0), 2, settings=SMALL)
    explorer.search_tab.wait()
    assert run.status.state == "done"
    assert tab.played is not None
    found = run.metrics()["tasks"]
    for task in tasks:
        tab.weigh({task: 1.0})
        wanted = torch.tensor(found[task]["mixture_weights"])
        torch.testing.assert_close(explorer.mixture_weights, wanted)
        assert explorer.diagram.mixed is not None
        assert "mc-problem" not in status(explorer), "all sliders move at once"
    assert tab.begin.description == "Search again"
    tab.weigh(dict.fromkeys(TASKS, 1.0))
    assert tab.begin.description == "Search 6 skills"


SMALL = {task: {"train_examples": 64, "test_examples": 32} for task in list(TASKS)[:2]}


def test_a_hybrid_or_a_run_can_be_given_and_nothing_else(explorer) -> None:
    given = mc.explorer(explorer.hybrid)
    assert given.hybrid is explorer.hybrid
    assert "the hybrid that the explorer was opened with" in given.code
    with pytest.raises(TypeError, match="neither a hybrid nor a run"):
        mc.explorer("zoo:tiny-mamba")


def test_what_fails_is_told_and_nothing_is_lost(explorer) -> None:
    before = explorer.hybrid
    explorer.search_tab.text.value = "/nowhere"
    explorer.search_tab.search()
    assert "/nowhere" in status(explorer)
    assert 'class="mc-problem"' in status(explorer)
    assert explorer.hybrid is before
    assert explorer.run is None


def test_it_stays_readable_without_a_kernel(explorer) -> None:
    bundle = explorer._repr_mimebundle_()
    assert "tiny-neox" in bundle["text/html"]
    assert bundle["text/plain"] == f"Explorer({explorer.hybrid!r})"


def test_the_bundled_hybrid_is_there_at_first_and_its_skills_are_played(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(cell, "TEXT", "bundled:stories-mixed?n_stories=20")
    explorer = mc.explorer(root=tmp_path)
    assert explorer.hybrid.is_routed
    assert explorer.diagram.scene["tokens"], "a text is played"
    explorer.program_tab.weigh({"memorization": 1.0})
    found = explorer.program_tab.played.found["memorization"]["mixture_weights"]
    torch.testing.assert_close(explorer.mixture_weights, torch.tensor(found))
    explorer.mix(None)
    assert explorer.hybrid.is_routed, "back to what was found"
