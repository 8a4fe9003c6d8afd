"""What programming can be asked to do: one object for Python, a run's JSON and the shell."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from manticore.config.search import SearchConfig, n_held_out
from manticore.names import STRATEGIES
from manticore.tasks.registry import TASKS, find_task
from manticore.tasks.settings import PRESETS, Setting

PresetName = Literal["quick", "baseline", "paper"]
Combination = Literal["mean", "best"]


@dataclass(frozen=True)
class Job:
    """One search of the mixture weights on one task.

    Attributes:
        name: Of the task, with the length behind it where there are several.
        setting: How large and hard the task is.
        skill: How much the person cares for the task.
    """

    name: str
    setting: Setting
    skill: float


class ProgramConfig(SearchConfig):
    """Options of the stage `program`: a search on each task, and how the results are combined.

    The options of a search hold for each task's search.
    """

    tasks: dict[str, PositiveFloat] = Field(
        default_factory=lambda: dict.fromkeys(TASKS, 1.0), min_length=1
    )
    """Skills: the tasks that count, and how much each does; all of the preset if not given."""
    from_scratch: bool = False
    """Search on untrained blocks of the same shapes, with projectors fitted to them, in place of
    the pretrained ones."""
    preset: PresetName = "quick"
    """How large the tasks are."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What a task changes in its preset: options of `manticore.tasks.Setting`."""
    combine: Combination = "mean"
    """The mean of the tasks' mixture weights, by skill; or those of the task done best: by the
    share learned of what guessing leaves open, times skill."""
    lengths: tuple[PositiveInt, ...] = ()
    """Lengths that every task is searched at, for mixture weights as a function of length."""
    target_length: PositiveInt | None = None
    """Tokens of the target's sequences: the mixture weights are those fitted for this length."""

    steps: PositiveInt = 100
    """Optimizer steps of each task's search."""
    batch_size: PositiveInt = 32
    component_lr: NonNegativeFloat = 1e-3
    mixture_lr: PositiveFloat = 0.05
    warmup_steps: int = Field(10, ge=0)
    eval_every: PositiveInt = 50
    eval_batches: PositiveInt = 10
    sample_prompt: Literal[""] = ""
    """Tasks are of numbers, not of words: there is no sample."""

    @model_validator(mode="before")
    @classmethod
    def _task_names_are_a_list_or_skills(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if isinstance(values.get("tasks"), list | tuple):
            return {**values, "tasks": dict.fromkeys(values["tasks"], 1.0)}
        preset = values.get("preset")
        if "tasks" not in values and isinstance(preset, str) and preset in PRESETS:
            there = [setting.task for setting in PRESETS[preset]]
            return {**values, "tasks": dict.fromkeys(there, 1.0)}
        return values

    @model_validator(mode="after")
    def _jobs_can_be_done(self) -> Self:
        if self.strategy == "fixed":
            raise ValueError(
                "the strategy fixed finds no mixture weights: choose one that searches"
            )
        if self.is_given("sample_tokens"):
            raise ValueError(
                "sample_tokens means nothing to tasks, which have no words: leave it out"
            )
        for task in self.settings.keys() - self.tasks.keys():
            find_task(task)
            raise ValueError(
                f"settings name {task}, which is none of the tasks: leave it out, or add the task"
            )
        for task, setting in self.settings.items():
            if "task" in setting:
                raise ValueError(f"settings of {task} name a task again: leave that out")
            if "length" in setting and self.lengths:
                raise ValueError(
                    f"settings of {task} name a length, and lengths name those of all tasks: leave "
                    "one of them out"
                )
        if len(self.lengths) == 1 or len(set(self.lengths)) != len(self.lengths):
            raise ValueError(
                f"lengths are {list(self.lengths)}: a function of length needs two or more, "
                "each once"
            )
        if bool(self.lengths) != (self.target_length is not None):
            raise ValueError(
                "lengths and target_length go together: the lengths that tasks are searched at, "
                "and the one that mixture weights are wanted for"
            )
        if self.component_lr == 0 and self.projector_lr == 0:
            raise ValueError(
                "component_lr and projector_lr are both 0, so that the tasks' fresh embeddings and "
                "heads would never learn: give one of them above 0"
            )
        for job in self.jobs():
            n, kept = job.setting.train_examples, 0
            if STRATEGIES[self.strategy].held_out:
                kept = n_held_out(n, self.held_out, self.batch_size)
            if n - kept < self.batch_size:
                without = f", and {kept} of them kept for {self.strategy}," if kept else ","
                raise ValueError(
                    f"{job.name} has {n} examples{without} too few for a batch of "
                    f"{self.batch_size}: set a smaller batch_size"
                    + (" or held_out" if kept else "")
                )
        return self

    def jobs(self) -> list[Job]:
        """The searches, in their order.

        Raises:
            ValueError: A task or a setting that cannot be.
        """
        return [
            Job(
                f"{task}-{length}" if length else task,
                self._setting(task, length),
                skill,
            )
            for task, skill in self.tasks.items()
            for length in self.lengths or (None,)
        ]

    def _setting(self, task: str, length: int | None) -> Setting:
        find_task(task)
        there = {setting.task: setting for setting in PRESETS[self.preset]}
        if task not in there:
            raise ValueError(f"the preset {self.preset} has no {task}: leave the task out")
        own = self.settings.get(task, {}) | ({"length": length} if length else {})
        return Setting(**there[task].model_dump(exclude_none=True) | own)
