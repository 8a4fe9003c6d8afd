"""Options of a search: one object for Python, a run's JSON and the shell."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from manticore.config.options import Options
from manticore.config.training import Schedule, TrainConfig
from manticore.names import STRATEGIES, NameIn


def n_held_out(n_sequences: int, share: float, batch_size: int) -> int:
    """Number of sequences held out to judge mixture weights: at least one batch."""
    return max(batch_size, round(share * n_sequences))


def _users(option: str) -> list[str]:
    """The strategies that an option is for; empty where it is for all of them."""
    return [name for name, entry in STRATEGIES.items() if option in entry.options]


AWAITED_SEQUENCES = 96
"""Sequences that a router is fitted on where a person waits for the fit: fewer than by default."""


class RouterConfig(Options, frozen=True):
    """Options of a router, which gives every token mixture weights of its own.

    It is fitted before the first step, to the components' own losses on the training text.
    """

    panel: ClassVar[str] = "Router"

    width: PositiveInt = 32
    """Number of channels of the router's state."""
    threshold: float = Field(default=0.3, ge=0, lt=1)
    """Weight below which a component takes no part at a token; 0 = all take part."""
    lr: float = Field(default=0.002, ge=0)
    """Learning rate of the router; 0 keeps it as it was fitted."""
    smoothness: float = Field(default=0.0, ge=0)
    """Weight of the change of the mixture weights from token to token, in the loss."""
    targets: Literal["share", "best"] = "share"
    """What the router learns: the probability of each component given the tokens that follow, or
    the component that predicts them best."""
    window: PositiveInt = 4
    """Number of tokens that follow, over which components are compared."""
    fit_steps: NonNegativeInt = 150
    """Steps of the fit; 0 = start with mixture weights that are the same for all tokens."""
    fit_sequences: PositiveInt = 240
    """Training sequences that the router is fitted on."""
    fit_lr: PositiveFloat = 0.02
    """Learning rate of the fit."""


class SearchConfig(TrainConfig, frozen=True):
    """Options of the stage `search`."""

    panel: ClassVar[str] = "Search"

    steps: NonNegativeInt = 300
    """Number of optimizer steps; with a router 0 is possible, and leaves it as it was fitted."""
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
    router: RouterConfig = RouterConfig()
    """Options of the router."""
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
    def _something_is_done(self) -> Self:
        if self.steps == 0 and "router" not in STRATEGIES[self.strategy].options:
            raise ValueError(
                f"steps is 0, and the strategy {self.strategy!r} finds mixture weights in steps: "
                "give 1 or more, or choose the strategy 'routed', which can fit its router alone."
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
