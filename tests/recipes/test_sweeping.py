"""A sweep refuses what cannot be before it starts, does each trial once, and sums up seeds."""

import json
import sys
from statistics import mean, stdev

import pytest

import manticore as mc
from manticore.runs.run import runs

PLAIN = {"eval_batches": 1}


@pytest.fixture
def plain(recipe):
    """A recipe of one quick stage."""
    return recipe(evaluate=PLAIN).with_options({"projector_init": "random"})


@pytest.mark.parametrize(
    ("vary", "seeds", "says"),
    [
        ({"evaluate.batchsize": [1]}, [0], "Did you mean 'batch_size'"),
        ({"evaluate.batch_size": [1, 0]}, [0], "greater than 0"),
        ({"search.steps": [1]}, [0], "not an option of a stage of this recipe"),
        ({"evaluate.batch_size": []}, [0], "at least one"),
        ({"evaluate.batch_size": [2, 2]}, [0], "each once"),
        ({}, [1, 1], "each once"),
        ({}, [-1], "seed"),
        ({"seed": [1]}, [0], "give the seeds as seeds"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(plain, vary, seeds, says):
    before = len(runs())
    with pytest.raises(ValueError, match=says):
        mc.sweep(plain, vary, seeds)
    assert len(runs()) == before


def test_a_sweep_needs_a_measure(recipe):
    with pytest.raises(ValueError, match="add finetune or evaluate"):
        mc.sweep(recipe(program={"tasks": ["memorization"]}), {"program.steps": [1, 2]})


def test_without_ray_a_cluster_says_what_to_install(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"cluster needs ray: .*manticore-hybrids\[sweep\]"):
        mc.sweep(plain, seeds=[77], address="127.0.0.1:1")


def test_a_trial_on_a_cluster(plain):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    # Its web page, which nobody looks at, is a dozen processes.
    head = {"num_cpus": 2, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        found = mc.sweep(plain, seeds=[5], address=cluster.address)
    finally:
        cluster.shutdown()
    (trial,) = found.trials
    assert trial.error is None
    assert trial.perplexity == mc.get_run(trial.runs[-1]).metrics()["perplexity"]


def test_trials_are_done_once_and_summed_up(plain, at, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    reported = []
    vary = {"mixture_weights": [[[0.9, 0.1]] * 2]}
    found = mc.sweep(plain, vary, [0, 1], report=reported.append)
    assert [trial.seed for trial in found.trials] == [0, 1]
    assert {repr(trial) for trial in reported} == {repr(trial) for trial in found.trials}
    for trial in found.trials:
        (run,) = [mc.get_run(run_id) for run_id in trial.runs]
        assert trial.perplexity == run.metrics()["perplexity"]
        assert run.config.mixture_weights[0] == pytest.approx(trial.setting["mixture_weights"][0])
        assert run.config.start.built.seed == trial.seed
    first = [trial.perplexity for trial in found.trials]
    (row,) = found.by_setting()
    assert (row["seeds"], row["mean"], row["spread"]) == (2, mean(first), stdev(first))
    kept = json.loads(found.path.read_text())
    assert kept["settings"] == found.by_setting()
    assert found.path.parent == at / "runs"

    # All is done: nothing starts.
    before = len(runs())
    assert mc.sweep(plain, vary, [0, 1]) == found
    assert len(runs()) == before


def test_a_trial_that_fails_leaves_the_others(recipe, at):
    found = mc.sweep(
        recipe(evaluate=PLAIN), {"data.source": [str(at / "text.txt"), str(at / "gone.txt")]}
    )
    good, bad = found.trials
    assert good.error is None
    assert bad.perplexity is None
    assert "gone.txt" in bad.error
    assert [row["seeds"] for row in found.by_setting()] == [1, 0]
