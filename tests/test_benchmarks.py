"""What benchmarks share: a long one continues with the trials that it has measured."""

import itertools
import json
import re
from pathlib import Path

import pytest

from benchmarks import harness, mad_suite, parallel_stories, programming
from benchmarks.harness import Trials
from manticore.stories.lexicon import lexicon
from manticore.suite.fitting import identity_of
from manticore.suite.protocol import Trial
from manticore.suite.running import RESULTS_FILE


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def never() -> float:
    raise AssertionError("measured again")


def test_a_measured_trial_is_known_to_the_next_process(results: Path) -> None:
    with Trials("table", {"seeds": (0, 1)}) as trials:
        assert trials.measure("a", lambda: {"perplexity": 2.5})["perplexity"] == 2.5
    with Trials("table", {"seeds": (0, 1)}) as again:
        assert again.measure("a", never) == {"perplexity": 2.5}
        assert again.measure("b", lambda: (3, 4)) == [3, 4]
        assert len(again.processors) == 1
        again.forget()
    assert list(results.iterdir()) == []


def test_one_trial_at_each_rate() -> None:
    best_within = {1.0: 3, 2.0: 2, 4.0: 3}
    with Trials("table", {}) as trials:
        assert trials.at_rates("a", (4.0, 1.0, 2.0), lambda rate: best_within[rate]) == best_within
    with Trials("table", {}) as trials:
        assert trials.measure("a 2", never) == 2


def test_a_grid_of_rates_is_extended_where_its_end_is_best() -> None:
    with Trials("table", {}) as trials:
        tried = trials.at_rates("falls, then rises", (1.0, 2.0), lambda rate: abs(rate - 7))
        assert list(tried) == [1, 2, 4, 8, 16]
        tried = trials.at_rates("rises", (1.0, 2.0), lambda rate: rate)
        assert list(tried) == [1 / 8, 1 / 4, 1 / 2, 1, 2]


def test_another_setup_is_measured_again() -> None:
    for steps in (1, 2):
        with Trials("table", {"steps": steps}) as trials:
            assert trials.measure("a", lambda steps=steps: steps) == steps


def test_a_failed_measurement_leaves_the_others() -> None:
    with Trials("table", {}) as trials:
        trials.measure("a", lambda: 1)
        with pytest.raises(AssertionError):
            trials.measure("b", never)
    with Trials("table", {}) as trials:
        assert trials.measure("a", never) == 1


def test_committed_trials_are_found_by_the_suite() -> None:
    path = mad_suite.FOLDER / RESULTS_FILE
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines
    for line in lines:
        trial = Trial(**(line["trial"] if "trial" in line else line["cell"]))
        assert identity_of(trial)[0] == line["id"]


def alphas(*weights: float) -> list[list[float]]:
    return [[weight, 1 - weight] for weight in weights]


def test_programming_is_held_against_a_direct_search() -> None:
    up, down = alphas(0.6, 0.7, 0.8), alphas(0.9, 0.8, 0.7)

    def found(alpha: list) -> dict:
        return {"mixture_weights": alpha, "setting": {"task": "compression"}}

    by_seed = [
        {"searched": up, "programmed": up, "tasks": {"compression": found(down)}},
        {"searched": up, "programmed": down, "tasks": {"compression": found(up)}},
    ]
    row = programming.agreement_row(by_seed)
    assert row["programmed"] == [1, -1]
    assert row["searched twice"] == 1
    assert row["same component"] == 1
    assert row["compression"] == 0


def test_ways_are_compared_seed_by_seed() -> None:
    by_seed = [{"perplexity": {"programmed": 3.0, "even": 4.0}}]
    by_seed += [{"perplexity": {"programmed": 5.0, "even": 6.0}}]
    programmed, even = programming.table_rows("a text", by_seed)
    assert (programmed["perplexity"], programmed["by_seed"]) == (4.0, [3.0, 5.0])
    assert programmed["above even"] == "-1.000 ± 0.000"
    assert even["above even"] == "0.000 ± 0.000"


def suite_rows(task: str, **scores: tuple[float, ...]) -> list[dict]:
    return [
        {"model": model, "tasks": {task: {"by_seed": {str(i): s for i, s in enumerate(own)}}}}
        for model, own in scores.items()
    ]


def test_tables_of_single_tasks_are_joined(tmp_path: Path) -> None:
    def table(task: str, hours: int, *models: str) -> dict:
        rows = [{"model": model, "hours": hours} for model in models]
        trainings = {model: [{"seconds": 3600 * hours, "device": "cpu"}] for model in models}
        return {"setup": {"tasks": [task]}, "rows": rows, "trainings": trainings}

    recall = table("recall", 1, "mamba", "gpt_neo")
    path = tmp_path / "table.json"
    assert mad_suite.joined(recall, path) == [recall]
    path.write_text(json.dumps({"tables": [recall]}))
    copying = table("copying", 2, "mamba")
    assert mad_suite.joined(copying, path) == [recall, copying]
    (joined,) = mad_suite.joined(table("recall", 3, "mamba"), path)
    assert [(row["model"], row["hours"]) for row in joined["rows"]] == [
        ("mamba", 3),
        ("gpt_neo", 1),
    ]
    assert [joined["trainings"][model][0]["seconds"] for model in ("mamba", "gpt_neo")] == [
        3 * 3600,
        3600,
    ]
    assert (joined["setup"]["trainings"], joined["setup"]["hours"]) == (2, 4)


def test_means_are_of_tasks_that_all_compared_models_have() -> None:
    def table(task: str, **scores: tuple[float, ...]) -> dict:
        rest = {model: (0.5,) for model in mad_suite.COMPARED if model not in scores}
        return {"setup": {"tasks": [task]}, "rows": suite_rows(task, **scores, **rest)}

    recall = table("recall", mamba=(0.5, 0.7, 0.9), gpt_neo=(1.0,), striped=(1.0,))
    copying = table("copying", mamba=(0.5, 0.5))
    partly = {"setup": {"tasks": ["fuzzy"]}, "rows": suite_rows("fuzzy", mamba=(0.0,))}
    compared = mad_suite.compared_tables([recall, copying, partly])
    assert compared == {"recall": recall, "copying": copying}
    rows = {row["model"]: row for row in mad_suite.mean_rows(compared)}
    assert {*rows} == {*mad_suite.COMPARED}
    mamba = rows["mamba"]
    assert (mamba["tasks"], mamba["seeds"]) == (2, 2)
    assert mamba["score"] == pytest.approx(0.55)
    assert mamba["spread"] == pytest.approx(0.0707, abs=1e-4)
    # Of a task in two tables, the one measured last counts.
    again = table("recall", mamba=(0.1, 0.1))
    compared = mad_suite.compared_tables([recall, copying, again])
    assert compared == {"recall": again, "copying": copying}


def test_a_tale_that_is_told_twice_is_the_same_tale() -> None:
    """All that is drawn is drawn for both languages, with the same outcome."""
    for number in range(100):
        spanish, english = (parallel_stories.told(f"tale/{number}", to) for to in ("es", "en"))
        assert spanish.draws == english.draws
    pairs = list(itertools.islice(parallel_stories.sentences("tale"), 400))
    names = {name for names in lexicon("es").names.values() for name in names}
    told = [[names & {*re.findall(r"\w+", text)} for text in pair] for pair in pairs]
    assert all(spanish == english for spanish, english in told)
    assert all(pair.english and pair.spanish and "\x1f" not in "".join(pair) for pair in pairs)


def test_a_word_has_one_translation() -> None:
    words = parallel_stories.twin_lexicon("en")
    for listed in (*words.words.values(), [noun for noun, _ in words.things]):
        assert len(set(listed)) == len(listed)
