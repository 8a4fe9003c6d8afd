"""A run's state in words and small pieces of HTML."""

import html
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from manticore.runs import Run, runs_root
from manticore.views.plots import short_names
from manticore.views.wording import facts, in_its_folder, short_task, state_words

NEWEST = 3
"""Warnings that are shown at once."""


def run_label(run: Run) -> str:
    """A run in one line, for the list of runs: what it is, what it did, and when it was made."""
    config = run.config
    what = " + ".join(short_names(config.components))
    # A recipe's runs are named by their stages already.
    if config.name and config.name != config.stage:
        what = config.name.removesuffix(config.stage).strip()
    when = datetime.fromtimestamp(run.status.created).strftime("%m-%d %H:%M")
    return f"{what} · {config.stage.replace('-', ' ')} · {config.n_blocks} blocks · {when}"


def idle_html(run: Run | None, programming: bool) -> str:
    """The status panel of a tab that has no run to show.

    Args:
        run: the page's run, which belongs on the other tab; None if there is none.
        programming: the tab is that of programming.
    """
    button = "Program" if programming else "Start"
    text = (
        f"<b>No run yet.</b> Choose components on the left and press {button}. The search goes on "
        "in the background, even if you close this page."
    )
    if run is not None:
        kind = run.config.stage.replace("-", " ")
        place = "Build and search" if programming else "Program"
        text = (
            f"The run chosen above ({kind}) is shown on the tab <b>{place}</b>. Press {button} for "
            "a new one here."
        )
    return f'<div class="status"><div class="status-line"><span>{text}</span></div></div>'


def status_html(row: Mapping[str, Any], warnings: Sequence[str] = ()) -> str:
    """The status panel of a run.

    Args:
        row: `Run.summary()`.
        warnings: messages of the run's `warning` events.
    """
    step, total = row["step"] or 0, row["total_steps"]
    share = 100 if row["state"] == "done" else 100 * step / total if total else 0
    cells = "".join(
        f'<span class="fact"><i>{label}</i>{html.escape(value)}</span>'
        for label, value in facts(row)
    )
    return (
        f'<div class="status" data-run="{html.escape(row["id"])}" data-state="{row["state"]}">'
        f'<div class="status-line"><span class="chip {row["state"]}">{state_words(row)}</span>'
        f"{cells}<code>{html.escape(row['id'])}</code></div>"
        f'<div class="bar"><div class="bar-fill {row["state"]}" style="width:{share:.1f}%"></div>'
        f"</div>{_notes(row, warnings)}</div>"
    )


def sample_html(sample: Mapping[str, Any] | None) -> str:
    """The latest text that the hybrid wrote during the run."""
    if sample is None:
        return ""
    text, prompt = sample["text"], sample["prompt"]
    rest = text[len(prompt) :] if text.startswith(prompt) else text
    return (
        f'<div class="sample"><i>Sample at step {sample["step"]}</i>'
        f"<p><b>{html.escape(prompt)}</b>{html.escape(rest)}</p></div>"
    )


def going_on_html(run: Run) -> str:
    """What a programming run has come to, and how to go on from there; "" before its end."""
    if run.status.state != "done":
        return ""
    options = run.config.options
    skills = ", ".join(f"{short_task(task)} {skill:g}" for task, skill in options.tasks.items())
    metrics = run.metrics()
    made = f"the mean of the tasks by skill ({skills})"
    if options.lengths:
        made = f"those fitted for {options.target_length} tokens, from skills {skills}"
    if options.combine == "best":
        whose = f"fitted for {options.target_length} tokens to" if options.lengths else "of"
        best = short_task(metrics["best_task"])
        made = f"those {whose} {best}, done best by skill ({skills})"
    elsewhere = run.folder.parent if run.folder.parent != runs_root() else None
    there = f"{run.id} --data bundled:stories-mixed{in_its_folder(run)}"
    found = f'"{run.id}", {json.dumps(str(elsewhere))}' if elsewhere else f'"{run.id}"'
    # What one task found, or blocks that are alike, can be compared with nothing.
    compared = metrics.get("agreement") is not None
    trust = "print(mc.trust(run, text))\n" if compared else ""
    shell = f"manticore trust {there}\n" if compared else ""
    python = (
        f"run = mc.get_run({found})\n"
        'text = mc.load_text("bundled:stories-mixed", tokenizer=run.hybrid().tokenizer)\n'
        f"{trust}mc.finetune(run, text)"
    )
    ask = "Or ask how far its mixture weights suit a text" if compared else "Or take a text"
    return (
        '<div class="going-on"><b>The hybrid is programmed.</b> Its mixture weights are '
        f"{html.escape(made)}{_agreement(metrics)}; everything else is as it was before. "
        f"Talk with it on the tab Chat. {ask}, a bundled one or the path of yours, and fine-tune "
        "it on that, its mixture weights held:"
        f"<pre>{html.escape(f'{shell}manticore finetune {there}')}</pre>"
        "or in Python, after <code>import manticore as mc</code>:"
        f"<pre>{html.escape(python)}</pre></div>"
    )


def _agreement(metrics: Mapping[str, Any]) -> str:
    agreed = metrics.get("agreement")
    if agreed is None:
        return ""
    return (
        f"; about which component counts more in which block the tasks agree {agreed:.2f} (1: "
        "wholly, 0: as by chance, -1: they want the reverse)"
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
