"""A programming run played by task weights: its mixture weights are combined again at once."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import gradio as gr

from manticore.config.programming import ProgramConfig
from manticore.names import TASKS
from manticore.runs import Run
from manticore.runs.programmed import Played, programmed_before
from manticore.views.plots import short_names
from manticore.views.skills import Skill, mixture_html, skill_html, skills_of
from manticore.views.wording import short_task

from .open_runs import OpenRuns
from .skills import weights_of

TICK = 1.0
TELL_DIAGRAM = """
(mixed) => {
  if (mixed) document.dispatchEvent(new CustomEvent("manticore:mix", { detail: mixed }));
}
"""
"""The diagram above the tabs shows the same mixture weights, and measures the hybrid at them."""


def played_for(run: Run | None, components: Sequence[str], n_blocks: float) -> Played | None:
    """The run to play, if it has results for the hybrid that the form describes."""
    if run is None or (tuple(components), n_blocks) != hybrid_of_form(run):
        return None
    return Played.of(run)


def hybrid_of_form(run: Run) -> tuple[tuple[str, ...], int]:
    """What the form says of the hybrid of a run."""
    return run.config.components, run.config.n_blocks


def play(
    opened: OpenRuns, run_id: str | None, components: list[str], n_blocks: float, *values: float
) -> list[Any]:
    """What moving a slider changes.

    Args:
        opened: The runs.
        run_id: Id of the run that is shown.
        components: Components of the form.
        n_blocks: Blocks of the form.
        values: The task weights.

    Returns:
        Updates of the picture and of the buttons to search and to keep, and what the diagram is
        told.
    """
    weights = weights_of(values)
    played = played_for(opened.find(run_id), components, n_blocks)
    search = search_button(played, weights)
    off = gr.Button(interactive=False)
    if played is None:
        return [
            _faint("The mixture weights appear here once skills are searched."),
            search,
            off,
            None,
        ]
    try:
        mixture = played.mixture(weights)
    except ValueError:
        return [_faint("Raise the weight of a skill that was searched."), search, off, None]
    own = played.run.metrics()["mixture_weights"]
    as_found = all(
        abs(a - b) < 1e-6
        for row, before in zip(mixture, own, strict=True)
        for a, b in zip(row, before, strict=True)
    )
    mixed = {"id": played.run.id, "weights": None if as_found else mixture}
    picture = picture_html(played, weights, mixture)
    return [picture, search, gr.Button(interactive=not as_found), mixed]


def _faint(text: str) -> str:
    return f'<div class="faint">{text}</div>'


def kept_name(played: Played, weights: Mapping[str, float]) -> str:
    """Name of a run that keeps the mixture weights of these task weights."""
    names = " + ".join(short_names(played.run.config.components))
    return f"{names}: {_parts(played, weights)}"[:120]


def _parts(played: Played, weights: Mapping[str, float]) -> str:
    """How much each task counts, of those that were searched."""
    counting = {
        task: weights[task] for task in weights if weights[task] and task in played.searched
    }
    total = sum(counting.values())
    return ", ".join(f"{short_task(task)} {w / total:.0%}" for task, w in counting.items())


def search_button(played: Played | None, weights: Mapping[str, float]) -> gr.Button:
    """The button that starts a search, named after what it does now."""
    if played is None:
        n = sum(weight > 0 for weight in weights.values())
        return gr.Button(f"Search {n} skill{'' if n == 1 else 's'}", variant="primary")
    missing = played.missing(weights)
    if not missing:
        return gr.Button("Search again", variant="secondary")
    what = " and ".join(map(short_task, missing))
    if len(missing) > 2:
        what = f"{len(missing)} more skills"
    return gr.Button(f"Search {what}", variant="primary")


def picture_html(
    played: Played, weights: Mapping[str, float], mixture: Sequence[Sequence[float]]
) -> str:
    """The combined mixture weights, with what they are made of."""
    how = "Combined" if played.options.combine == "mean" else "Those of the task done best"
    return (
        f'<div class="combined"><div><b>{how}</b> '
        f'<span class="faint">{_parts(played, weights)}</span></div>'
        f"{mixture_html(mixture, played.run.config.components)}</div>"
    )


def look(
    opened: OpenRuns,
    run_id: str | None,
    components: list[str],
    n_blocks: float,
    before: Any,
    *values: float,
) -> Any:
    """What the tab shows of a run: form, cards and picture follow it.

    Args:
        opened: The runs.
        run_id: Id of the run that is shown.
        components: Components of the form.
        n_blocks: Blocks of the form.
        before: What the last look saw, which this function returns as its last output.
        values: The task weights.

    Returns:
        Updates of components, blocks, sliders, cards' states, notice, and the button that offers
        results; and what was seen.
    """
    run = opened.find(run_id)
    shown = run if run is not None and run.config.stage == "program" else None
    follows = shown is not None and (before is None or before[0] != run_id)
    if shown is not None and follows:
        # The form becomes that of the run, so that its sliders play it.
        components, n_blocks = list(shown.config.components), shown.config.n_blocks
        values = _weights(shown)
    if shown is not None and (tuple(components), n_blocks) != hybrid_of_form(shown):
        shown = None
    state = "" if shown is None else shown.status.state
    events, count = ([], 0) if shown is None else shown.thinned_events()
    # Of a hybrid that is not shown, the results that may be offered are in some folder of a run.
    seen = count if shown else _changed(opened.root)
    now = (run_id, tuple(components), n_blocks, state, seen)
    if before == now:
        return gr.skip()
    played = played_for(shown, components, n_blocks)
    skills = skills_of(events, played.found if played else {}, state)
    offered = None if shown else programmed_before(components, int(n_blocks), opened.root)
    return [
        gr.Dropdown(value=components) if follows else gr.skip(),
        gr.Slider(value=n_blocks) if follows else gr.skip(),
        *(values if follows else [gr.skip()] * len(TASKS)),
        *(skill_html(_skill(task, skills)) for task in TASKS),
        _notice(played, shown, offered),
        gr.Button(visible=offered is not None),
        now,
    ]


def stamp(opened: OpenRuns, run_id: str | None) -> object:
    """What `look` depends on, besides the form.

    Args:
        opened: The runs.
        run_id: Id of the run that is shown.
    """
    run = opened.find(run_id)
    if run is None or run.config.stage != "program":
        return _changed(opened.root)
    return run.status.state, run.count_events()


def _changed(root: Path) -> int:
    """When a run was made or deleted last."""
    return root.stat().st_mtime_ns if root.is_dir() else 0


def _weights(run: Run) -> tuple[float, ...]:
    """Task weights of a run, in the order of `TASKS`."""
    tasks = cast("ProgramConfig", run.config.options).tasks
    return tuple(tasks.get(task, 0.0) for task in TASKS)


def _skill(task: str, skills: Mapping[str, Skill]) -> Skill | None:
    """What is known of a task; of one that is searched at several lengths, at the last."""
    named = re.compile(rf"{re.escape(task)}(-\d+)?")
    of_task = [skill for name, skill in skills.items() if named.fullmatch(name)]
    return of_task[-1] if of_task else None


def _notice(played: Played | None, shown: Run | None, offered: Run | None) -> str:
    """What the sliders do now."""
    if played is not None:
        text = (
            "<b>Move a slider:</b> the mixture weights change at once, here and in the diagram "
            "above. Nothing is searched again."
        )
    elif shown is not None and shown.is_alive:
        text = "<b>Being searched.</b> Each skill has a search of its own, one after the other."
    elif shown is not None:
        text = "<b>The search has not come to its end.</b> Resume it below, or search again."
    elif offered is not None:
        names = " + ".join(short_names(offered.config.components))
        text = f"<b>{names} has been searched already.</b> Play its results, or search again."
    else:
        text = (
            "<b>Weight the skills, then search them.</b> Each has a search of its own, of a minute "
            "or two; after that, moving a slider changes the mixture weights at once."
        )
    return f'<div class="notice">{text}</div>'
