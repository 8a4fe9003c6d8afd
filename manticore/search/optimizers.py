"""Exponentiated gradient: descent that stays on the simplex (GAEA, arXiv 2004.07802)."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

SMALLEST = 1e-8
"""A weight of exactly zero could never grow again."""


class ExponentiatedGradient(Optimizer):
    """alpha <- alpha * exp(-lr * gradient), each row divided by its sum.

    Args:
        params: Tensors whose last axis is on the simplex.
        lr: Step size.

    Raises:
        ValueError: The step size is not positive.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float) -> None:
        if lr <= 0:
            raise ValueError(f"lr is {lr}: give a step size above 0.")
        super().__init__(params, {"lr": lr})

    @override
    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  (torch has two overloads)
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """One multiplicative update of every row.

        Args:
            closure: Function that computes the loss again and returns it.

        Returns:
            What `closure` returned; None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                moved = parameter.log() - group["lr"] * parameter.grad
                moved = moved.softmax(dim=-1).clamp_min(SMALLEST)
                parameter.copy_(moved / moved.sum(dim=-1, keepdim=True))
        return loss
