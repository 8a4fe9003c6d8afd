"""Programming: what tasks found is combined and carried to the hybrid; nothing else changes."""

import gc
import json
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing import event_accumulator

import manticore as mc
from manticore.config.programming import NOTHING_LEARNED, ProgramConfig
from manticore.programming.combining import LengthFit, above_chance
from manticore.programming.combining import combine as combine_tasks
from manticore.programming.fresh import hybrid_for_task
from manticore.runs import Run, RunError
from manticore.runs.stages import run_stage
from manticore.store.events import EventWriter
from manticore.tasks import TASKS, Setting, find_task, make_task
from manticore.tasks.data import Examples, TaskData
from manticore.tasks.measuring import chance_accuracy
from manticore.train.section import Section
from manticore.views.wording import short_task, warning_text
from tests.tiny_runs import do_here

TINY = {
    "in-context-recall": {"length": 16, "train_examples": 64, "test_examples": 32},
    "memorization": {"vocabulary": 16, "length": 8, "train_examples": 64, "test_examples": 32},
    "compression": {"vocabulary": 4, "length": 4, "train_examples": 64, "test_examples": 32},
}
SMALL = {"batch_size": 8, "eval_every": 3, "mixture_lr": 0.3, "device": "cpu"}
STEPS = 6


@pytest.fixture(autouse=True, scope="module")
def _one_thread_for_workers() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def hybrid(component: Callable[..., str]) -> mc.ManticoreForCausalLM:
    parts = [component("gpt_neo", layers=2), component("mamba", width=24)]
    return mc.build_hybrid(parts, 2, mixture_weights=[[0.75, 0.25], [0.5, 0.5]])


def programmed(
    hybrid: mc.ManticoreForCausalLM, root: Path, tasks: dict[str, float], **options: object
) -> Run:
    settings = {task: TINY[task] for task in tasks}
    given = {"settings": settings, "root": root, **SMALL, **options}
    return mc.program(hybrid, tasks, STEPS, **given)


@pytest.fixture(scope="module")
def skills() -> dict[str, float]:
    return {"in-context-recall": 1.0, "compression": 3.0}


@pytest.fixture(scope="module")
def run(
    hybrid: mc.ManticoreForCausalLM,
    skills: dict[str, float],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    return do_here(programmed(hybrid, tmp_path_factory.mktemp("runs"), skills, launch=False))


def test_skills_weigh_what_the_tasks_found(
    run: Run, hybrid: mc.ManticoreForCausalLM, skills: dict[str, float]
) -> None:
    metrics = run.metrics()
    found = {task: torch.tensor(metrics["tasks"][task]["mixture_weights"]) for task in skills}
    assert all((alpha - hybrid.mixture_weights).abs().max() > 0.01 for alpha in found.values())
    mean = (found["in-context-recall"] + 3 * found["compression"]) / 4
    torch.testing.assert_close(torch.tensor(metrics["mixture_weights"]), mean)
    made = run.hybrid()
    torch.testing.assert_close(made.mixture_weights, mean)
    made.set_mixture_weights(hybrid.mixture_weights)
    for name, tensor in hybrid.state_dict().items():
        assert torch.equal(made.state_dict()[name], tensor), name


def test_events_follow_the_tasks(run: Run, skills: dict[str, float]) -> None:
    events = run.events()
    steps = [(event["step"], event["task"]) for event in events if event["kind"] == "step"]
    names = list(skills)
    assert steps == [(step, names[(step - 1) // STEPS]) for step in range(1, 2 * STEPS + 1)]
    measured = [event for event in events if event["kind"] == "eval"]
    assert {event["task"] for event in measured} == set(skills)
    assert all(0 <= event["metrics"]["accuracy"] <= 1 for event in measured)
    left = [event["eta_s"] for event in events if event["kind"] == "step"]
    assert left[0] > 0
    assert left[-1] == 0
    said = [warning_text(event) for event in events if event["kind"] == "warning"]
    for task, found in run.metrics()["tasks"].items():
        learned = above_chance(found["accuracy"], found["guessing"]) >= NOTHING_LEARNED
        name = short_task(task).capitalize()
        assert learned != any(text.startswith(f"{name}: not learned") for text in said)
    assert any(": not learned" in text for text in said)
    history = run.mixture_history()
    # Each task from its start to its end, and then what they come to together.
    each = list(range(STEPS + 1))
    steps = [*each, *(STEPS + step for step in each), 2 * STEPS]
    assert run.mixture_steps.tolist() == steps
    assert history.shape == (len(steps), 2, 2)
    assert history[STEPS].tolist() != history[STEPS + 1].tolist() == history[0].tolist()
    torch.testing.assert_close(
        torch.tensor(history[-1]), run.hybrid().mixture_weights.double(), rtol=0, atol=1e-6
    )


def test_each_task_has_the_memory_of_the_one_before(
    hybrid: mc.ManticoreForCausalLM,
    skills: dict[str, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[weakref.ref] = []
    alive: list[int] = []

    def make(*arguments: object, **options: object) -> mc.ManticoreForCausalLM:
        alive.append(sum(one() is not None for one in made))
        for_task = hybrid_for_task(*arguments, **options)
        made.append(weakref.ref(for_task))
        return for_task

    monkeypatch.setattr("manticore.programming.program.hybrid_for_task", make)
    gc.disable()
    try:
        do_here(programmed(hybrid, tmp_path, skills, launch=False))
    finally:
        gc.enable()
    assert alive == [0, 0]


def test_time_left_counts_the_lengths_of_later_tasks(
    hybrid: mc.ManticoreForCausalLM,
    skills: dict[str, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sections: list[Section] = []
    monkeypatch.setattr(
        "manticore.programming.program.Section",
        lambda *given, **named: sections.append(Section(*given, **named)) or sections[-1],
    )
    do_here(programmed(hybrid, tmp_path, skills, launch=False))
    # Tasks of 16 and of 4 tokens.
    assert [section.later for section in sections] == [STEPS * 4 / 16, 0]


def test_a_stop_between_tasks_is_heard_before_the_next(
    hybrid: mc.ManticoreForCausalLM, run: Run, skills: dict[str, float], tmp_path: Path
) -> None:
    made = programmed(hybrid, tmp_path, skills, launch=False)
    first = made.folder / "tasks" / f"{next(iter(skills))}.json"
    with EventWriter(made.folder) as events:
        assert not run_stage(made.folder, made.config, events, first.is_file)
    assert len(made.losses()[0]) == STEPS
    do_here(made)
    assert made.metrics()["tasks"] == run.metrics()["tasks"]


def test_a_programmed_hybrid_is_finetuned_at_its_mixture(run: Run, tmp_path: Path) -> None:
    start = run.hybrid_to_finetune()
    text = tmp_path / "text.txt"
    text.write_text("The fox has the lantern. Where is the lantern?\n\n" * 60)
    data = mc.load_text(text, tokenizer=start.tokenizer, seq_len=16, cache_dir=tmp_path / "cache")
    options = {"batch_size": 4, "eval_every": 2, "eval_batches": 1, "sample_prompt": ""}
    options |= {"device": "cpu", "root": tmp_path, "launch": False}
    tuned = do_here(mc.finetune(run, data, 2, **options))
    assert torch.equal(tuned.hybrid().mixture_weights, start.mixture_weights)
    assert tuned.config.start.parent.run == run.id
    assert tuned.config.start.parent.original


def test_interrupted_is_uninterrupted(
    hybrid: mc.ManticoreForCausalLM, run: Run, skills: dict[str, float], tmp_path: Path
) -> None:
    """Killed in the second task, and resumed: steps, losses and result are as if nothing was."""
    killed = programmed(hybrid, tmp_path, skills, checkpoint_every=2)
    deadline = time.monotonic() + 240
    while len(killed.losses()[0]) < STEPS + 3:
        assert killed.is_alive
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    with pytest.raises(RunError):
        killed.wait(60)
    killed.resume().wait(240)
    # The first task was not done again; the second went on from a checkpoint.
    steps = [event["task"] for event in killed.events() if event["kind"] == "step"]
    assert steps.count("in-context-recall") == STEPS
    assert killed.losses()[1].tolist() == run.losses()[1].tolist()
    assert killed.metrics()["tasks"] == run.metrics()["tasks"]
    assert not list((killed.folder / "checkpoints").iterdir())
    again = [event for event in killed.events() if event["kind"] == "stage"]
    assert len(again) == 2


def test_from_scratch_and_judged_by_all_test_examples(
    hybrid: mc.ManticoreForCausalLM, tmp_path: Path
) -> None:
    tasks = {"in-context-recall": 1.0, "memorization": 1.0}
    options = {"from_scratch": True, "eval_batches": 1, "trackers": ["tensorboard"]}
    run = do_here(programmed(hybrid, tmp_path, tasks, launch=False, **options))
    for name, tensor in hybrid.state_dict().items():
        if name != "mixture.alpha":
            assert torch.equal(run.hybrid().state_dict()[name], tensor), name
    for index, (task, found) in enumerate(run.metrics()["tasks"].items()):
        measured = [e for e in run.events() if e["kind"] == "eval" and e["task"] == task]
        assert [event["step"] - index * STEPS for event in measured][:2] == [0, 3]
        assert measured[-1]["metrics"]["accuracy"] == found["accuracy"]
        data = make_task(task, Setting(**found["setting"]))
        asked = int((data.test.labels != -100).sum())
        right = found["accuracy"] * asked
        assert right == pytest.approx(round(right), abs=1e-3)
        assert found["guessing"] == chance_accuracy(data)
    files = event_accumulator.EventAccumulator(str(run.folder / "tensorboard" / "manticore"))
    files.Reload()
    scalars = {tag: [event.step for event in files.Scalars(tag)] for tag in files.Tags()["scalars"]}
    for index, task in enumerate(tasks):
        assert scalars[f"accuracy/{task}"][:2] == [index * STEPS, index * STEPS + 3]
    last = files.Scalars(f"mixture/block-1/{hybrid.component_names[0]}")[-1]
    assert last.step == 2 * STEPS
    assert last.value == pytest.approx(float(run.hybrid().mixture_weights[0, 0]))


def test_guessing_knows_the_places_and_not_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.tensor([[-100, 1, 2, -100], [-100, 1, 3, -100], [-100, 1, 3, -100]])
    test = torch.tensor([[-100, 1, 3, 1], [-100, 0, 2, -100]])
    setting = Setting(task="memorization", vocabulary=4, length=4)
    known, tested = (Examples(torch.zeros_like(given), given) for given in (labels, test))
    monkeypatch.setattr("manticore.tasks.measuring.more_tests", lambda data, n: known)
    # By place 1 and 3; and 1, the most frequent, at the last place, where nothing is known.
    assert chance_accuracy(TaskData(setting, 0, tested, tested)) == pytest.approx(3 / 5)


def test_guessing_is_the_best_that_one_answer_for_all_can_do() -> None:
    data = make_task(
        "memorization", Setting(task="memorization", **find_task("memorization").quick)
    )
    asked = data.test.labels[data.test.labels != -100]
    best = float(asked.bincount().max() / len(asked))
    # Places tell something more, but not in tasks whose answers are drawn anew everywhere.
    assert best - 0.03 < chance_accuracy(data) < best + 0.03


@pytest.mark.parametrize("task", [name for name in TASKS if name != "memorization"])
def test_guessing_counts_what_came_so_far(task: str) -> None:
    data = make_task(task, Setting(task=task, **find_task(task).quick))
    whole = data.head == "reconstruction"
    can_be_asked = set(data.test.labels.unique().tolist()) - {-100}
    right, asked = 0, 0
    for ids, labels in zip(data.test.input_ids.tolist(), data.test.labels.tolist(), strict=True):
        for place, wanted in enumerate(labels):
            if wanted != -100:
                seen = Counter(filter(can_be_asked.__contains__, ids if whole else ids[:place]))
                most = max(seen.values())
                right += wanted == min(token for token, count in seen.items() if count == most)
                asked += 1
    by_counting = right / asked
    assert chance_accuracy(data) == pytest.approx(by_counting, abs=0.03)
    if task.endswith("context-recall") and not task.startswith("fuzzy"):
        assert by_counting > 0.3


def test_best_task_and_length(hybrid: mc.ManticoreForCausalLM, tmp_path: Path) -> None:
    made = programmed(
        hybrid,
        tmp_path,
        {"memorization": 1.0},
        settings={"memorization": {k: v for k, v in TINY["memorization"].items() if k != "length"}},
        lengths=[4, 8],
        target_length=64,
        combine="best",
        launch=False,
    )
    run = do_here(made)
    metrics = run.metrics()
    warned = [event["message"] for event in run.events() if event["kind"] == "warning"]
    assert any("for 64 tokens are a guess: tasks are searched at 4 to 8" in w for w in warned)
    assert set(metrics["tasks"]) == {"memorization-4", "memorization-8"}
    assert metrics["tasks"]["memorization-4"]["setting"]["length"] == 4
    alpha = run.hybrid().mixture_weights
    torch.testing.assert_close(alpha, torch.tensor(metrics["mixture_weights"]))
    torch.testing.assert_close(alpha.sum(dim=1), torch.ones(2))
    fit = LengthFit(*(torch.tensor(metrics["length_fit"][k]) for k in ("intercepts", "slopes")))
    torch.testing.assert_close(alpha, fit.at(64), rtol=1e-4, atol=1e-5)


def test_a_target_length_is_where_the_fit_is_taken() -> None:
    options = ProgramConfig(
        tasks=["in-context-recall"], lengths=[8, 16], target_length=32, combine="mean"
    )
    alphas = {8: [[0.5, 0.5], [0.0, 1.0]], 16: [[0.6, 0.4], [0.0, 1.0]]}
    found = {
        f"in-context-recall-{length}": {"accuracy": 1.0, "guessing": 0.0, "mixture_weights": alpha}
        for length, alpha in alphas.items()
    }
    made = torch.tensor(combine_tasks(options, found)["mixture_weights"])
    # The odds were 1 and then 1.5: at twice the length they are 1.5 times that again.
    torch.testing.assert_close(made, torch.tensor([[2.25 / 3.25, 1 / 3.25], [0.0, 1.0]]))


RECALLS, MEMORIZES = [[1.0, 0.0], [0.75, 0.25]], [[0.0, 1.0], [0.25, 0.75]]


@pytest.mark.parametrize(
    ("accuracies", "guesses", "skills", "best"),
    [
        ((0.5, 0.9), (0.0, 0.0), (1.0, 1.0), "memorization"),
        ((0.5, 0.9), (0.0, 0.0), (2.0, 1.0), "in-context-recall"),
        ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), "in-context-recall"),
        ((0.25, 0.2), (0.25, 0.0), (1.0, 1.0), "memorization"),
    ],
)
def test_mean_and_best_are_what_they_say(
    accuracies: tuple[float, float],
    guesses: tuple[float, float],
    skills: tuple[float, float],
    best: str,
) -> None:
    tasks = dict(zip(("in-context-recall", "memorization"), skills, strict=True))
    guesses = dict(zip(tasks, guesses, strict=True))
    alphas = dict(zip(tasks, (RECALLS, MEMORIZES), strict=True))
    found = {
        task: {"accuracy": accuracy, "guessing": guesses[task], "mixture_weights": alphas[task]}
        for task, accuracy in zip(tasks, accuracies, strict=True)
    }
    for combine in ("mean", "best"):
        options = ProgramConfig(tasks=tasks, combine=combine)
        made = combine_tasks(options, found)
        assert made["best_task"] == best
        assert made["combined"]["best"] == alphas[best]
        share = skills[0] / sum(skills)
        wanted = share * torch.tensor(RECALLS) + (1 - share) * torch.tensor(MEMORIZES)
        torch.testing.assert_close(torch.tensor(made["combined"]["mean"]), wanted)
        assert made["mixture_weights"] == made["combined"][combine]


def test_the_best_task_is_the_same_at_all_lengths() -> None:
    """A function of length through one task here and another there would be of neither."""
    options = ProgramConfig(
        tasks=["in-context-recall", "memorization"],
        combine="best",
        lengths=[8, 16],
        target_length=16,
    )
    accuracies = {
        "in-context-recall-8": 1.0,
        "in-context-recall-16": 0.5,
        "memorization-8": 0.6,
        "memorization-16": 0.7,
    }
    found = {
        name: {
            "accuracy": accuracy,
            "guessing": 0.0,
            "mixture_weights": MEMORIZES if name.startswith("memo") else RECALLS,
        }
        for name, accuracy in accuracies.items()
    }
    made = combine_tasks(options, found)
    assert made["best_task"] == "in-context-recall"
    assert made["lengths"] == {"8": RECALLS, "16": RECALLS}


def test_all_tasks_of_the_preset_unless_some_are_named() -> None:
    assert set(ProgramConfig().tasks) == set(TASKS)
    assert set(ProgramConfig(preset="paper").tasks) == set(TASKS) - {"compression"}
    assert set(ProgramConfig(preset="paper", tasks=["memorization"]).tasks) == {"memorization"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tasks": {"recall": 1.0}}, "Unknown MAD task 'recall'"),
        ({"tasks": {}}, "tasks"),
        ({"tasks": {"compression": -1.0}}, "tasks.compression"),
        ({"tasks": ["compression"], "settings": {"memorization": {}}}, "not one of the tasks"),
        (
            {"tasks": ["compression"], "settings": {"compression": {"vocab": 3}}},
            "Unknown option 'vocab'. Did you mean 'vocabulary'",
        ),
        ({"tasks": ["compression"], "preset": "paper"}, "leaves out compression"),
        ({"tasks": ["compression"], "lengths": [8], "target_length": 64}, "two or more"),
        ({"tasks": ["compression"], "lengths": [8, 16]}, "go together"),
        (
            {
                "tasks": ["compression"],
                "lengths": [8, 16],
                "target_length": 16,
                "settings": {"compression": {"length": 4}},
            },
            "leave one of them out",
        ),
        ({"tasks": ["compression"], "target_length": 64}, "go together"),
        ({"tasks": ["in-context-recall"], "lengths": [8, 9], "target_length": 64}, "even"),
        (
            {"tasks": ["memorization"], "batch_size": 512},
            "256 examples: too few for a batch of 512",
        ),
        (
            {"tasks": ["memorization"], "batch_size": 200, "strategy": "probe"},
            "256 examples, 200 of them held out for probe: too few for a batch of 200",
        ),
        ({"tasks": {"compression": float("inf")}}, "tasks.compression"),
        (
            {"tasks": ["memorization"], "settings": {"memorization": {"task": "x"}}},
            "leave that out",
        ),
        ({"strategy": "fixed"}, "finds no mixture weights"),
        ({"component_lr": 0, "projector_lr": 0}, "would not learn"),
        ({"sample_prompt": "Once"}, "sample_prompt"),
        ({"sample_tokens": 8}, "does not use sample_tokens"),
    ],
)
def test_what_cannot_be_programmed_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ProgramConfig(**options)


def test_a_task_too_long_for_learned_positions_is_refused(
    hybrid: mc.ManticoreForCausalLM, tmp_path: Path
) -> None:
    settings = {"memorization": TINY["memorization"]}
    tasks = ["memorization", "in-context-recall"]
    options = {"preset": "baseline", "settings": settings, "root": tmp_path, **SMALL}
    run = mc.program(hybrid, tasks, 2, launch=False, **options)
    with pytest.raises(ValueError, match=r"128 .* at most 64: set a shorter length"):
        do_here(run)
    assert not len(run.losses()[0]), "refused before any task was searched"


def test_the_configuration_survives_json() -> None:
    config = ProgramConfig(tasks=["memorization"], lengths=[8, 16], target_length=100)
    assert ProgramConfig.model_validate(json.loads(config.model_dump_json())) == config
