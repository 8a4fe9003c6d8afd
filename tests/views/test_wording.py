"""Errors in words: which value is wrong, and what would be right, in whole sentences."""

import pytest
from pydantic import ValidationError

from manticore.config.run import RunConfig
from manticore.config.search import SearchConfig
from manticore.views.wording import explain


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"steps": -1}, "steps is -1: it should be greater than or equal to 0."),
        ({"steps": "x" * 99}, f"steps is '{'x' * 59}: it should be a valid integer, unable to"),
        ({"prune_below": 1}, "prune_below is 1: it should be less than 1."),
        ({"strategy": "gaae"}, "strategy: Unknown strategy 'gaae'. Did you mean 'gaea'?"),
        ({"sample_prompt": 3}, "sample_prompt is 3: it should be a valid string."),
        ({"prune_steps": 2}, "prune_steps has no effect without prune_below"),
        ({"steps": -1, "grid": 1}, "to 0. grid is 1: it should be greater than or equal to 2."),
    ],
)
def test_a_wrong_value_is_named(values, says):
    with pytest.raises(ValidationError) as error:
        SearchConfig(**values)
    assert says in explain(error.value)
    assert explain(error.value).endswith(".")


def test_a_missing_value_is_named():
    with pytest.raises(ValidationError) as error:
        RunConfig.model_validate({"components": ["a"], "data": {}})
    assert explain(error.value) == "n_blocks is missing."


def test_other_errors_say_what_they_say():
    assert explain(KeyError("There is no run 'x'.")) == "There is no run 'x'."
    assert explain(OSError("The disk is full.")) == "The disk is full."
