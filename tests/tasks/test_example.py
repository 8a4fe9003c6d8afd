"""Worked examples: the answers follow from what is given, by the rule of each task."""

import re

import pytest

from manticore.names import TASKS
from manticore.tasks.example import WorkedExample, worked_example
from manticore.views.worked_example import worked_example_html

SEEDS = range(20)


def _texts(example: WorkedExample) -> tuple[list[str], list[str | None]]:
    answers = [None if answer is None else answer.text for answer in example.answers]
    return [symbol.text for symbol in example.given], answers


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_an_example_with_answers(task: str) -> None:
    for seed in SEEDS:
        given, answers = _texts(worked_example(task, seed))
        assert len(given) == len(answers) <= 24
        assert any(answer is not None for answer in answers)
        assert worked_example(task, seed) == worked_example(task, seed)
    assert len({tuple(_texts(worked_example(task, seed))[0]) for seed in SEEDS}) > 1


@pytest.mark.parametrize("task", ["in-context-recall", "noisy-in-context-recall"])
def test_a_recalled_value_went_with_its_key_before(task: str) -> None:
    for seed in SEEDS:
        given, answers = _texts(worked_example(task, seed))
        for place, answer in enumerate(answers):
            if answer is not None:
                assert given.index(given[place]) < place
                assert given[given.index(given[place]) + 1] == answer


def test_copied_tokens_are_those_among_the_blanks_in_their_order() -> None:
    for seed in SEEDS:
        given, answers = _texts(worked_example("selective-copying", seed))
        assert [a for a in answers if a] == [g for g in given if g not in "·?"]


def test_memorized_values_belong_to_the_key_before() -> None:
    for seed in SEEDS:
        given, answers = _texts(worked_example("memorization", seed))
        pairs = {(given[place - 1], a) for place, a in enumerate(answers) if a}
        assert len(dict(pairs)) == len(pairs)


def test_the_page_shows_each_token_and_says_the_same_in_words() -> None:
    for task in TASKS:
        example, drawn = worked_example(task, 1), worked_example_html(task, 1)
        n_answers = sum(answer is not None for answer in example.answers)
        assert drawn.count("background:") == len(example.given)
        assert drawn.count("box-shadow:") == n_answers
        spoken = re.search(r'aria-label="Given: ([^"]*)\. Answers: ([^"]*)\."', drawn)
        assert spoken is not None
        assert len(spoken[1].split()) == len(spoken[2].split()) == len(example.given)
