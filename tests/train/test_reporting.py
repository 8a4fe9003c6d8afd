"""The signs of failure are said, each where it shows and nowhere else."""

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch

import manticore as mc
from manticore.config.training import PretrainConfig, TrainConfig
from manticore.names import STRATEGIES
from manticore.runs import Run
from manticore.runs.launch import make_run_folder
from manticore.runs.stages import run_stage
from manticore.search import SearchConfig
from manticore.store.events import EventWriter, read_events
from manticore.train.reporting import PROBE_TOKENS, Reporter, passages_of
from manticore.train.section import Section, SectionEvents
from manticore.train.starting import load_data
from tests.tiny import TEXT
from tests.tiny_runs import do_here, run_config

FALLING = [3.0 - 0.01 * step for step in range(40)]
RISING = [*FALLING[:30], *([4.0] * 10)]


@pytest.fixture
def warned(component: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """All that a reporter warns of, in one text."""
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 30))
    parts = [component("gpt_neox"), component("mamba", width=24)]

    def warn(
        alpha: list[float],
        losses: list[float] = FALLING,
        init: str = "identity",
        baseline: float = 1e9,
        first: list[float] | None = None,
        projector: str = "linear",
        stage: type[TrainConfig] = SearchConfig,
        **options: object,
    ) -> str:
        start = alpha if first is None else first
        hybrid = mc.build_hybrid(
            parts,
            2,
            projector=projector,
            projector_init=init,
            mixture_weights=start,
            alignment_text=" ".join(TEXT * 99),
        )
        data = mc.load_text(
            text, tokenizer=hybrid.tokenizer, seq_len=16, cache_dir=tmp_path / "cache"
        )
        folder = Path(mkdtemp(dir=tmp_path))
        with EventWriter(folder) as events:
            settings = stage(batch_size=4, eval_batches=1, sample_prompt="", **options)
            components = dict.fromkeys(hybrid.component_names, baseline)
            strategy = getattr(settings, "strategy", "fixed")
            gradient = STRATEGIES[strategy].gradient
            reporter = Reporter(hybrid, data, settings, events, components, by_gradient=gradient)
            reporter.watch(0)
            hybrid.set_mixture_weights(alpha)
            for step, loss in enumerate(losses, start=1):
                reporter.step_done(step, loss)
            reporter.watch(len(losses))
            reporter.warn()
        warnings = [e["message"] for e in read_events(folder)[0] if e["kind"] == "warning"]
        assert len(set(warnings)) == len(warnings)
        return " ".join(warnings)

    return warn


def test_nothing_is_said_where_all_is_well(warned: Callable[..., str]) -> None:
    assert warned([0.6, 0.4], init="aligned", component_lr=0) == ""


def test_a_collapsed_row(warned: Callable[..., str]) -> None:
    said = warned([0.97, 0.03], first=[0.5, 0.5], init="aligned", baseline=1.5)
    assert "Block 1 collapsed" in said
    assert "Block 2 collapsed" in said
    # A hybrid that is better than each of its components has decided.
    assert warned([0.97, 0.03], first=[0.5, 0.5], init="aligned") == ""


@pytest.mark.parametrize(
    ("alpha", "first", "strategy"),
    [
        ([0.97, 0.03], [0.97, 0.03], "darts"),
        ([1.0, 0.0], [0.5, 0.5], "gaea"),
        ([0.97, 0.03], [0.5, 0.5], "probe"),
        ([0.97, 0.03], [0.5, 0.5], "fixed"),
    ],
    ids=["given", "pruned", "measured", "not searched"],
)
def test_a_corner_that_no_gradient_led_to_is_none_to_warn_of(
    warned: Callable[..., str], alpha: list[float], first: list[float], strategy: str
) -> None:
    assert warned(alpha, first=first, init="aligned", strategy=strategy) == ""


def test_projectors_that_carry_nothing(warned: Callable[..., str]) -> None:
    # Of components that learn, at the start; of frozen ones, when the projectors have learned.
    for rate in (0.0, 1e-3):
        assert "states far from its own" in warned([0.6, 0.4], init="random", component_lr=rate)
        assert warned([0.6, 0.4], init="aligned", component_lr=rate) == ""
    assert warned([0.6, 0.4], init="random", first=[1.0, 0.0], component_lr=1e-3) == ""
    # Projectors that are being trained are not told to be trained.
    assert warned([0.6, 0.4], init="random", stage=PretrainConfig) == ""
    # Nothing could be trained or aligned.
    assert warned([0.6, 0.4], projector="identity", component_lr=0) == ""


def test_a_loss_that_rises(warned: Callable[..., str]) -> None:
    said = warned([0.6, 0.4], losses=RISING, init="aligned")
    assert "loss rose, from 2.755 to 4.000" in said


def test_a_hybrid_that_is_worse_than_its_best_component(warned: Callable[..., str]) -> None:
    assert "is worse than that of 'gpt_neox" in warned([0.6, 0.4], baseline=1.5)


def test_a_resumed_reporter_knows_what_earlier_ones_said_and_measured(
    component: Callable[..., str], tmp_path: Path
) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    hybrid = mc.build_hybrid(parts, 2, projector_init="identity")
    options = SearchConfig(batch_size=4, sample_prompt="")

    def made(events: EventWriter) -> Reporter:
        return Reporter(hybrid, None, options, events, {}, by_gradient=True)

    with EventWriter(tmp_path) as events:
        for step, loss in enumerate(RISING, start=1):
            events.emit("step", step=step, loss=loss, lr={})
        events.emit("warning", message="The training loss rose.", sign="rising")
    with EventWriter(tmp_path) as events:
        reporter = made(events)
        assert reporter.losses == RISING
        assert reporter.said == {"rising"}
        # A resumed run repeats the steps after its checkpoint, and knows none that come later.
        reporter.step_done(31, 2.0)
        assert reporter.losses == [*RISING[:30], 2.0]
    part = Section(first_step=35, labels={"task": "recall"})
    with EventWriter(tmp_path) as events:
        events.emit("step", step=36, loss=1.5, lr={}, task="recall")
    with EventWriter(tmp_path) as events:
        assert made(SectionEvents(events, part)).losses == [1.5]


def test_a_text_that_has_changed_is_reported(component: Callable[..., str], tmp_path: Path) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    hybrid = mc.build_hybrid(parts, 2, projector_init="identity")
    config = run_config(tmp_path, parts)
    text = mc.load_text(tokenizer=hybrid.tokenizer, **config.data)
    config = run_config(tmp_path, parts, data=text.spec)
    for changed in (False, True):
        folder = Path(mkdtemp(dir=tmp_path))
        if changed:
            (tmp_path / "text.txt").write_text("\n\n".join(TEXT * 61))
        with EventWriter(folder) as events:
            load_data(config, hybrid, events)
        said = [event["message"] for event in read_events(folder)[0]]
        assert any("text.txt has changed since the run was created" in m for m in said) == changed


def test_a_streamed_text_is_reported_on(component: Callable[..., str], tmp_path: Path) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    search = {"steps": 2, "batch_size": 2, "eval_batches": 1, "sample_prompt": ""}
    config = run_config(tmp_path, parts, "search", search)
    config = config.model_copy(update={"data": config.data | {"streaming": True}})
    run = do_here(Run(make_run_folder(config, root=tmp_path)))
    assert run.metrics()["perplexity"] > 1


def test_the_events_are_read_once_however_long_the_run(
    component: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    open_path = Path.open

    def noted(path: Path, mode: str = "r", **options: object) -> object:
        if path.name == "events.jsonl" and "r" in mode:
            read.append(path)
        return open_path(path, mode, **options)

    search = {"steps": 6, "batch_size": 2, "eval_every": 1, "eval_batches": 1, "sample_prompt": ""}
    parts = [component("gpt_neox"), component("mamba", width=24)]
    config = run_config(tmp_path, parts, "search", search)
    folder = make_run_folder(config, root=tmp_path)
    monkeypatch.setattr(Path, "open", noted)
    with EventWriter(folder) as events:
        assert len(read) <= 2, "the torn end is looked for, and earlier events are read"
        read.clear()
        run_stage(folder, config, events, lambda: False)
    assert read == []


@pytest.mark.parametrize(("n", "length", "firsts"), [(426, 128, [0, 12, 24, 36]), (2, 500, [0, 1])])
def test_passages_are_spread_over_the_held_out_part(n: int, length: int, firsts: list[int]) -> None:
    items = ({"input_ids": torch.full((length,), index)} for index in range(n))
    found = passages_of(items)
    assert [int(ids[0]) for ids in found] == firsts
    assert sum(map(len, found)) == PROBE_TOKENS


def test_a_routed_run_reports_each_token_of_its_passages(
    component: Callable[..., str], tmp_path: Path
) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    options = {"strategy": "routed", "steps": 0, "sample_prompt": "", "eval_batches": 1}
    run = do_here(
        Run(make_run_folder(run_config(tmp_path, parts, "search", options), root=tmp_path))
    )
    (probe,) = (event for event in run.events() if event["kind"] == "probe")
    assert len(probe["tokens"]) == len(probe["weights"]) == 4 * 16
    assert probe["starts"] == [0, 16, 32, 48]
    assert "\ufffd" not in "".join(probe["tokens"])
    tokenizer = run.hybrid().tokenizer
    alpha = run.hybrid().mixture_of(
        torch.tensor(tokenizer("".join(probe["tokens"][:16]))["input_ids"])
    )
    torch.testing.assert_close(alpha, torch.tensor(probe["weights"][:16]), atol=1e-4, rtol=0)
