"""How fast this machine is, from the runs that it has done."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from manticore.components.facts import Facts
from manticore.config.programming import ProgramConfig
from manticore.config.run import RunConfig
from manticore.config.search import SearchConfig
from manticore.runs.record import RunRecord
from manticore.train.estimate import Estimate, estimate

_FEWEST_STEPS = 3
"""The first steps are slow: kernels are compiled in them."""


@dataclass(frozen=True)
class Speed:
    """How long a step of an earlier run took.

    Attributes:
        components: Components of the run.
        step_s: Seconds of a step, as `estimate` says with its own constants.
        slowness: How many times longer it took.
    """

    components: frozenset[str]
    step_s: float
    slowness: float


def speed_of(run: RunRecord, facts: Sequence[Facts]) -> Speed | None:
    """The speed of a search on text; None where a run says nothing about it.

    Args:
        run: The run.
        facts: Facts of its components, in their order.
    """
    config = run.config
    options = config.options
    if isinstance(options, ProgramConfig) or not isinstance(options, SearchConfig):
        return None
    last = next((event for event in reversed(run.events()) if event["kind"] == "step"), {})
    rate = last.get("tokens_per_s")
    if not rate or last["step"] < _FEWEST_STEPS:
        return None
    said = estimate(config, facts).step_s
    took = options.batch_size * config.data.get("seq_len", 256) / rate
    return Speed(frozenset(config.components), said, took / said)


def estimate_here(
    config: RunConfig, facts: Sequence[Facts], speeds: Iterable[Speed]
) -> tuple[Estimate, Speed | None]:
    """What a run will take on a machine that has done others.

    Args:
        config: Configuration of the run.
        facts: Facts of its components, in their order.
        speeds: Speeds of earlier runs, newest first.

    Returns:
        The estimate, and the speed that it rests on: of the same components, or else of the run
        whose steps are the most like it; None where there is no earlier run.

    Raises:
        TypeError: There is no estimate of such a run.
    """
    said = estimate(config, facts)
    components = frozenset(config.components)

    def unlike(speed: Speed) -> tuple[bool, float]:
        return speed.components != components, abs(math.log(speed.step_s / said.step_s))

    best = min(speeds, key=unlike, default=None)
    return (said if best is None else estimate(config, facts, best.slowness)), best
