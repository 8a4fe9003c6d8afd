"""New runs out of a programming run: with other task weights, and with more tasks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import manticore as mc
from manticore.programming.recombining import with_weights
from manticore.runs import Run, RunConfig, programmed, start_run
from manticore.runs.programmed import keep_weights, programmed_before, results_of, search_more
from tests.tiny_runs import do_here

SIZE = {"length": 8, "train_examples": 32, "test_examples": 16}
TASKS = ["in-context-recall", "memorization", "compression"]
STEPS = 2


@pytest.fixture(scope="module")
def run(component: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    parts = [component("gpt_neox", layers=2), component("mamba", width=24)]
    hybrid = mc.build_hybrid(parts, 2, projector_init="identity")
    root = tmp_path_factory.mktemp("runs")
    options = {"batch_size": 8, "eval_every": 2, "mixture_lr": 0.3, "device": "cpu"}
    options |= {"settings": dict.fromkeys(TASKS[:2], SIZE), "root": root, "launch": False}
    return do_here(mc.program(hybrid, dict.fromkeys(TASKS[:2], 1.0), STEPS, **options))


def test_kept_mixture_weights_are_those_of_the_task_weights(run: Run) -> None:
    found = results_of(run)
    assert found is not None
    assert set(found) == set(TASKS[:2])
    kept = keep_weights(run, {TASKS[0]: 1.0, TASKS[1]: 3.0, TASKS[2]: 1.0}, "kept")
    alphas = [torch.tensor(found[task]["mixture_weights"]) for task in TASKS[:2]]
    mean = (alphas[0] + 3 * alphas[1]) / 4
    torch.testing.assert_close(kept.hybrid().mixture_weights, mean)
    assert not torch.equal(run.hybrid().mixture_weights, mean)
    assert kept.status.state == "done"
    assert kept.config.name == "kept"
    assert kept.config.options.tasks == {TASKS[0]: 1.0, TASKS[1]: 3.0}
    torch.testing.assert_close(torch.tensor(kept.mixture_history()[-1]).float(), mean)
    assert len(kept.mixture_history()) == len(run.mixture_history())
    # It is fine-tuned like the run that it comes from, and played again.
    start, before = kept.hybrid_to_finetune(), run.hybrid_to_finetune()
    torch.testing.assert_close(start.mixture_weights, mean)
    start.set_mixture_weights(before.mixture_weights)
    assert all(torch.equal(start.state_dict()[k], v) for k, v in before.state_dict().items())
    alone = keep_weights(kept, {TASKS[0]: 0.2})
    assert results_of(alone) == found
    torch.testing.assert_close(alone.hybrid().mixture_weights, alphas[0])


def test_a_kept_run_of_equal_weights_is_the_run(run: Run) -> None:
    kept = keep_weights(run, dict(run.config.options.tasks))
    assert kept.metrics() == run.metrics()
    assert with_weights(run.config.options, run.metrics()["tasks"], run.config.options.tasks) == (
        run.config.options
    )


@pytest.mark.parametrize("weights", [{}, dict.fromkeys(TASKS[:2], 0.0), {TASKS[2]: 1.0}])
def test_without_a_searched_task_nothing_is_kept(run: Run, weights: dict[str, float]) -> None:
    before = sorted(run.folder.parent.iterdir())
    with pytest.raises(ValueError, match="have the weight 0: raise"):
        keep_weights(run, weights)
    assert sorted(run.folder.parent.iterdir()) == before


def test_more_tasks_are_searched_and_the_others_are_not(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    monkeypatch.setattr(programmed, "spawn_worker", lambda folder, at_once: started.append(folder))
    small = {"vocabulary": 4, "length": 4, "train_examples": 32, "test_examples": 16}
    monkeypatch.setitem(run.config.options.settings, TASKS[2], small)
    more = search_more(run, {TASKS[1]: 1.0, TASKS[2]: 1.0})
    assert started == [more.folder]
    do_here(more)
    found = results_of(more)
    assert found is not None
    assert set(found) == set(TASKS), "the one that does not count now can be played later"
    assert {task: found[task] for task in TASKS[:2]} == run.metrics()["tasks"]
    assert more.metrics()["combined"].keys() == {"mean", "best"}
    mean = torch.tensor([found[task]["mixture_weights"] for task in TASKS[1:]]).mean(dim=0)
    torch.testing.assert_close(more.hybrid().mixture_weights, mean)
    steps = [(e["task"], e["step"]) for e in more.events() if e["kind"] == "step"]
    assert steps == [(TASKS[1], 1), (TASKS[1], 2), (TASKS[2], 3), (TASKS[2], 4)]
    components, n_blocks = run.config.components, run.config.n_blocks
    best = programmed_before(components, n_blocks, run.folder.parent)
    assert best is not None
    assert best.id == more.id
    assert programmed_before(components[::-1], n_blocks, run.folder.parent) is None


def test_only_a_finished_programming_run_has_results(tmp_path: Path, run: Run) -> None:
    config = RunConfig(components=("a", "b"), n_blocks=2, data={"source": "x"})
    other = start_run(config, root=tmp_path, launch=False)
    assert results_of(other) is None
    with pytest.raises(ValueError, match="choose a programming run that is done"):
        keep_weights(other, {TASKS[0]: 1.0})
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.id]
