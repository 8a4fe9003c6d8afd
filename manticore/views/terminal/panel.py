"""What a run looks like in a terminal: mixture weights as bars, progress, perplexity, a sample."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from manticore.runs import Run
from manticore.views.colored_text import ColoredText
from manticore.views.plots import (
    component_colour,
    perplexity_label,
    short_names,
    task_accuracies,
)
from manticore.views.wording import phrases, state_words, warning_text

BAR_WIDTH = 44
_STATE_STYLE = {"done": "green", "failed": "bold red", "died": "bold red", "stopped": "yellow"}


def run_view(run: Run) -> RenderableType:
    """Everything about a run that fits a terminal, as of now."""
    events, row = run.thinned_events()[0], run.summary()
    last = {event["kind"]: event for event in events}
    parts: list[RenderableType] = [headline(row)]
    if row["step"] is not None and row["total_steps"]:
        bar = ProgressBar(row["total_steps"], row["step"], width=BAR_WIDTH + 20)
        parts.append(Padding(bar, (0, 0, 1, 0)))
    if "probe" in last:
        parts.append(Padding(ColoredText.of(last["probe"]), (0, 0, 1, 0)))
    if "mixture" in last:
        parts.append(mixture_table(last["mixture"]["weights"], last["mixture"]["components"]))
    if "eval" in last:
        if row["stage"] == "program":
            parts.append(accuracy_table(events))
        else:
            parts.append(perplexity_table(last["eval"]["metrics"]))
    if "sample" in last:
        parts.append(Padding(sample_text(last["sample"]), (1, 0)))
    parts += [Text(warning_text(event), "yellow") for event in events if event["kind"] == "warning"]
    if row["state"] in {"failed", "died"}:
        parts.append(Text(f"{row['message']} {row['remedy'] or ''}".strip(), "red"))
    return Group(*parts)


def brief_view(run: Run) -> RenderableType:
    """How far a run is, its mixture weights or a text colored by them, and its perplexity."""
    last = run.newest_events()
    parts: list[RenderableType] = [headline(run.summary())]
    if "probe" in last:
        parts.append(ColoredText.of(last["probe"]))
    elif "mixture" in last:
        parts.append(mixture_table(last["mixture"]["weights"], last["mixture"]["components"]))
    if "eval" in last:
        metrics = last["eval"]["metrics"]
        names = short_names(list(metrics["components"]))
        alone = zip(names, metrics["components"].values(), strict=True)
        told = [f"perplexity of the hybrid {perplexity_label(metrics['perplexity'])}"]
        told += [f"{name} alone {perplexity_label(value)}" for name, value in alone]
        parts.append(Text(" · ".join(told), "dim"))
    return Group(*parts)


def headline(row: Mapping[str, Any]) -> Text:
    """State, step, task, loss, speed and remaining time of a run in one line."""
    text = Text(state_words(row), _STATE_STYLE.get(row["state"], "bold cyan"))
    text.append("".join(f"  {phrase}" for phrase in phrases(row)))
    text.append(f"  {row['id']}", "dim")
    return text


def mixture_table(alpha: Sequence[Sequence[float]], names: Sequence[str]) -> Table:
    """The mixture weights: one line per block, one coloured stretch of a bar per component.

    Args:
        alpha: Mixture weights, (N, K): N blocks, K components.
        names: Names of the K components.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("block", style="dim")
    table.add_column("mixture weights", no_wrap=True)
    for k, name in enumerate(short_names(names)):
        table.add_column(Text(name, component_colour(k)), justify="right", no_wrap=True)
    for block, row in enumerate(alpha, start=1):
        table.add_row(str(block), _bar(row), *(f"{weight:.3f}" for weight in row))
    return table


def perplexity_table(metrics: Mapping[str, Any]) -> Table:
    """Held-out perplexity of the hybrid, and of each component alone before the run.

    Args:
        metrics: Metrics of an `eval` event.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("held-out perplexity", style="dim", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_row(Text("the hybrid", "bold"), Text(perplexity_label(metrics["perplexity"]), "bold"))
    components = metrics["components"]
    named = zip(short_names(list(components)), components.values(), strict=True)
    for k, (name, value) in enumerate(named):
        label = Text.assemble((name, component_colour(k)), (" alone, before the run", "dim"))
        table.add_row(label, perplexity_label(value))
    if metrics.get("floor") is not None:
        table.add_row(Text("lowest possible", "dim"), perplexity_label(math.exp(metrics["floor"])))
    return table


def accuracy_table(events: Sequence[Mapping[str, Any]]) -> Table:
    """Accuracy on the test examples of each task: before its search, and as measured last.

    Args:
        events: Events of a programming run.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("accuracy", style="dim", no_wrap=True)
    for column in ("before", "now"):
        table.add_column(column, justify="right", no_wrap=True)
    for task, values in task_accuracies(events).items():
        table.add_row(task, f"{values[0]:.1%}", Text(f"{values[-1]:.1%}", "bold"))
    return table


def sample_text(sample: Mapping[str, Any]) -> Text:
    """A `sample` event: the prompt in bold, then what the hybrid wrote."""
    text, prompt = sample["text"], sample["prompt"]
    rest = text.removeprefix(prompt)
    return Text.assemble((prompt, "bold"), rest)


def _bar(row: Sequence[float]) -> Text:
    """A row of alpha as stretches of a bar; rounding never changes its whole width."""
    text, done, total = Text(), 0, 0.0
    for k, weight in enumerate(row):
        total += weight
        upto = round(BAR_WIDTH * min(1.0, total / sum(row)))
        text.append("█" * (upto - done), component_colour(k))
        done = upto
    return text
