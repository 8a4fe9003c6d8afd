"""Runs in words that the page, the terminal and the notebook share."""

import re
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from manticore.store.layout import runs_root

if TYPE_CHECKING:
    from manticore.programming.trust import Trust
    from manticore.runs.run import Run

STATE_WORDS = {
    "queued": "starting",
    "running": "running",
    "stopping": "stopping after this step",
    "stopped": "stopped",
    "done": "done",
    "failed": "failed",
    "died": "interrupted",
}

REACH = "anyone who can open the page can read its runs and start others"
"""What to know before the page is opened to others."""

FAMILIES = {
    "bloom": "BLOOM",
    "falcon_mamba": "Falcon Mamba",
    "gemma2": "Gemma 2",
    "gpt2": "GPT-2",
    "gpt_neo": "GPT-Neo",
    "gpt_neox": "GPT-NeoX",
    "gptj": "GPT-J",
    "llama": "Llama",
    "mamba": "Mamba",
    "mamba2": "Mamba-2",
    "mistral": "Mistral",
    "olmo2": "OLMo 2",
    "opt": "OPT",
    "phi": "Phi",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "recurrent_gemma": "RecurrentGemma",
    "stablelm": "StableLM",
}
"""Families as people write them; others as Transformers does."""


NEAR_EVEN = 0.02
"""Mixture weight above or below an even share that says nothing."""


def lead_in_words(trust: "Trust") -> str:
    """Whether programmed mixture weights suit a text, and why.

    Args:
        trust: With what was measured of the components.
    """
    best, lead = trust.best, trust.lead
    assert lead is not None, "the components were measured"
    if lead > NEAR_EVEN:
        return f"They suit the text: programming prefers {best}, which is best on it alone."
    if lead < -NEAR_EVEN:
        return (
            f"They do not suit the text: {best} is best on it alone, and programming gives it less "
            "than an even share."
        )
    return (
        f"Little to gain or to lose: programming gives {best}, which is best on the text alone, "
        "about an even share."
    )


def in_its_folder(run: "Run") -> str:
    """The flag that tells a command where a run is; "" where commands look by themselves."""
    elsewhere = run.folder.parent
    return "" if elsewhere == runs_root() else f" --runs-root {shlex.quote(str(elsewhere))}"


def state_words(row: Mapping[str, Any]) -> str:
    """The state of a run.

    Args:
        row: `Run.summary()`.
    """
    if row["state"] == "stopping" and row["step"] is None:
        return "stopping as soon as it can"
    if row["state"] == "queued" and row["message"]:
        return "waiting"
    return STATE_WORDS[row["state"]]


def facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How far a run is: (name, value) of what is known, in their order; names may be "".

    Args:
        row: `Run.summary()`.
    """
    if row["state"] == "queued" and row["message"]:
        return [("", row["message"])]
    if row["step"] is None:
        return [("", preparing(row))] if row["state"] in {"queued", "running"} else []
    known = [
        ("step", f"{row['step']} of {row['total_steps']}"),
        ("task", short_task(row["task"] or "")),
        ("loss", "not finite" if row["loss"] is None else f"{row['loss']:.3f}"),
        ("tokens/s", f"{row['tokens_per_s']:,.0f}" if row["tokens_per_s"] else ""),
        ("left", duration(row["eta_s"])),
    ]
    return [(name, value) for name, value in known if value]


def phrases(row: Mapping[str, Any]) -> list[str]:
    """`facts` in words, such as `step 3 of 200` and `loss 2.500`."""
    forms = {"step": "step {}", "loss": "loss {}", "tokens/s": "{} tokens/s", "left": "{} left"}
    return [forms.get(name, "{}").format(value) for name, value in facts(row)]


def preparing(row: Mapping[str, Any]) -> str:
    """What a run does before its first step.

    Args:
        row: `Run.summary()`.
    """
    first = "loading components, aligning projectors" if row["builds"] else "loading the hybrid"
    then = {"program": "generating the first task", "evaluate": "measuring"}
    return f"{first} and {then.get(row['stage'], 'measuring each component alone')}"


def short_task(task: str) -> str:
    """A MAD task's name for axes and tables, such as `noisy recall`; a length behind it stays."""
    return re.sub("in-context-|selective-", "", task).replace("-", " ")


def warning_text(event: Mapping[str, Any]) -> str:
    """What a `warning` event says, with the task that it is about, if any, before it."""
    task = event.get("task")
    return f"{short_task(task).capitalize()}: {event['message']}" if task else event["message"]


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units, such as `2 min 05 s`; "" if not known."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def about(seconds: float) -> str:
    """Seconds as one says them who does not know exactly, such as `2 minutes` or `40 seconds`."""
    if seconds < 10:
        return f"{max(seconds, 0.01):.1g} seconds".replace("1 seconds", "1 second")
    if seconds < 55:
        return f"{round(seconds, -1):.0f} seconds"
    if seconds < 90:
        return "a minute"
    if seconds < 55 * 60:
        return f"{seconds / 60:.0f} minutes"
    hours = round(seconds / 1800) / 2
    if seconds < 36 * 3600:
        return "an hour" if hours <= 1 else f"{hours:g} hours"
    return f"{seconds / 86400:.0f} days"


def gigabytes(size: float) -> str:
    """Bytes in GB, with as many digits as say something, such as `0.9 GB` or `40 GB`."""
    number = size / 1e9
    return (
        f"{number:.0f} GB"
        if number >= 10
        else f"{number:.1f} GB"
        if number >= 0.1
        else (f"{number:.2f} GB")
    )


def size_label(size: int) -> str:
    """Bytes in a unit that suits them, such as `12 MB`.

    Args:
        size: Number of bytes.
    """
    for unit, bytes_of_it in (("GB", 1e9), ("MB", 1e6)):
        if size >= bytes_of_it:
            return f"{size / bytes_of_it:.{0 if size >= 10 * bytes_of_it else 1}f} {unit}"
    return f"{size / 1e3:.0f} kB"


def explain(error: Exception) -> str:
    """An error in words for the reader: what is wrong with which value, and the remedy."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return " ".join(map(_explain_value, error.errors(include_url=False)))
    return str(error.args[0]) if isinstance(error, LookupError) and error.args else str(error)


def _explain_value(problem: Mapping[str, Any]) -> str:
    """What is wrong with one value, as pydantic describes it, in a sentence."""
    where = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "missing":
        return f"{where} is missing."
    if problem["type"] == "value_error":  # one of our own, which names the value
        text = problem["msg"].removeprefix("Value error, ")
        return f"{where}: {text}" if where else text
    needed = re.sub("^[A-Z][a-z]+ should", "it should", problem["msg"])
    return f"{where} is {problem['input']!r:.60}: {needed}."


def family_label(family: str) -> str:
    """A family as people write it.

    Args:
        family: Its name in Transformers.
    """
    return FAMILIES.get(family, family)


def count_label(parameters: int) -> str:
    """A number of parameters as people say it: `5.8 M`, `1.24 B`."""
    if parameters >= 1e9:
        return f"{parameters / 1e9:.2f} B"
    return f"{parameters / 1e6:.1f} M" if parameters >= 1e5 else f"{parameters:,}"
