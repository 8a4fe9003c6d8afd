"""A recipe's stages are ordinary runs, each from what the one before made, done once each."""

import shutil
import time

import pytest
import torch

import manticore as mc
from manticore.components.places import files_of
from manticore.recipes.running import done_before
from manticore.runs import RunError
from manticore.runs.run import runs
from tests.recipes.conftest import TRAINING
from tests.tiny import TEXT


def changed(before, after):
    """Which parts of the hybrid have other weights."""
    old, new = before.state_dict(), after.state_dict()
    return {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}


def start_of(run):
    return mc.ManticoreForCausalLM.from_pretrained(run.folder / "start")


def test_each_stage_starts_from_what_the_one_before_made_and_is_done_once(recipe):
    stages = {"pretrain-projectors": {}, "search": {"mixture_lr": 0.3}}
    watched = []
    made = mc.run_recipe(recipe(**stages, finetune={}), watch=watched.append)
    assert [run.id for run in watched] == [run.id for run in made]
    pretrained, searched, tuned = made
    assert [run.config.stage for run in made] == [*stages, "finetune"]
    assert changed(start_of(pretrained), pretrained.hybrid()) == {"projectors"}
    assert changed(pretrained.hybrid(), start_of(searched)) == set()
    assert changed(pretrained.hybrid(), start_of(tuned)) == {"mixture"}
    assert torch.equal(start_of(tuned).mixture_weights, searched.hybrid().mixture_weights)

    # The same again takes what is there, by whatever name.
    renamed = recipe(**stages, finetune={}).model_copy(update={"name": "other"})
    assert [run.id for run in mc.run_recipe(renamed)] == [run.id for run in made]
    assert done_before(renamed.with_options({"finetune.steps": 1})) is None
    # Another third stage leaves the first two.
    *first, measured = mc.run_recipe(recipe(**stages, evaluate={"eval_batches": 1}))
    assert [run.id for run in first] == [pretrained.id, searched.id]
    assert changed(searched.hybrid(), measured.hybrid()) == set()


def test_a_recipe_programs_and_finetunes(recipe, at):
    task = {"memorization": {"vocabulary": 16, "length": 8, "test_examples": 16}}
    program = {"tasks": ["memorization"], "settings": task, "mixture_lr": 0.3}
    programmed, tuned = mc.run_recipe(recipe(program=program, finetune={}))
    assert programmed.config.data == {}
    assert changed(start_of(programmed), programmed.hybrid()) == {"mixture"}
    assert changed(programmed.hybrid(), start_of(tuned)) == set()
    # No text decides what programming finds.
    other = recipe(program=program, finetune={}).with_options({"data.seq_len": 12})
    assert mc.run_recipe(other)[0].id == programmed.id


def test_a_component_with_other_weights_is_another(recipe, at, tmp_path):
    own = tmp_path / "component"
    shutil.copytree(at / "zoo" / "tiny-neox", own)
    two = recipe(search={}).with_options({"components": [str(own), "zoo:tiny-mamba"]})
    (made,) = mc.run_recipe(two)
    assert done_before(two)[0].id == made.id
    weights = own / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    assert done_before(two) is None
    assert files_of("someone/on-the-hub") is None
    assert files_of("zoo:nobody") is None
    assert files_of("scratch:mamba?layers=2&width=16&vocabulary=8") is None


def test_a_killed_recipe_goes_on_with_the_run_that_it_was_in(recipe):
    two = recipe(search={}, finetune={"steps": 60, "checkpoint_every": 1})

    class Gone(Exception):  # noqa: N818
        """The process of the recipe ends."""

    def kill_in_finetune(run):
        if run.config.stage == "finetune":
            while run.losses()[0].size < 3:
                assert run.is_alive
                time.sleep(0.02)
            run.kill()
            while run.is_alive:
                time.sleep(0.02)
            raise Gone

    with pytest.raises(Gone):
        mc.run_recipe(two, watch=kill_in_finetune)
    broken = runs()[0]
    before = len(runs())
    made = mc.run_recipe(two)
    assert len(runs()) == before
    assert made[-1].id == broken.id
    assert broken.losses()[0].size == 60
    assert [event["kind"] for event in broken.events()].count("stage") == 2


def test_a_text_that_has_changed_is_another(recipe, at):
    text = at / "changing.txt"
    text.write_text((at / "text.txt").read_text())
    one = recipe(evaluate={"eval_batches": 1}).with_options({"data.source": str(text)})
    (old,) = mc.run_recipe(one)
    assert [run.id for run in done_before(one)] == [old.id]
    (again,) = mc.run_recipe(one, fresh=True)
    assert again.id != old.id
    text.write_text(text.read_text() + TEXT[0])
    assert done_before(one) is None


def test_a_stage_that_is_stopped_ends_the_recipe_with_a_word(recipe):
    long = recipe(search={**TRAINING, "steps": 4000})

    def stop(run):
        while not run.losses()[0].size:
            assert run.is_alive
            time.sleep(0.02)
        run.stop()

    with pytest.raises(RunError, match="was stopped: run the recipe again"):
        mc.run_recipe(long, watch=stop)
