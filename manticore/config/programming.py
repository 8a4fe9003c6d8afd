"""Options of programming: one object for Python, a run's JSON and the shell."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from manticore.config.search import SearchConfig, n_held_out
from manticore.config.setting import PRESETS, Setting, preset_settings
from manticore.names import STRATEGIES, TASKS, NameIn, choose

PresetName = Literal["quick", "baseline", "paper"]
Combination = Literal["mean", "best"]
NOTHING_LEARNED = 0.05
"""Accuracy above chance, as a share of what chance leaves open, that counts as luck."""


@dataclass(frozen=True)
class TaskSearch:
    """One search of the mixture weights on one task.

    Attributes:
        name: Name of the task, followed by the length where there are several.
        setting: How large and hard the task is.
        weight: Weight of the task when the mixture weights are combined.
    """

    name: str
    setting: Setting
    weight: float


class ProgramConfig(SearchConfig, frozen=True):
    """Options of the stage `program`: a search on each task, and how the results are combined.

    The options of a search apply to each task's search.
    """

    tasks: dict[Annotated[str, NameIn(TASKS)], PositiveFloat] = Field(
        default_factory=lambda: _weights_of("quick"), min_length=1
    )
    """Weight of each task, also called its skill; all tasks of the preset alike if not given."""
    from_scratch: bool = False
    """Search on untrained blocks of the same shapes, with projectors fitted to them, instead of
    the pretrained ones."""
    preset: PresetName = "quick"
    """Size of the tasks."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By task, changes to its setting in the preset, such as `{"memorization": {"length": 8}}`."""
    combine: Combination = "mean"
    """`mean`: weighted mean of the tasks' mixture weights; `best`: those of the task that was
    learned best, by its accuracy above chance times its weight."""
    lengths: tuple[PositiveInt, ...] = ()
    """Lengths in tokens at which every task is searched, to fit mixture weights as a function of
    length."""
    target_length: PositiveInt | None = None
    """Tokens of the target's sequences: the fitted mixture weights are taken at this length."""

    steps: PositiveInt = 100
    """Optimizer steps of each task's search."""
    batch_size: PositiveInt = 32
    """Examples per step."""
    component_lr: NonNegativeFloat = 1e-3
    """Learning rate of the components' own weights; 0 freezes them."""
    mixture_lr: PositiveFloat = 0.05
    """Learning rate of the mixture weights."""
    warmup_steps: int = Field(10, ge=0)
    """Steps over which learning rates rise from 0."""
    eval_every: PositiveInt = 50
    """Steps between evaluations on the test examples."""
    eval_batches: PositiveInt = 10
    """Batches of test examples per evaluation."""
    sample_prompt: str = Field("", max_length=0)
    """Always empty: tasks consist of numbers, so there is no text to sample."""

    @model_validator(mode="before")
    @classmethod
    def _tasks_are_a_list_or_weights(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if isinstance(values.get("tasks"), list | tuple):
            return {**values, "tasks": dict.fromkeys(values["tasks"], 1.0)}
        preset = values.get("preset")
        if "tasks" not in values and isinstance(preset, str) and preset in PRESETS:
            return {**values, "tasks": _weights_of(preset)}
        return values

    @model_validator(mode="after")
    def _searches_can_be_done(self) -> Self:
        self._check_search_options()
        self._check_settings()
        self._check_lengths()
        for search in self.searches():
            n, held_out = search.setting.train_examples, 0
            if STRATEGIES[self.strategy].held_out:
                held_out = n_held_out(n, self.held_out, self.batch_size)
            if n - held_out < self.batch_size:
                without = f", {held_out} of them held out for {self.strategy}" if held_out else ""
                raise ValueError(
                    f"{search.name} has {n} examples{without}: too few for a batch of "
                    f"{self.batch_size}. Set a smaller batch_size"
                    + (" or held_out." if held_out else ".")
                )
        return self

    def _check_search_options(self) -> None:
        if not STRATEGIES[self.strategy].programs:
            others = ", ".join(name for name, entry in STRATEGIES.items() if entry.programs)
            raise ValueError(
                f"The strategy {self.strategy!r} finds no mixture weights that tasks could pass on "
                f"to a text: choose one of {others}."
            )
        if self.is_given("sample_tokens"):
            raise ValueError(
                "Programming does not use sample_tokens, as tasks contain no text: leave it out."
            )
        if self.component_lr == 0 and self.projector_lr == 0:
            raise ValueError(
                "component_lr and projector_lr are both 0, so the fresh embeddings and heads of "
                "the tasks would not learn: set one of them above 0."
            )

    def _check_settings(self) -> None:
        for task, setting in self.settings.items():
            choose(task, TASKS, TASKS.kind)
            if task not in self.tasks:
                raise ValueError(
                    f"settings has an entry for {task}, which is not one of the tasks: leave it "
                    "out, or add the task."
                )
            if "task" in setting:
                raise ValueError(f"The settings of {task} name a task again: leave that out.")
            if "length" in setting and self.lengths:
                raise ValueError(
                    f"The settings of {task} have a length, and so has lengths for all tasks: "
                    "leave one of them out."
                )

    def _check_lengths(self) -> None:
        if len(self.lengths) == 1 or len(set(self.lengths)) != len(self.lengths):
            raise ValueError(
                f"lengths is {list(self.lengths)}: a function of length needs two or more "
                "different lengths."
            )
        if bool(self.lengths) != (self.target_length is not None):
            raise ValueError(
                "lengths and target_length go together: give the lengths at which tasks are "
                "searched, and the length for which mixture weights are wanted."
            )

    def searches(self) -> list[TaskSearch]:
        """The searches, in their order.

        Raises:
            ValueError: A task that the preset does not have, or an impossible setting.
        """
        return [
            TaskSearch(f"{task}-{length}" if length else task, self._setting(task, length), weight)
            for task, weight in self.tasks.items()
            for length in self.lengths or (None,)
        ]

    def _setting(self, task: str, length: int | None) -> Setting:
        by_task = {setting.task: setting for setting in preset_settings(self.preset)}
        if task not in by_task:
            raise ValueError(
                f"The preset {self.preset!r} leaves out {task}: leave the task out, or choose "
                "another preset."
            )
        changes = self.settings.get(task, {}) | ({"length": length} if length else {})
        return Setting.model_validate(by_task[task].model_dump() | changes)


def _weights_of(preset: str) -> dict[str, float]:
    """All tasks of a preset, weighted alike."""
    return {setting.task: 1.0 for setting in preset_settings(preset)}
