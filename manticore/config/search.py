"""Options of a search: one object for Python, a run's JSON and the shell."""

from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from manticore.config.training import Schedule, TrainConfig
from manticore.names import STRATEGIES, NameIn


def n_held_out(n_sequences: int, share: float, batch_size: int) -> int:
    """Number of sequences held out to judge mixture weights: at least one batch."""
    return max(batch_size, round(share * n_sequences))


class SearchConfig(TrainConfig):
    """Options of the `search` stage."""

    strategy: Annotated[str, NameIn(STRATEGIES)] = "darts"
    """How the mixture weights are found."""
    mixture_lr: PositiveFloat = 0.02
    """Learning rate of the mixture weights, for strategies that descend a gradient; 0.1 for `gaea`,
    whose updates are factors."""
    mixture_schedule: Schedule = "cosine"
    """Learning rate schedule of the mixture weights: cosine, linear or constant."""
    tied: bool = False
    """One row of mixture weights for all blocks."""
    entropy: float = 0.0
    """Weight of the mixture weights' entropy in the loss: positive values favor corners."""
    prune_below: float = Field(0.0, ge=0, lt=1)
    """Weight below which a component leaves its block; 0 = no pruning."""
    prune_after: PositiveInt = 100
    """Steps before anything is pruned."""
    prune_steps: PositiveInt = 10
    """Consecutive steps for which a weight must be below `prune_below`."""
    second_order: bool = False
    """`darts-bilevel`: let mixture weights see one step ahead of the other weights."""
    temperature: tuple[PositiveFloat, PositiveFloat] = (2.0, 0.2)
    """`dash`: temperature of the Gumbel-softmax, first and last."""
    candidates: PositiveInt = 16
    """`random`: number of points."""
    grid: int = Field(11, ge=2)
    """`sweep`: points along each edge of the simplex."""
    held_out: float = Field(0.1, gt=0, lt=1)
    """Share of the training text on which `darts-bilevel`, `probe`, `random` and `sweep` judge
    mixture weights, and which no other weight learns from; of a long stream, its first 2,048
    sequences instead."""
    probe_every: PositiveInt = 10
    """`probe`: steps between rounds."""
    probe_batches: PositiveInt = 1
    """Held-out batches that a point is measured on; 8 for `random` and `sweep`, which measure each
    point once, and choose by that."""

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
                users = [name for name, entry in STRATEGIES.items() if option in entry.options]
                raise ValueError(
                    f"The strategy {self.strategy!r} does not use {option}: leave it out, or "
                    f"choose one of {', '.join(users)}."
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
