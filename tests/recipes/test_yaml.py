"""YAML that would fill the memory or the stack is refused before it is built, and in one line."""

from itertools import pairwise

import pytest

from manticore.recipes.recipe import Recipe
from manticore.recipes.yaml import parse_value, parse_values, read_yaml

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
        ("a: 1\na: 2", r'duplicate key "a" with value "2" .* in line 2'),
        ("{", "in line 1"),
        ("a: b\n- c", "in line 2"),
        ("? {a: 1}\n: 2", "unhashable"),
        ("\0", "#x0000"),
        ("!!python/object/apply:os.getcwd []", "constructor"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path, text, says):
    with pytest.raises(ValueError, match=says) as error:
        read_yaml(text)
    assert "\n" not in str(error.value)
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"recipe\.yaml is not a recipe\. .*{says}"):
        Recipe.from_yaml(path)
    with pytest.raises(ValueError, match=r"is not a value\.") as error:
        parse_value(text)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("text", [NESTED, "[" * 1000, "[1", "a]", "{"])
def test_what_is_not_a_list_of_values_is_refused(text):
    with pytest.raises(ValueError, match="is not a list of values"):
        parse_values(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("[0.5, 0.5]", [0.5, 0.5]),
        ("darts", "darts"),
        ("", None),
        ("{a: [1, {b: 2}]}", {"a": [1, {"b": 2}]}),
        ("a: &x {b: 1}\nc: *x\nd: *x", {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_ordinary_values_are_read(text, value):
    assert read_yaml(text) == value
    assert parse_value(text) == value


def test_values_with_commas_between():
    assert parse_values("1e-4,1e-3") == [1e-4, 1e-3]
    assert parse_values("darts, zoo:x") == ["darts", "zoo:x"]
    assert parse_values("[1, 0],[0, 1]") == [[1, 0], [0, 1]]
