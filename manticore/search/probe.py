"""Probed line search over the simplex: mixture weights without their gradient.

Every few steps this strategy *measures*, on one held-out batch, what the loss becomes when all
rows, and then each row alone, go part of the way to each corner of the simplex,

    row <- (1 - s) * row + s * e_k        for k = 1 ... K,

and goes to the best of them if that lowers the loss. The same batch serves all trials of a round,
so differences are those of the weights, not of the text. A block whose row has moved looks twice as
far the next time, up to the corner itself (s = 1); one that has not looks half as far. Rows thus
reach corners within a few rounds where corners are best, and settle inside where they are not.
Between rounds the other weights train at the rows as they are. In the end each block is left to its
greatest component if that is no worse on held-out text: such a hybrid is cheaper to run.

A round costs (N + 1) * K + 1 forward passes without gradients, at most. What descent cannot do, and
this can: leave for a component that is best alone but fits the others badly, so that at first any
small weight of it makes things worse.
"""

from typing import Any

import torch
from typing_extensions import override

from manticore.search.parameterizations import GivenMixture
from manticore.search.strategy import Batch, Strategy

FIRST_REACH = 1.0
SHORTEST_REACH = 1 / 64


class ProbedMixture(GivenMixture):
    """Rows, and how far each looks next.

    Args:
        alpha: (N, K) mixture weights to start from.
        tied: Whether one row serves all blocks; it starts from their mean.
    """

    reach: torch.Tensor
    """(rows,): share of the way to a corner that a trial goes."""

    def __init__(self, alpha: torch.Tensor, tied: bool = False) -> None:
        super().__init__(alpha, tied)
        self.register_buffer("reach", torch.full((len(self.row),), FIRST_REACH))


class Probe(Strategy[ProbedMixture]):
    """The strategy `probe`."""

    parameterization = ProbedMixture

    @override
    def before_step(self, step: int, batches: list[Batch]) -> None:
        if step % self.options.probe_every == 0:
            self._round(step // self.options.probe_every)

    @torch.no_grad()
    def _round(self, number: int) -> None:
        rows, reach = self.mixture.row.clone(), self.mixture.reach.clone()
        best = self._measure(rows, number)
        # All rows together first: a component is whole only where it has every block.
        rows, best = self._moved_together(rows, best, number)
        # Later blocks see what earlier ones decide; the order alternates, so that none is always
        # the last to be asked.
        order = range(len(rows)) if number % 2 else reversed(range(len(rows)))
        for index in order:
            kept, chosen, moved = rows[index].clone(), rows[index].clone(), False
            for corner in torch.eye(rows.shape[1]).to(rows)[self.mixture.kept[index]]:
                rows[index] = (1 - reach[index]) * kept + reach[index] * corner
                loss = self._measure(rows, number)
                if loss < best:
                    best, chosen, moved = loss, rows[index].clone(), True
            rows[index] = chosen
            factor = 2.0 if moved else 0.5
            reach[index] = (reach[index] * factor).clamp(SHORTEST_REACH, 1.0)
        self.mixture.assign(rows)
        self.mixture.reach.copy_(reach)

    def _moved_together(
        self, rows: torch.Tensor, best: float, number: int
    ) -> tuple[torch.Tensor, float]:
        """The rows after the best move of all of them towards one component, if any is better."""
        reach = self.mixture.reach.max()
        chosen = rows
        for corner in torch.eye(rows.shape[1]).to(rows)[self.mixture.kept.all(dim=0)]:
            trial = (1 - reach) * rows + reach * corner
            loss = self._measure(trial, number)
            if loss < best:
                best, chosen = loss, trial
        return chosen.clone(), best

    @override
    @torch.no_grad()
    def finish(self) -> dict[str, Any]:
        rows = self.mixture.row.clone()
        # Batches that no round has chosen by, as long as there are enough of them.
        number = -(-self.options.steps // self.options.probe_every)
        loss = self._measure(rows, number)
        picks = torch.nn.functional.one_hot(rows.argmax(dim=1), rows.shape[1]).to(rows)
        if self._measure(picks, number) > loss:
            self.mixture.assign(rows)
        return super().finish()

    def _measure(self, rows: torch.Tensor, number: int) -> float:
        """The held-out loss at the given rows, with the entropy term."""
        self.mixture.assign(rows)
        loss = self.loop.held_out_loss(self.held_out, self.options.probe_batches, number)
        penalty = self.penalty()
        return loss if penalty is None else loss + float(penalty)
