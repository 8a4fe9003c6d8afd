"""Options of a search: one object for Python, a run's JSON and the shell."""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from manticore.config.training import Schedule, TrainConfig
from manticore.names import STRATEGIES, NameIn


def n_held_out(n_sequences: int, share: float, batch_size: int) -> int:
    """Number of sequences held out to judge mixture weights: at least one batch."""
    return max(batch_size, round(share * n_sequences))


def _users(option: str) -> list[str]:
    """The strategies that an option is for; empty where it is for all of them."""
    return [name for name, entry in STRATEGIES.items() if option in entry.options]


class SearchConfig(TrainConfig, frozen=True):
    """Options of the stage `search`."""

    panel: ClassVar[str] = "Search"

    strategy: Annotated[str, NameIn(STRATEGIES)] = "darts"
    """Strategy by which the mixture weights are found."""
    mixture_lr: PositiveFloat = 0.02
    """Learning rate of the mixture weights; 0.1 for `gaea`, whose updates are factors."""
    mixture_schedule: Schedule = "cosine"
    """Learning rate schedule of the mixture weights."""
    tied: bool = False
    """Use one row of mixture weights for all blocks."""
    entropy: float = 0.0
    """Weight of the mixture weights' entropy in the loss: positive values favor corners."""
    prune_below: float = Field(default=0.0, ge=0, lt=1)
    """Weight below which a component leaves its block; 0 = no pruning."""
    prune_after: PositiveInt = 100
    """Steps before anything is pruned."""
    prune_steps: PositiveInt = 10
    """Consecutive steps for which a weight must be below `prune_below`."""
    second_order: bool = False
    """Let the gradient of the mixture weights see one step of the other weights ahead."""
    temperature: tuple[PositiveFloat, PositiveFloat] = (2.0, 0.2)
    """First and last temperature of the Gumbel-softmax."""
    candidates: PositiveInt = 16
    """Number of random points."""
    grid: int = Field(default=11, ge=2)
    """Number of points along each edge of the simplex."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training text on which mixture weights are judged and from which no other weight
    learns; for a long stream, its first 2,048 sequences."""
    probe_every: PositiveInt = 10
    """Steps between rounds of measurements."""
    probe_batches: PositiveInt = 1
    """Held-out batches per measured point; 8 for `random` and `sweep`, which measure a point only
    once."""

    @classmethod
    def note(cls, option: str) -> str:
        """Which strategies use an option, such as `Used by dash.`; empty where all do."""
        users = _users(option)
        others = [name for name in STRATEGIES if name not in users]
        if not users or not others:
            return ""
        few = len(users) <= len(others)
        return f"Used by {', '.join(users)}." if few else f"Not used by {', '.join(others)}."

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_strategy(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("strategy") in STRATEGIES:
            return {**STRATEGIES[values["strategy"]].defaults, **values}
        return values

    @model_validator(mode="after")
    def _options_belong_to_the_strategy(self) -> Self:
        own = STRATEGIES[self.strategy].options
        for option in dict.fromkeys(o for entry in STRATEGIES.values() for o in entry.options):
            if option not in own and self.is_given(option):
                raise ValueError(
                    f"The strategy {self.strategy!r} does not use {option}: leave it out, or "
                    f"choose one of {', '.join(_users(option))}."
                )
        return self

    @model_validator(mode="after")
    def _pruning_has_a_threshold(self) -> Self:
        for option in ("prune_after", "prune_steps"):
            if not self.prune_below and self.is_given(option):
                raise ValueError(
                    f"{option} has no effect without prune_below, the weight below which a "
                    "component leaves its block: set it, or leave both out."
                )
        return self

    @model_validator(mode="after")
    def _pruning_comes_before_the_end(self) -> Self:
        if self.prune_below and self.prune_after + self.prune_steps > self.steps:
            raise ValueError(
                f"Nothing can be pruned in {self.steps} steps if pruning begins after "
                f"{self.prune_after} and takes {self.prune_steps}: search longer, or choose a "
                "smaller prune_after or prune_steps."
            )
        return self
