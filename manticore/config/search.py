"""What a search can be asked to do: one object for Python, a run's JSON and the shell."""

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from manticore.config.training import Schedule, TrainConfig

StrategyName = Literal[
    "darts", "darts-bilevel", "gaea", "dash", "probe", "random", "sweep", "fixed"
]


_OWN_DEFAULTS = {
    "gaea": {"mixture_lr": 0.1},
    "random": {"probe_batches": 8},
    "sweep": {"probe_batches": 8},
}
"""Where a strategy's default is another than that of the field."""
GRADIENT = {"darts", "darts-bilevel", "gaea", "dash"}
"""Strategies whose mixture weights follow a gradient."""
HELD_OUT = {"darts-bilevel", "probe", "random", "sweep"}
"""Strategies that keep a part of what is trained on for themselves."""
_ONLY_FOR = {
    "mixture_lr": GRADIENT,
    "mixture_schedule": GRADIENT,
    "tied": {*GRADIENT, *HELD_OUT},
    "entropy": {*GRADIENT, "probe"},
    "prune_below": {*GRADIENT, "probe"},
    "prune_after": {*GRADIENT, "probe"},
    "prune_steps": {*GRADIENT, "probe"},
    "second_order": {"darts-bilevel"},
    "temperature": {"dash"},
    "candidates": {"random"},
    "grid": {"sweep"},
    "held_out": HELD_OUT,
    "probe_every": {"probe"},
    "probe_batches": {"probe", "random", "sweep"},
}


def n_held_out(n_sequences: int, share: float, batch_size: int) -> int:
    """How many of the sequences are kept to judge mixture weights by: a batch at least."""
    return max(batch_size, round(share * n_sequences))


class SearchConfig(TrainConfig):
    """Options of the `search` stage."""

    strategy: StrategyName = "darts"
    mixture_lr: PositiveFloat = 0.02
    """Learning rate of the mixture weights, for strategies that descend a gradient; 0.1 for `gaea`,
    whose updates are factors."""
    mixture_schedule: Schedule = "cosine"
    tied: bool = False
    """One row of mixture weights for all blocks."""
    entropy: float = 0.0
    """Weight of the rows' entropy in the loss: positive drives them to corners, negative apart."""
    prune_below: float = Field(0.0, ge=0, lt=1)
    """Components whose weight in a block stays under this leave the block; 0 keeps all."""
    prune_after: PositiveInt = 100
    """Steps before anything is pruned."""
    prune_steps: PositiveInt = 10
    """Steps in a row that a weight must be under `prune_below`."""
    second_order: bool = False
    """`darts-bilevel`: let mixture weights see one step ahead of the other weights."""
    temperature: tuple[PositiveFloat, PositiveFloat] = (2.0, 0.2)
    """`dash`: of the Gumbel-softmax, first and last."""
    candidates: PositiveInt = 16
    """`random`: points to choose from."""
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
        if isinstance(values, dict):
            return {**_OWN_DEFAULTS.get(str(values.get("strategy")), {}), **values}
        return values

    def _is_given(self, option: str) -> bool:
        """Whether it has another value than it has by default."""
        return getattr(self, option) != type(self).model_fields[option].default

    @model_validator(mode="after")
    def _options_belong_to_the_strategy(self) -> "SearchConfig":
        for option, strategies in _ONLY_FOR.items():
            if self._is_given(option) and self.strategy not in strategies:
                raise ValueError(
                    f"{option} means nothing to the strategy {self.strategy!r}: leave it out, or "
                    f"choose one of {', '.join(sorted(strategies))}"
                )
        return self

    @model_validator(mode="after")
    def _pruning_has_a_threshold(self) -> "SearchConfig":
        for option in ("prune_after", "prune_steps"):
            if not self.prune_below and self._is_given(option):
                raise ValueError(
                    f"{option} means nothing without prune_below, the weight under which a "
                    "component leaves its block: give it, or leave both out"
                )
        return self

    @model_validator(mode="after")
    def _pruning_comes_before_the_end(self) -> "SearchConfig":
        if self.prune_below and self.prune_after + self.prune_steps > self.steps:
            raise ValueError(
                f"nothing can be pruned in {self.steps} steps where {self.prune_after} come before "
                f"any pruning and {self.prune_steps} are looked at: search for longer, or set a "
                "smaller prune_after or prune_steps"
            )
        return self
