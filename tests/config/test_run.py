"""A run's configuration refuses what is wrong on its own, and says what would be right."""

import pytest
from pydantic import ValidationError

from manticore.config.run import RunConfig

DTYPES = ("float32", "bfloat16", "float16")
GOOD = {"components": ["zoo:a", "zoo:b"], "n_blocks": 2, "data": {"source": "bundled:stories-en"}}


def test_json_round_trip_is_equal():
    config = RunConfig(**GOOD, mixture_weights=[[1, 0], [0.25, 0.75]], name="né")
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_unknown_key_is_named_with_the_valid_ones():
    with pytest.raises(ValidationError) as error:
        RunConfig(**GOOD, n_block=3)
    text = str(error.value)
    assert "Did you mean 'n_blocks'" in text
    assert "projector_init" in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"components": []}, "at least 1"),
        ({"components": ["a"] * 5}, "at most 4"),
        ({"components": ["a", " "]}, "zoo:NAME"),
        ({"components": ["a\0b"]}, "zoo:NAME"),
        ({"n_blocks": 0}, "greater than or equal to 1"),
        ({"stage": "dance"}, "search"),
        ({"projector": "cubic"}, "linear"),
        ({"mixture_weights": [[0.5, 0.5]]}, "give 2 rows of 2"),
        ({"mixture_weights": [[0.5, 0.5], [1.0]]}, "give 2 rows of 2"),
        ({"mixture_weights": [[0.5, 0.5], [0.9, 0.3]]}, "sums to 1.2"),
        ({"mixture_weights": [[0.5, 0.5], [-0.5, 1.5]]}, "at least 0"),
        ({"mixture_weights": [[0.5, 0.5], [float("nan"), 1]]}, "finite"),
        ({"search": {"stepz": 3}}, "stepz"),
        ({"device": "tpu"}, "device"),
        ({"dtype": "int8"}, "float32"),
    ],
)
def test_bad_values_are_named(change, says):
    with pytest.raises(ValidationError, match=says):
        RunConfig(**{**GOOD, **change})


def test_it_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        RunConfig(**GOOD).n_blocks = 3


def test_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "zoo:x").mkdir()
    (tmp_path / "text.txt").touch()
    monkeypatch.chdir(tmp_path)
    names = ["model", "zoo:x", "hub/id", "y" * 5000]
    config = RunConfig(**{**GOOD, "components": names, "data": {"source": "text.txt", "n": 1}})
    absolute = config.with_absolute_paths()
    assert absolute.components == (str(tmp_path / "model"), "zoo:x", "hub/id", "y" * 5000)
    assert absolute.data == {"source": str(tmp_path / "text.txt"), "n": 1}
    assert RunConfig(**GOOD).with_absolute_paths().data == GOOD["data"]


@pytest.mark.parametrize("prefix", ["zoo", "bundled", "scratch"])
def test_a_folder_of_the_same_name_is_not_meant(prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / prefix).mkdir()
    source = f"{prefix}:gpt_neo?vocabulary=16"
    config = RunConfig(**GOOD | {"components": [source, source]})
    assert config.with_absolute_paths().components == (source, source)


def test_dtype_is_told_in_the_words_of_accelerate():
    names = {dtype: RunConfig(**GOOD, dtype=dtype).mixed_precision for dtype in DTYPES}
    assert names == {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


def test_a_run_that_saved_the_options_of_all_stages_is_still_read():
    old = {"pretrain_projectors": {}, "program": {}, "finetune": {}, "evaluate": {}}
    config = RunConfig(**GOOD, stage="search", search={"steps": 7}, **old)
    assert config.options.steps == 7
    assert RunConfig(**config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="belong to another stage"):
        RunConfig(**GOOD, stage="search", finetune={"steps": 7})
