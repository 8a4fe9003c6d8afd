"""The scene of a run: its hybrid as its events tell of it, with the newest mixture weights."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from manticore.views.diagram.scene import Reading, scene_of
from manticore.views.panels import Snapshot
from manticore.views.plots.theme import thin

PLAYED_TOKENS = 48
MOMENTS = 60
"""Moments of a search that the diagram can go back to: enough to see it move, little to send."""
HINTS = {
    "queued": "The hybrid is being built.",
    "running": "The lanes move as the mixture weights are searched.",
}
BY_HAND = "Drag {handle} to mix by hand, or point at a part to read what it is."
ROUTED = (
    "Every token has mixture weights of its own, and the lanes show their mean: play the text, or "
    "point at a word. Drag {handle} to give all tokens the same."
)
ALONE = "Point at a part to read what it is."


def scene_of_run(seen: Snapshot, state: str = "done") -> dict[str, Any] | None:
    """The scene that the diagram draws for a run; None before its hybrid is built.

    Args:
        seen: What the run has written.
        state: State of the run.
    """
    outline, mixture = seen.last("hybrid"), seen.last("mixture")
    if outline is None:
        return None
    K = len(outline["components"])
    weights = mixture["weights"] if mixture else [[1 / K] * K for _ in range(outline["n_blocks"])]
    sample, probe = seen.last("sample"), seen.last("probe")
    tokens = [] if probe is None else _played(probe)
    reading = Reading(sample["prompt"] if sample else "", tokens=tokens)
    task = (mixture or {}).get("task") or None
    hint = HINTS.get(state, hint_at_rest(K, plays=bool(tokens)))
    if task and state == "running":
        hint = f"The hybrid learns the task {task}."
    return scene_of(
        outline,
        weights,
        reading,
        scene_id=seen.id,
        editable=True,
        hint=hint,
        history=_history(seen, task),
    )


def hint_at_rest(n_components: int, plays: bool = False) -> str:
    """What can be done with the diagram of a hybrid that is at rest.

    Args:
        n_components: Number of components.
        plays: Whether it plays a text with routed mixture weights.
    """
    if n_components == 1:
        return ALONE
    handle = "the point in a triangle" if n_components == 3 else "a divider"
    return (ROUTED if plays else BY_HAND).format(handle=handle)


def _history(seen: Snapshot, task: str | None) -> list[tuple[str, Sequence[Sequence[float]]]]:
    """Some of the moments of the search, or of a task's, evenly spread; the first and the last."""
    moments = [
        (f"step {event['step']}", event["weights"])
        for event in seen.events
        if event["kind"] == "mixture" and (event.get("task") or None) == task
    ]
    return [moments[i] for i in thin(len(moments), MOMENTS)]


def _played(probe: Mapping[str, Any]) -> list[tuple[str, Sequence[Sequence[float]]]]:
    """The beginnings of passages that differ in their mixture weights, one after the other."""
    cuts = [*(probe.get("starts") or [0]), len(probe["tokens"])]
    passages = [range(a, b) for a, b in pairwise(cuts)]

    def share(passage: range) -> float:
        """How much of a passage belongs to the first component."""
        return fmean(probe["weights"][index][0][0] for index in passage)

    chosen = {min(passages, key=share), max(passages, key=share)}
    played = []
    for passage in sorted(chosen, key=lambda passage: passage.start):
        for index in passage[: PLAYED_TOKENS // len(chosen)]:
            # In one line: there is no room for line breaks.
            text = " ".join(probe["tokens"][index].split("\n"))
            played.append((text, probe["weights"][index]))
        played[-1] = (f"{played[-1][0]} … ", played[-1][1])
    return played
