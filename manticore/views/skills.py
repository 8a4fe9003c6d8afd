"""Programming as HTML: how well each task is done, and what the tasks' mixture weights come to."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manticore.config.programming import NOTHING_LEARNED
from manticore.names import TASKS
from manticore.store.events import last_per_step_by_task
from manticore.views.plots.perplexity import perplexity_label
from manticore.views.plots.theme import component_colour, short_names, translucent
from manticore.views.wording import lead_in_words, short_task

if TYPE_CHECKING:
    from manticore.programming.trust import Trust

LEARNED = "#17a07c"
CHANCE = "#c2453d"
STRONGEST = 0.6
"""Opacity of a weight of 1: text on it is read on light and on dark pages."""
SKILLS = {"in-context-recall": 1.0, "memorization": 0.5}
"""Weights at first; of the other tasks 0."""
_RECALL = ("in-context-recall", "fuzzy-in-context-recall", "noisy-in-context-recall")
MIXES = {
    "All equal": tuple(TASKS),
    "Recall": _RECALL,
    "Copy and compress": ("selective-copying", "compression"),
    "Memorize": ("memorization",),
    "All off": (),
}
"""Task weights at one press: the tasks that count, all alike."""


@dataclass(frozen=True)
class Skill:
    """What is known of a task.

    Attributes:
        accuracy: Accuracy on test examples; None before it is measured.
        chance: Accuracy by chance; None where it is not known.
        weights: Mixture weights (N, K) that its search found, or has so far; None before it begins.
        working: Whether its search is under way.
    """

    accuracy: float | None = None
    chance: float | None = None
    weights: Sequence[Sequence[float]] | None = None
    working: bool = False


def skills_of(
    events: Sequence[Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]], state: str
) -> dict[str, Skill]:
    """What is known of each task of a programming run, by name of its search.

    Args:
        events: Events of the run.
        found: Results of its tasks, as far as they are known.
        state: State of the run.
    """
    skills = {
        name: Skill(result["accuracy"], result["guessing"], result["mixture_weights"])
        for name, result in found.items()
    }
    measured, mixed = (last_per_step_by_task(events, kind) for kind in ("eval", "mixture"))
    now = next((event["task"] for event in reversed(events) if "task" in event), None)
    for name in mixed.keys() | measured.keys():
        if name not in skills and name in measured:
            metrics = measured[name][-1]["metrics"]
            weights = mixed[name][-1]["weights"] if name in mixed else None
            working = name == now and state in {"running", "stopping"}
            skills[name] = Skill(metrics["accuracy"], metrics.get("chance"), weights, working)
    return skills


def skill_html(skill: Skill | None) -> str:
    """How well a task is done, against chance, and what its own mixture weights are.

    Args:
        skill: What is known; None for a task that was not searched.
    """
    if skill is None or skill.accuracy is None:
        return '<div class="skill-state none">not searched yet</div>'
    said = f"{'so far ' if skill.working else ''}{skill.accuracy:.0%} right"
    if not skill.working and skill.chance is not None and _by_luck(skill.accuracy, skill.chance):
        said = f"<b>not learned:</b> {said}"
    tick = ""
    if skill.chance is not None:
        said += f", {skill.chance:.0%} by chance"
        tick = (
            f'<i style="left:{skill.chance:.1%};background:{CHANCE}" '
            'title="accuracy by chance"></i>'
        )
    own = "" if skill.weights is None else _strip(skill.weights)
    bar = (
        f'<div class="skill-bar"><b style="width:{skill.accuracy:.1%};background:{LEARNED}"></b>'
        f"{tick}</div>"
    )
    state = " working" if skill.working else ""
    return f'<div class="skill-state{state}">{bar}<span>{said}</span>{own}</div>'


def _by_luck(accuracy: float, chance: float) -> bool:
    """Whether programming warns that a task was not learned."""
    return accuracy - chance < NOTHING_LEARNED * (1 - chance)


def _strip(weights: Sequence[Sequence[float]]) -> str:
    """Mixture weights as small bars, a column per block."""
    said = _said(weights)
    columns = "".join(
        "<span>"
        + "".join(
            f'<b style="height:{weight:.1%};background:{component_colour(k)}"></b>'
            for k, weight in enumerate(row)
        )
        + "</span>"
        for row in weights
    )
    return (
        f'<div class="skill-strip" role="img" aria-label="Its mixture weights: {said}" '
        f'title="Its own mixture weights. {said}">{columns}</div>'
    )


def _said(weights: Sequence[Sequence[float]]) -> str:
    """Mixture weights for those who cannot see them."""
    return "; ".join(
        f"block {b}: " + ", ".join(f"{weight:.0%}" for weight in row)
        for b, row in enumerate(weights, 1)
    )


def mixture_html(weights: Sequence[Sequence[float]], components: Sequence[str]) -> str:
    """Mixture weights as a small table: blocks from left to right, a row per component.

    Args:
        weights: Mixture weights (N, K).
        components: Names of the K components.
    """
    n_blocks = len(weights)
    cells = "".join(f"<span>block {b}</span>" for b in range(1, n_blocks + 1))
    cells = f"<span></span>{cells}"
    for k, name in enumerate(short_names(components)):
        dot = f'<span class="dot" style="background:{component_colour(k)}"></span>'
        cells += f'<span class="name">{dot}{html.escape(name)}</span>'
        cells += "".join(
            f'<b style="background:{translucent(component_colour(k), STRONGEST * row[k])}">'
            f"{row[k]:.0%}</b>"
            for row in weights
        )
    columns = f"minmax(90px, max-content) repeat({n_blocks}, minmax(34px, 1fr))"
    return (
        f'<div class="mixture-table" role="img" aria-label="{html.escape(_said(weights))}" '
        f'style="grid-template-columns:{columns}">{cells}</div>'
    )


def trust_html(trust: "Trust", tasks: Mapping[str, float], text: str) -> str:
    """How well programmed mixture weights suit a text, in words, with the evidence.

    Args:
        trust: What was measured, counted and compared.
        tasks: Weight that each task has in the run.
        text: The text in words.
    """
    of_components = "".join(
        f"<span>{html.escape(name)}</span><span>{trust.shares[name]:.0%}</span>"
        f"<span>{perplexity_label(alone)}</span>"
        for name, alone in trust.alone.items()
    )
    total = sum(tasks.values())
    counted = sum(trust.skills.get(task, 0.0) for task in tasks) or 1.0
    of_skills = "".join(
        f"<span>{html.escape(short_task(task))}</span><span>{weight / total:.0%}</span>"
        f"<span>{_share(trust.skills.get(task), counted)}</span>"
        for task, weight in tasks.items()
    )
    return (
        f'<div class="trust"><p><b>{html.escape(lead_in_words(trust))}</b> In 24 of 30 '
        "trainings on ten texts and pairs, this foretold whether programmed mixture weights did "
        "better than even ones. To know, fine-tune and compare the perplexities.</p>"
        '<div class="trust-table"><i>component</i><i>mixture weight</i>'
        f"<i>perplexity alone</i>{of_components}</div>"
        f"<details><summary>Skills of {html.escape(text)}</summary>"
        '<div class="trust-table"><i>skill</i><i>weight here</i><i>weight in the text</i>'
        f'{of_skills}</div><p class="faint">With the weights that the skills have in the text, the '
        f"tasks would put each component into the blocks with agreement {trust.agreement:.2f} (1 = "
        "the same order of blocks, 0 = as by chance, -1 = the opposite order); "
        f"{trust.by_chance:.0%} of all orders agree as well. This number is no guide to what the "
        "mixture weights are worth.</p></details></div>"
    )


def _share(weight: float | None, total: float) -> str:
    return "not counted" if weight is None else f"{weight / total:.0%}"
