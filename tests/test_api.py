"""The verbs refuse what is not a hybrid and what is not a text, before a run is created."""

import inspect
import subprocess
import sys

import pytest

import manticore as mc
from manticore.api import start_stage
from tests.tiny import save_component
from tests.tiny_runs import do_here, write_text


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    folder = save_component(tmp_path_factory.mktemp("component") / "a", "mamba", layers=2)
    return mc.build_hybrid([folder], 2, projector_init="identity")


@pytest.fixture
def text(hybrid, tmp_path):
    return mc.load_text(write_text(tmp_path), tokenizer=hybrid.tokenizer, seq_len=16)


VERBS = [mc.search, mc.pretrain_projectors, mc.finetune, mc.evaluate]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("data", ["tales.txt", None, {"source": "tales.txt"}])
def test_what_is_not_a_text_is_named(hybrid, tmp_path, verb, data):
    with pytest.raises(TypeError, match=r"data=.* is not a text. Pass one from mc\.load_text"):
        verb(hybrid, data, root=tmp_path, launch=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", [*VERBS, mc.program])
@pytest.mark.parametrize("wrong", ["zoo:tales-mamba", None, ["zoo:tales-mamba"]])
def test_what_is_not_a_hybrid_is_named(tmp_path, verb, wrong):
    arguments = () if verb is mc.program else (None,)
    with pytest.raises(TypeError, match=r"is not a hybrid\. Pass one from mc\.build_hybrid"):
        verb(wrong, *arguments, root=tmp_path, launch=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "x" * 121}, "120 characters"),
        ({"device": "tpu"}, "'tpu' is not a device"),
        ({"trackers": ["tensorbord"]}, "Did you mean 'tensorboard'"),
        ({"batch_size": 0}, "greater than 0"),
        ({"batchsize": 2}, "Did you mean 'batch_size'"),
    ],
)
def test_impossible_values_are_refused_before_a_run_is_created(
    hybrid, text, tmp_path, verb, wrong, says
):
    with pytest.raises(ValueError, match=says):
        verb(hybrid, text, root=tmp_path / "runs", launch=False, **wrong)
    assert not (tmp_path / "runs").exists()


def test_an_unknown_stage_gets_the_nearest(hybrid, tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'finetune'"):
        start_stage("finetun", hybrid, None, {}, tmp_path)


def test_a_verb_takes_a_run_for_its_hybrid(hybrid, text, tmp_path):
    options = {"batch_size": 2, "eval_batches": 1, "sample_prompt": "", "projector_lr": 0}
    root = tmp_path / "runs"
    run = do_here(mc.finetune(hybrid, text, 1, root=root, launch=False, **options))
    with pytest.raises(ValueError, match="alignment_sequences"):
        mc.evaluate(run, text, root=root, launch=False, alignment_sequences=0)
    options = {"batch_size": 2, "eval_batches": 1, "alignment_sequences": 1}
    measured = do_here(mc.evaluate(run, text, root=root, launch=False, **options))
    assert measured.config.start.parent.run == run.id
    assert measured.metrics()["perplexity"] == pytest.approx(run.metrics()["perplexity"], rel=1e-5)


def test_help_describes_every_argument():
    documented = inspect.getdoc(mc.search)
    assert all(f"{name}:" in documented for name in inspect.signature(mc.search).parameters)


@pytest.mark.parametrize("first", ["manticore.search", "manticore.runs", "manticore.evaluate"])
def test_verbs_stand_over_the_packages_of_their_names(first):
    code = f"import {first}, manticore as mc, manticore.search, manticore.runs, manticore.evaluate"
    code += "; assert callable(mc.search) and callable(mc.runs) and callable(mc.evaluate)"
    code += "; import manticore.runs.launch; assert callable(mc.runs)"
    subprocess.run([sys.executable, "-c", code], check=True)
