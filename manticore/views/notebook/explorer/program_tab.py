"""The tab that programs a hybrid: a slider for each MAD task, which moves the lanes at once."""

import html
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import ipywidgets

from manticore.names import TASKS
from manticore.runs import Run
from manticore.runs.gallery import gallery_names, open_gallery
from manticore.runs.programmed import Played, programmed_before
from manticore.tasks.task import find_task
from manticore.views.skills import MIXES, SKILLS, Skill, skill_html, skills_of
from manticore.views.wording import short_task
from manticore.views.worked_example import worked_example_html

if TYPE_CHECKING:
    from manticore.views.notebook.explorer.cell import Explorer

SKILLS_RUN = "all-skills"
"""Entry of the gallery that has searched all tasks with the bundled pair."""
HOW = (
    "<b>Six small synthetic tasks, each a skill.</b> Each one finds mixture weights of its own, "
    "and the hybrid gets their weighted mean. How much should each skill count?"
)
PLAYED = "Move a slider: the mixture weights change at once, in the diagram above too."
SEARCH_FIRST = "Weight the skills, then search them: a minute or two for each."


class ProgramTab(ipywidgets.VBox):
    """Sliders with worked examples; what was searched for the hybrid is played by them.

    Args:
        explorer: The explorer that it belongs to.
    """

    def __init__(self, explorer: "Explorer") -> None:
        self._explorer = explorer
        self.played: Played | None = None
        self.sliders = {task: _slider(task) for task in TASKS}
        self._states = {task: ipywidgets.HTML(skill_html(None)) for task in TASKS}
        self._notice = ipywidgets.HTML()
        self.begin = ipywidgets.Button(description="Search", button_style="primary")
        self.steps = ipywidgets.IntSlider(100, 10, 1000, 10, description="Steps per task")
        mixes = [ipywidgets.Button(description=label) for label in MIXES]
        for button, tasks in zip(mixes, MIXES.values(), strict=True):
            button.on_click(lambda _, tasks=tasks: self.weigh(dict.fromkeys(tasks, 1.0)))
        for slider in self.sliders.values():
            slider.observe(self._play, "value")
        self.begin.on_click(lambda _: self.search())
        cards = [self._card(task) for task in TASKS]
        super().__init__(
            [
                ipywidgets.HTML(HOW),
                ipywidgets.HBox(mixes, layout=ipywidgets.Layout(flex_flow="row wrap")),
                ipywidgets.GridBox(cards, layout=_GRID),
                self._notice,
                ipywidgets.HBox([self.steps, self.begin]),
            ]
        )
        self._show()

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each task."""
        return {task: slider.value for task, slider in self.sliders.items()}

    def weigh(self, weights: dict[str, float]) -> None:
        """Set the weight of every task; tasks that are not named get 0.

        Args:
            weights: Weights by task.
        """
        for task, slider in self.sliders.items():
            # All of them are one movement: on the way there may be no weight at all.
            slider.unobserve(self._play, "value")
            slider.value = weights.get(task, 0.0)
            slider.observe(self._play, "value")
        self._play()

    def look(self) -> None:
        """Find the results that the sliders play with the hybrid that is shown now."""
        self.played = played = self._find()
        self._show()
        self._show_skills(
            {}
            if played is None
            else skills_of(played.run.thinned_events()[0], played.found, "done")
        )

    def show_run(self, run: Run) -> None:
        """Show how far the tasks of a run are; other runs change nothing.

        Args:
            run: A run that works.
        """
        if run.config.stage == "program":
            self._show_skills(skills_of(run.thinned_events()[0], {}, run.status.state))

    def search(self) -> None:
        """Search the tasks that have a weight; what is wrong is told."""
        tasks = {task: weight for task, weight in self.weights.items() if weight}
        if not tasks:
            self._explorer.tell("No task has a weight: raise at least one.", problem=True)
            return
        with suppress(ValueError, OSError):  # which the explorer has told
            self._explorer.program(tasks, self.steps.value)

    def _find(self) -> Played | None:
        hybrid, run, root = self._explorer.hybrid, self._explorer.run, self._explorer.root
        if hybrid is None:
            return None
        if run is not None and (played := Played.of(run)) is not None:
            return played
        sources, n_blocks = hybrid.config.component_sources, hybrid.config.n_blocks
        found = programmed_before(sources, n_blocks, root)
        if found is None and SKILLS_RUN in gallery_names():
            bundled: Run = open_gallery(SKILLS_RUN, root)
            if (tuple(sources), n_blocks) == (bundled.config.components, bundled.config.n_blocks):
                found = bundled
        return None if found is None else Played.of(found)

    def _play(self, *_: Any) -> None:
        self._show()
        if self.played is None or self._explorer.diagram is None:
            return
        try:
            self._explorer.mix(self.played.mixture(self.weights))
        except ValueError as error:
            self._explorer.tell(str(error), problem=True)

    def _show(self) -> None:
        played, n = self.played, sum(weight > 0 for weight in self.weights.values())
        self._notice.value = f"<i>{html.escape(PLAYED if played else SEARCH_FIRST)}</i>"
        again = bool(played) and not played.missing(self.weights)
        self.begin.description = (
            "Search again" if again else f"Search {n} skill{'' if n == 1 else 's'}"
        )

    def _show_skills(self, skills: dict[str, Skill]) -> None:
        for task, state in self._states.items():
            state.value = skill_html(skills.get(task))

    def _card(self, task: str) -> ipywidgets.VBox:
        about = ipywidgets.HTML(f"<small>{html.escape(TASKS[task].about)}</small>")
        parts = [self.sliders[task], about, self._states[task]]
        if find_task(task).tokens:
            shown = ipywidgets.HTML(worked_example_html(task))
            fold = ipywidgets.Accordion([shown], titles=("Example",))
            fold.observe(partial(_another, shown, task, count()), "selected_index")
            parts.append(fold)
        card = ipywidgets.VBox(parts)
        card.add_class("mc-skill")
        return card


_GRID = ipywidgets.Layout(grid_template_columns="repeat(auto-fill, minmax(300px, 1fr))")


def _slider(task: str) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        SKILLS.get(task, 0.0),
        min=0,
        max=1,
        step=0.05,
        description=short_task(task).capitalize(),
        style={"description_width": "130px"},
        layout={"width": "290px"},
    )


def _another(
    shown: ipywidgets.HTML, task: str, seeds: Iterator[int], change: dict[str, Any]
) -> None:
    """Draw another example whenever the fold is opened."""
    if change["new"] is not None:
        shown.value = worked_example_html(task, next(seeds))
