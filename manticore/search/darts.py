"""DARTS (arXiv 1806.09055): mixture weights as a softmax of logits that descend the loss.

The paper's own search is the one-level form (section 3.3): all weights and logits descend the same
loss together. The two-level form alternates: logits descend the loss on held-out text, the other
weights that on training text.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from typing_extensions import override

from manticore.search.strategy import Batch, Strategy, TrainingLoop

if TYPE_CHECKING:
    from manticore.search.held_out import HeldOut

_BETAS = (0.5, 0.999)
"""Adam's betas for the mixture weights, as in DARTS."""
_FINITE_STEP = 0.01
"""Length of the step of the finite differences, as in DARTS."""


class Darts(Strategy):
    """The strategy `darts`: one level."""


class BilevelDarts(Strategy):
    """The strategy `darts-bilevel`: logits learn from held-out batches, alternating with the rest.

    With `second_order` the logits see one step ahead of the other weights (DARTS, equations 7 and
    8, the Hessian product by finite differences); without, the first-order approximation.
    """

    @override
    def shared_groups(self) -> list[dict[str, Any]]:
        return []

    @override
    def attach(self, loop: TrainingLoop, held_out: "HeldOut | None") -> None:
        super().attach(loop, held_out)
        if self.options.second_order and loop.accelerator.mixed_precision != "no":
            raise ValueError(
                "second_order measures small differences of gradients, which "
                f"{loop.accelerator.mixed_precision} rounds away: set dtype to float32."
            )
        optimizer = torch.optim.Adam([self.mixture.row], lr=self.options.mixture_lr, betas=_BETAS)
        self.optimizer, self.schedule = loop.prepared(optimizer, self.options.mixture_schedule)

    @override
    def before_step(self, step: int, batches: list[Batch]) -> None:
        valid = self.loop.held_out_parts(self.held_out, step)
        if self.options.second_order and self._weights():
            self._look_ahead(valid, batches)
        else:
            self._descend(valid, only=self._row_alone())
        penalty = self.penalty()
        if penalty is not None:
            self.loop.accelerator.backward(penalty)
        self.optimizer.step()
        self.schedule.step()
        self._forget()

    @override
    def after_backward(self, step: int) -> None:
        # The training batch moves only the other weights.
        self.mixture.row.grad = None

    def _descend(self, batches: list[Batch], only: list[nn.Parameter] | None = None) -> None:
        """Gradients of the loss on batches together, added to those that are there."""
        of = self.loop.n_predicted(batches)
        for batch in batches:
            self.loop.accelerator.backward(self.loop.loss([batch], of), inputs=only)

    def _row_alone(self) -> list[nn.Parameter] | None:
        """What alone needs a gradient on held-out text: the others would cost a third of a step.

        Several processes wait until each has the gradients of all weights: all, then.
        """
        return [self.mixture.row] if self.loop.accelerator.num_processes == 1 else None

    def _forget(self) -> None:
        for parameter in self.hybrid.parameters():
            parameter.grad = None

    def _gradients(self, batches: list[Batch]) -> list[torch.Tensor]:
        """Gradients of the logits and of the other weights, in that order."""
        self._forget()
        device = self.loop.accelerator.device
        # Dropout is the same in all passes, which are compared with each other.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            self._descend(batches)
        found = [self.mixture.row, *self._weights()]
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in found]

    def _weights(self) -> list[nn.Parameter]:
        return [parameter for group in self.loop.groups for parameter in group["params"]]

    @torch.no_grad()
    def _move(self, by: list[torch.Tensor], factors: list[float]) -> None:
        for parameter, direction, factor in zip(self._weights(), by, factors, strict=True):
            parameter.add_(direction, alpha=factor)

    def _look_ahead(self, valid: list[Batch], batches: list[Batch]) -> None:
        before = [parameter.detach().clone() for parameter in self._weights()]
        rates = [group["lr"] for group in self.loop.groups for _ in group["params"]]
        with torch.enable_grad():
            _, *ahead = self._gradients(batches)
            self._move(ahead, [-rate for rate in rates])
            direct, *direction = self._gradients(valid)
            self._restore(before)
            # The inner step of each weight has its own rate, so the direction is scaled by it.
            direction = [rate * d for rate, d in zip(rates, direction, strict=True)]
            norm = torch.stack([d.norm() for d in direction]).norm()
            size = _FINITE_STEP / float(norm.clamp_min(1e-12))
            sided = []
            for sign in (1.0, -1.0):
                self._move(direction, [sign * size] * len(rates))
                sided.append(self._gradients(batches)[0])
                self._restore(before)
        self._forget()
        self.mixture.row.grad = direct - (sided[0] - sided[1]) / (2 * size)

    @torch.no_grad()
    def _restore(self, values: list[torch.Tensor]) -> None:
        for parameter, value in zip(self._weights(), values, strict=True):
            parameter.copy_(value)
