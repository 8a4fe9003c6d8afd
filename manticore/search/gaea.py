"""GAEA (arXiv 2004.07802): exponentiated gradient on the simplex."""

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from manticore.search.optimizers import ExponentiatedGradient
from manticore.search.parameterizations import SimplexMixture
from manticore.search.strategy import Strategy, TrainingLoop

if TYPE_CHECKING:
    from manticore.search.held_out import HeldOut


class Gaea(Strategy[SimplexMixture]):
    """The strategy `gaea`: one level, mixture weights moved by factors instead of differences."""

    parameterization = SimplexMixture

    @override
    def shared_groups(self) -> list[dict[str, Any]]:
        return []

    @override
    def attach(self, loop: TrainingLoop, held_out: "HeldOut | None") -> None:
        super().attach(loop, held_out)
        optimizer = ExponentiatedGradient([self.mixture.row], self.options.mixture_lr)
        self.optimizer, self.schedule = loop.prepared(optimizer, self.options.mixture_schedule)

    @override
    def after_backward(self, step: int) -> None:
        self.optimizer.step()
        self.schedule.step()
        self.mixture.row.grad = None
