"""A run's state in words and small pieces of HTML."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from manticore.config.programming import ProgramConfig
from manticore.runs import Run, runs_root
from manticore.views.wording import facts, in_its_folder, short_task, state_words

NEWEST = 3
"""Warnings shown without a click."""


def idle_html(button: str) -> str:
    """The status panel of a tab while no run is chosen.

    Args:
        button: Label of the button that starts one.
    """
    return _line(
        f"<b>No run yet.</b> Choose components and press {button}. The run continues "
        "in the background, even if you close this page."
    )


def elsewhere_html(run: Run, tab: str, button: str) -> str:
    """The status panel of a tab while the chosen run is shown on another one.

    Args:
        run: The chosen run.
        tab: Title of the tab that shows it.
        button: Label of the button that starts a run here.
    """
    kind = run.config.stage.replace("-", " ")
    return _line(
        f"The run chosen above ({kind}) is shown on the tab <b>{html.escape(tab)}</b>. Press "
        f"{button} to start a new one here."
    )


def _line(text: str) -> str:
    return f'<div class="status"><div class="status-line"><span>{text}</span></div></div>'


def status_html(row: Mapping[str, Any], warnings: Sequence[str] = (), foreign: str = "") -> str:
    """The status panel of a run.

    Args:
        row: Summary of the run, by `Run.summary`.
        warnings: Messages of its warnings, oldest first.
        foreign: Why the reader may only look at it; "" if they may change it.
    """
    step, total = row["step"] or 0, row["total_steps"]
    share = 100 if row["state"] == "done" else 100 * step / total if total else 0
    cells = "".join(
        f'<span class="fact"><i>{label}</i>{html.escape(value)}</span>'
        for label, value in facts(row)
    )
    about = f'<div class="faint">{html.escape(foreign)}</div>' if foreign else ""
    return (
        f'<div class="status" data-run="{html.escape(row["id"])}" data-state="{row["state"]}">'
        f'<div class="status-line"><span class="chip {row["state"]}">{state_words(row)}</span>'
        f"{cells}<code>{html.escape(row['id'])}</code></div>"
        f'<div class="bar"><div class="bar-fill {row["state"]}" style="width:{share:.1f}%"></div>'
        f"</div>{_notes(row, warnings)}{about}</div>"
    )


def sample_html(sample: Mapping[str, Any] | None) -> str:
    """The latest sample of the run.

    Args:
        sample: The `sample` event; None if there is none.
    """
    if sample is None:
        return ""
    text, prompt = sample["text"], sample["prompt"]
    rest = text.removeprefix(prompt)
    return (
        f'<div class="sample"><i>Sample at step {sample["step"]}</i>'
        f"<p><b>{html.escape(prompt)}</b>{html.escape(rest)}</p></div>"
    )


def continuing_html(run: Run) -> str:
    """What a finished programming run found, and how to continue from it.

    Args:
        run: The run; one that is not done gives "".
    """
    options = run.config.options
    if run.status.state != "done" or not isinstance(options, ProgramConfig):
        return ""
    metrics = run.metrics()
    return (
        '<div class="continuing"><b>The hybrid is programmed.</b> Its mixture weights are '
        f"{html.escape(_combined(options, metrics))}; everything else is unchanged."
        f"{_agreement(metrics)} Chat with it on the tab Chat, or fine-tune it on a text, where "
        f"its mixture weights stay as they are.{_commands(run, metrics)}</div>"
    )


def _commands(run: Run, metrics: Mapping[str, Any]) -> str:
    """The same from a shell and in Python, folded."""
    elsewhere = run.folder.parent if run.folder.parent != runs_root() else None
    there = f"{run.id} --data bundled:stories-mixed{in_its_folder(run)}"
    found = f'"{run.id}", {json.dumps(str(elsewhere))}' if elsewhere else f'"{run.id}"'
    # What one task found, or blocks that are alike, cannot be compared.
    compared = metrics.get("agreement") is not None
    trust = "print(mc.trust(run, text))\n" if compared else ""
    shell = f"manticore trust {there}\n" if compared else ""
    python = (
        "import manticore as mc\n\n"
        f"run = mc.get_run({found})\n"
        'text = mc.load_text("bundled:stories-mixed", tokenizer=run.hybrid().tokenizer)\n'
        f"{trust}mc.finetune(run, text)"
    )
    return (
        "<details><summary>As commands</summary>In a shell:"
        f"<pre>{html.escape(f'{shell}manticore finetune {there}')}</pre>"
        f"In Python:<pre>{html.escape(python)}</pre></details>"
    )


def _combined(options: ProgramConfig, metrics: Mapping[str, Any]) -> str:
    """How the mixture weights of the tasks became those of the hybrid."""
    weights = ", ".join(f"{short_task(task)} {weight:g}" for task, weight in options.tasks.items())
    if options.combine == "best":
        best = short_task(metrics["best_task"])
        fitted = f"fitted for {options.target_length} tokens to" if options.lengths else "of"
        return f"those {fitted} {best}, the task done best (task weights: {weights})"
    if options.lengths:
        return f"those fitted for {options.target_length} tokens (task weights: {weights})"
    return f"the weighted mean over the tasks ({weights})"


def _agreement(metrics: Mapping[str, Any]) -> str:
    """How alike the tasks are, in words and as a number."""
    agreed = metrics.get("agreement")
    if agreed is None:
        return ""
    words = "The tasks disagree about"
    if agreed > 0.5:
        words = "The tasks largely agree about"
    elif agreed > 0.15:
        words = "The tasks agree a little about"
    return (
        f" {words} which component should lead in which block (agreement {agreed:.2f}: 1 = "
        "identical order, 0 = chance, -1 = opposite)."
    )


def _notes(row: Mapping[str, Any], warnings: Sequence[str]) -> str:
    notes = [f'<div class="note">{html.escape(text)}</div>' for text in warnings[-NEWEST:]]
    if earlier := warnings[:-NEWEST]:
        inside = "".join(f'<div class="note">{html.escape(text)}</div>' for text in earlier)
        notes.insert(
            0, f"<details><summary>{len(earlier)} earlier warnings</summary>{inside}</details>"
        )
    if row["state"] in {"failed", "died"}:
        text = f"{row['message']} {row['remedy'] or ''}"
        notes.append(f'<div class="note bad">{html.escape(text.strip())}</div>')
    return "".join(notes)
