"""Runs in a terminal: what is drawn, and what is written where nothing can be drawn."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from manticore import build_hybrid
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status
from manticore.views.plots import perplexity_label
from manticore.views.terminal.chat import chat
from manticore.views.terminal.panel import BAR_WIDTH, mixture_table, run_view
from manticore.views.terminal.recipes import stages_table
from manticore.views.terminal.tables import runs_table
from manticore.views.terminal.watching import MixtureLines, watch
from tests.tiny_runs import programming_run

NAMES = ["zoo:first", "zoo:second"]
METRICS = {"perplexity": 2.5, "components": {"zoo:first": 4321.0, "zoo:second": None}, "floor": 0.0}


def console(terminal=False):
    return Console(
        file=io.StringIO(),
        width=120,
        force_terminal=terminal,
        color_system=None,
        legacy_windows=False,
    )


def shown(item):
    screen = console()
    screen.print(item)
    return screen.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_ends_the_watching_and_says_how_to_go_on(run, monkeypatch, terminal):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "is_alive", property(interrupted))
    screen = console(terminal)
    assert not watch(run, screen)
    assert f"manticore watch {run.id}" in screen.file.getvalue()


@pytest.fixture
def run(tmp_path):
    """A run of 40 steps that is done, without a process."""
    config = RunConfig(components=NAMES, n_blocks=2, data={"source": "x"})
    folder = make_run_folder(config, root=tmp_path)
    with EventWriter(folder) as events:
        events.emit("stage", name="search", total_steps=40)
        for step in range(41):
            if step:
                events.emit("step", step=step, loss=3.0, lr={}, tokens_per_s=900.0, eta_s=0.0)
            weights = [[0.5, 0.5], [0.5 + step / 100, 0.5 - step / 100]]
            events.emit("mixture", step=step, weights=weights, components=NAMES)
        events.emit("eval", step=40, metrics=METRICS)
        events.emit("sample", step=40, prompt="Once", text="Once [bold]upon[/bold]")
        events.emit("warning", message="Block 2 collapsed")
    write_status(folder, "done")
    return Run(folder)


def test_view_says_all_that_is_known(run):
    text = shown(run_view(run))
    for part in ("done", "step 40 of 40", "loss 3.000", "first", "0.900", "0.100", "2.50", "4,321"):
        assert part in text
    assert "not finite" in text
    assert "Block 2 collapsed" in text
    assert "Once [bold]upon[/bold]" in text


@pytest.mark.parametrize(("state", "word"), [("failed", "failed"), ("running", "interrupted")])
def test_view_says_why_a_run_ended(run, state, word):
    with EventWriter(run.folder) as events:
        events.emit("failed", cause="no [such] text", remedy="Give another.")
    write_status(run.folder, state, pid=2**22 + 1, message="no [such] text")
    text = shown(run_view(run))
    assert word in text
    assert ("no [such] text Give another." in text) == (state == "failed")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4).filter(lambda row: sum(row) > 0.01))
def test_bars_are_equally_long_whatever_the_weights(row):
    row = [weight / sum(row) for weight in row]
    text = shown(mixture_table([row], [f"c{k}" for k in range(len(row))]))
    assert text.count("█") == BAR_WIDTH


def test_a_bar_is_shared_by_weight():
    table = mixture_table([[0.25, 0.75]], NAMES)
    (bar,) = table.columns[1].cells
    lengths = [span.end - span.start for span in bar.spans]
    assert lengths == [BAR_WIDTH // 4, 3 * BAR_WIDTH // 4]


def test_lines_show_every_few_steps_and_the_last(run):
    lines = MixtureLines()
    rows = [line for event in run.events() for line in lines.of(event)]
    assert rows[0] == "mixture weights of first / second"
    assert "block 2" in rows[1]
    steps = [row.split()[0] for row in rows[2:-1]]
    assert steps == [str(step) for step in range(0, 41, 2)]
    assert "0.900/0.100" in rows[-2]
    assert rows[-1].split() == ["40", "held-out", "perplexity", "2.500"]


def test_a_programming_run_shows_accuracy_by_task(tmp_path):
    run = programming_run(tmp_path)
    text = shown(run_view(run))
    assert [line.split() for line in text.splitlines()[-3:]] == [
        ["accuracy", "before", "now"],
        ["recall", "12.5%", "50.0%"],
        ["memorization", "12.5%", "75.0%"],
    ]
    assert "perplexity" not in text
    assert "62% right" in shown(runs_table([run]))
    assert "62% right" in shown(stages_table([run]))


def test_headline_says_at_which_task_programming_is(tmp_path):
    text = shown(run_view(programming_run(tmp_path, "stopped", upto=6)))
    assert "step 2 of 10  recall  loss 2.800" in text
    assert "generating the first task" in shown(
        run_view(programming_run(tmp_path, "queued", upto=0))
    )


def test_lines_of_programming_begin_each_task_anew(tmp_path):
    lines = MixtureLines()
    # Of so many steps that each fifth gets a line, but where a task begins.
    first, *events = programming_run(tmp_path).events()
    events = [{**first, "total_steps": 100}, *events]
    events = [
        {**event, "step": event["step"] + 1} if "step" in event else event for event in events
    ]
    rows = [line for event in events for line in lines.of(event)]
    at = rows.index("memorization:")
    assert rows[at - 1].split() == ["6", "accuracy", "on", "recall", "50.0%"]
    assert rows[at + 1].split() == ["6", "0.500/0.500", "0.500/0.500"], "no loss of another task"
    assert rows[-2] == "combined:"
    assert rows[-1].split() == ["11", "0.750/0.250", "0.750/0.250"]


def test_watching_into_a_file_ends_with_the_run(run):
    screen = console()
    watch(run, screen)
    text = screen.file.getvalue()
    assert text.count("0.500/0.500") == 22  # both blocks at first, the first block at 20 steps more
    assert text.index("0.500/0.500") < text.index("done  step 40")


def test_watching_in_a_terminal_draws_the_last_state(run):
    screen = console(terminal=True)
    watch(run, screen)
    assert "0.900" in screen.file.getvalue()
    assert "/0." not in screen.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"), [(None, "not finite"), (2.345, "2.35"), (4321.0, "4,321"), (2e7, "2.0e+07")]
)
def test_numbers_stay_short(value, text):
    assert perplexity_label(value) == text


def test_chat_goes_on_with_all_that_was_written(component, monkeypatch):
    hybrid = build_hybrid([component("gpt2")], n_blocks=2, projector_init="identity")
    said = iter(["Once upon", "", "/new", "a fox"])
    screen = console()

    def read(_prompt):
        line = next(said, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr(screen, "input", read)
    chat(hybrid, screen, max_new_tokens=6, temperature=0.0, top_p=1.0)
    text = screen.file.getvalue()
    assert "A new text." in text
    expected = [
        hybrid.tokenizer.decode(
            hybrid.generate(
                **hybrid.tokenizer(beginning, return_tensors="pt"),
                max_new_tokens=6,
                do_sample=False,
            )[0],
            skip_special_tokens=True,
        ).removeprefix(beginning)
        for beginning in ("Once upon", "a fox")
    ]
    before, after = text.split("A new text.")
    assert expected[0] in before
    assert expected[1] in after
