"""YAML that would fill the memory or the stack is refused before it is built."""

from itertools import pairwise

import pytest

from manticore.recipes.recipe import Recipe, parse_value, parse_values
from manticore.recipes.yaml import read_yaml

NAMES = "abcdefghij"
NESTED = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise(NAMES)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (NESTED, "more than 20,000 keys and values"),
        ("[" * 30_000, "nested more than 20 levels"),
        ("a: &a [*a]", r"\*a refers to itself"),
        ("a: *b", r"\*b refers to itself or to nothing"),
        ("\n".join(f"key{i}: 1" for i in range(100_000)), "more than 64,000 characters"),
    ],
)
def test_what_is_too_much_is_refused(tmp_path, text, says):
    with pytest.raises(ValueError, match=says):
        read_yaml(text)
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"recipe\.yaml is not readable as YAML: .*{says}"):
        Recipe.from_yaml(path)
    with pytest.raises(ValueError, match=r"cannot be read as YAML writes a value") as error:
        parse_value(text)
    assert len(str(error.value)) < 400
    with pytest.raises(ValueError, match="list of values"):
        parse_values(text)


def test_aliases_may_be_used():
    assert read_yaml("a: &x {b: 1}\nc: *x\nd: *x") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}


@pytest.mark.parametrize("text", ["1e-4", "[0.5, 0.5]", "darts", "", "{a: [1, {b: 2}]}"])
def test_ordinary_values_are_read(text):
    assert (
        read_yaml(text)
        == {
            "1e-4": 1e-4,
            "[0.5, 0.5]": [0.5, 0.5],
            "darts": "darts",
            "": None,
            "{a: [1, {b: 2}]}": {"a": [1, {"b": 2}]},
        }[text]
    )
