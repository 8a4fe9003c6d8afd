"""Tiny components as the zoo, a text, and a recipe of them; runs are killed afterwards."""

import pytest

import manticore as mc
from manticore.runs import runs
from tests.app.zoo import use_tiny_zoo

TRAINING = {"steps": 2, "batch_size": 2, "eval_batches": 1, "warmup_steps": 0, "sample_prompt": ""}


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """The folder with `zoo`, `text.txt` and `runs`, one for the tests of a file."""
    folder = tmp_path_factory.mktemp("recipes")
    with pytest.MonkeyPatch.context() as patch:
        use_tiny_zoo(folder, patch)
        yield folder
        for run in runs():
            run.kill()


@pytest.fixture
def recipe(at):
    """`recipe(search={...}, ...)`: a recipe with these stages, each with options of its own."""

    def make(**stages):
        options = {
            name: given if name == "evaluate" else {**TRAINING, **given}
            for name, given in stages.items()
        }
        return mc.Recipe(
            name="tiny",
            components=["zoo:tiny-neox", "zoo:tiny-mamba"],
            n_blocks=2,
            projector_init="identity",
            data={"source": str(at / "text.txt"), "seq_len": 16},
            device="cpu",
            stages=options,
        )

    return make
