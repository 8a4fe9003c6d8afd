"""A run can be done again from its config.json alone, to the last bit, or it says why not."""

import json
import shutil

import numpy as np
import pytest
import torch

import manticore as mc
from manticore.runs import RunConfig, start_run
from manticore.runs.run import runs
from tests.recipes.conftest import TRAINING
from tests.tiny_runs import do_here

SMALL = {**TRAINING, "device": "cpu", "launch": False}
LORA = {"rank": 2, "dropout": 0.2}


@pytest.fixture
def hybrid(at):
    # What a configuration cannot tell unless it is noted: seed, kind and tokenizer.
    parts = ["zoo:tiny-neox", "zoo:tiny-mamba"]
    return mc.build_hybrid(parts, 2, projector_init="random", seed=5, tokenizer_from=1)


@pytest.fixture
def data(at, hybrid):
    return mc.load_text(at / "text.txt", tokenizer=hybrid.tokenizer, seq_len=16)


def config_alone(run, at):
    """The configuration of a run in a folder of its own; the run is gone, and those before it."""
    alone = at / f"{run.id}.json"
    shutil.copy(run.folder / "config.json", alone)
    for each in runs():
        each.delete()
    return alone


def assert_same(run, other):
    np.testing.assert_array_equal(run[0], other.losses()[1])
    np.testing.assert_array_equal(run[1], other.mixture_history())


def traces(run):
    return run.losses()[1], run.mixture_history()


def test_a_search_from_its_configuration_alone(hybrid, data, at):
    hybrid.set_mixture_weights([0.3, 0.7])
    run = do_here(mc.search(hybrid, data, **SMALL | {"steps": 4}, mixture_lr=0.3, seed=2))
    assert run.config.projector_init == "random"
    before = traces(run)
    again = mc.reproduce(config_alone(run, at)).wait(240)
    assert_same(before, again)
    assert again.config == run.config


def test_a_stage_after_others_does_those_again(hybrid, data, at):
    searched = do_here(mc.search(hybrid, data, **SMALL, mixture_lr=0.3))
    options = SMALL | {"steps": 4, "component_lr": 1e-2}
    tuned = do_here(mc.finetune(searched, data, **options, lora=LORA))
    before = traces(tuned)
    assert_same(before, mc.reproduce(tuned.id).wait(240))
    watched = []
    alone = config_alone(tuned, at)
    again = mc.reproduce(alone, watch=lambda run: watched.append(run.wait(240))).wait(240)
    assert [run.config.stage for run in watched] == ["search"]
    assert_same(before, again)


def test_what_was_begun_for_a_reproduction_is_gone_on_with(hybrid, data, at):
    searched = do_here(mc.search(hybrid, data, **SMALL | {"steps": 4}, mixture_lr=0.3))
    alone = config_alone(mc.finetune(searched, data, **SMALL), at)

    def leave(run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mc.reproduce(alone, watch=leave)
    (begun,) = runs()
    begun.kill()
    again = mc.reproduce(alone, watch=lambda run: run.wait(240))
    assert [run.config.stage for run in runs()] == ["finetune", "search"]
    assert again.config.start.parent.run == begun.id
    assert again.wait(240).hybrid().mixture_weights.shape == (2, 2)


def test_a_run_that_built_its_own_hybrid(data, at):
    config = RunConfig(
        components=["zoo:tiny-neox", "zoo:tiny-mamba"],
        n_blocks=2,
        projector_init="identity",
        data={"source": str(at / "text.txt"), "seq_len": 16},
        device="cpu",
        search=TRAINING,
    )
    run = do_here(start_run(config, launch=False))
    before = traces(run)
    assert_same(before, mc.reproduce(config_alone(run, at)).wait(240))


def test_weights_changed_by_hand_are_in_the_folder_or_nowhere(hybrid, data, at):
    with torch.no_grad():
        next(hybrid.projectors.parameters()).mul_(1.5)
    run = do_here(mc.search(hybrid, data, **SMALL))
    before, digest = traces(run), run.config.start.digest
    assert_same(before, mc.reproduce(run.folder).wait(240))
    alone = config_alone(run, at)
    with pytest.raises(ValueError, match="built from the components has other weights"):
        mc.reproduce(alone)
    other = mc.reproduce(alone, inexact=True)
    other.kill()
    assert other.config.start.digest != digest


def test_a_hybrid_from_elsewhere_is_in_the_folder_or_nowhere(hybrid, data, at):
    hybrid.save_pretrained(at / "saved")
    loaded = mc.ManticoreForCausalLM.from_pretrained(at / "saved")
    run = mc.search(loaded, data, **SMALL)
    run.kill()
    config = json.loads((run.folder / "config.json").read_text())
    mc.reproduce(run).kill()
    alone = at / "alone.json"
    alone.write_text(json.dumps(config))
    with pytest.raises(FileNotFoundError, match="made elsewhere"):
        mc.reproduce(alone)


def test_another_text_is_refused(hybrid, at):
    text = at / "changing.txt"
    text.write_text((at / "text.txt").read_text())
    data = mc.load_text(text, tokenizer=hybrid.tokenizer, seq_len=16)
    run = mc.search(hybrid, data, **SMALL)
    run.kill()
    text.write_text(text.read_text().replace("fox", "owl"))
    with pytest.raises(ValueError, match=r"changing\.txt has changed since"):
        mc.reproduce(run)
    mc.reproduce(run, inexact=True).kill()


@pytest.mark.parametrize("where", ["run", "the run before", "how that one was built, before"])
def test_a_configuration_does_not_decide_to_run_code_from_elsewhere(hybrid, data, at, where):
    searched = do_here(mc.search(hybrid, data, **SMALL))
    tuned = mc.finetune(searched, data, **SMALL)
    tuned.kill()
    config = json.loads((tuned.folder / "config.json").read_text())
    run = config["start"]["parent"]["config"] if "before" in where else config
    (run["start"]["built"] if "built" in where else run)["trust_remote_code"] = True
    alone = at / "trusting.json"
    alone.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="--trust-remote-code"):
        mc.reproduce(alone)
    mc.reproduce(alone, trust_remote_code=True).kill()


@pytest.mark.parametrize("what", ["no/such.json", "20990101-000000000-x"])
def test_what_is_not_there_is_named(at, what):
    with pytest.raises((FileNotFoundError, KeyError), match=what.replace(".", r"\.")):
        mc.reproduce(what)


def test_programming_is_done_again_from_its_configuration_alone(tmp_path):
    parts = [f"scratch:{family}?width=32&length=16" for family in ("gpt_neo", "mamba")]
    hybrid = mc.build_hybrid(parts, projector_init="identity")
    tiny = {"memorization": {"vocabulary": 16, "length": 8, "test_examples": 16}}
    options = {"settings": tiny, "batch_size": 4, "mixture_lr": 0.3, "device": "cpu"}
    options |= {"root": tmp_path / "runs", "launch": False}
    run = do_here(mc.program(hybrid, ["memorization"], 3, **options))
    alone = tmp_path / "config.json"
    alone.write_bytes((run.folder / "config.json").read_bytes())
    again = mc.reproduce(alone, root=tmp_path / "elsewhere").wait(240)
    assert again.losses()[1].tolist() == run.losses()[1].tolist()
    assert again.metrics() == run.metrics()
