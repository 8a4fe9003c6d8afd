"""What a search strategy is: how mixture weights are parameterized, and what moves them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast

import torch
from torch import nn
from torch.optim import Optimizer
from typing_extensions import TypeVar

from manticore.config.search import SearchConfig
from manticore.hybrid.mixture import Mixture
from manticore.search.parameterizations import SearchedMixture, SoftmaxMixture

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer
    from accelerate.scheduler import AcceleratedScheduler

    from manticore.hybrid import ManticoreForCausalLM
    from manticore.search.held_out import HeldOut

Batch = dict[str, torch.Tensor]
"""`input_ids` and `labels`, (B, T) each."""
M = TypeVar("M", bound=Mixture, default=SoftmaxMixture)


class TrainingLoop(Protocol):
    """What a strategy needs of the loop that trains the hybrid.

    Attributes:
        accelerator: Accelerator that has prepared the hybrid.
    """

    accelerator: "Accelerator"

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the loop's own optimizer, with the learning rates of the moment."""
        ...

    def prepared(
        self, optimizer: Optimizer, *schedules: str
    ) -> "tuple[AcceleratedOptimizer, AcceleratedScheduler]":
        """An optimizer of the strategy's own under the accelerator, with its learning rates.

        Args:
            optimizer: Optimizer of parameters of the mixture.
            schedules: Name of a schedule for each of its groups.
        """
        ...

    def loss(
        self, batches: Sequence[Batch], n_predicted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The training loss of batches together, (), with graph.

        Args:
            batches: Batches whose tokens all count alike.
            n_predicted: Predicted tokens that the sum is divided by; those of `batches` if None.
        """
        ...

    def n_predicted(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Predicted tokens of batches, (), divided by the number of processes."""
        ...

    def training_sequences(self, n: int) -> torch.Tensor:
        """Up to n training sequences, spread over the data set, (n, T) token ids.

        Args:
            n: Number of sequences.
        """
        ...

    def held_out_loss(self, held_out: "HeldOut", n_batches: int, number: int = 0) -> float:
        """Mean loss per token over held-out batches, in nats; the same on every process.

        Args:
            held_out: Held-out text.
            n_batches: Number of batches.
            number: Which: batches `number * n_batches` and the following.
        """
        ...

    def held_out_parts(self, held_out: "HeldOut", number: int) -> list[Batch]:
        """This process's share of a held-out batch, in the parts that a step is taken in.

        Args:
            held_out: Held-out text.
            number: Number of the batch.
        """
        ...


class Strategy(Generic[M]):
    """One level of gradient descent on a softmax, and the hooks that other strategies override.

    A strategy installs its parameterization into the hybrid (`begin`), takes part in every step of
    the training loop, and at the end fixes what was found (`finish`). Everything it remembers
    between steps is in the parameterization, in an optimizer that the accelerator has prepared, or
    a function of seed and step, so that a resumed search is the same as an uninterrupted one.

    Args:
        options: Options of the search.
        seed: Random seed of the run.
    """

    parameterization: type[M] = cast("type[M]", SoftmaxMixture)
    """Class of the mixture while it is searched."""
    moves_mixture = True
    """Whether mixture weights change in training."""
    always_tied = False
    """Whether all blocks have the same mixture weights, whatever the options say."""

    def __init__(self, options: SearchConfig, seed: int = 0) -> None:
        self.options = options
        self.seed = seed

    def begin(self, hybrid: "ManticoreForCausalLM") -> None:
        """Install the parameterization, starting from the hybrid's mixture weights.

        Args:
            hybrid: Hybrid to train; it is changed in place.
        """
        self.hybrid = hybrid
        device = hybrid.mixture_weights.device
        tied = self.always_tied or self.options.tied
        make = cast("type[SearchedMixture]", self.parameterization)
        searched = make(hybrid.mixture_weights.cpu(), tied).to(device)
        self.mixture: M = cast("M", searched)
        hybrid.mixture = searched
        # Its mixture weights are the same for all tokens now.
        hybrid.config.router = None

    def shared_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters of the mixture that the loop's own optimizer updates."""
        learning = [parameter for parameter in self.mixture.parameters() if parameter.requires_grad]
        if not learning:
            return []
        schedule = self.options.mixture_schedule
        return [learning_group("mixture", learning, self.options.mixture_lr, schedule)]

    def attach(self, loop: TrainingLoop, held_out: "HeldOut | None") -> None:
        """Make optimizers of one's own, through the loop's accelerator.

        Args:
            loop: Loop that trains the hybrid.
            held_out: Held-out text; None where the strategy does not need it.
        """
        self.loop = loop
        self._held_out = held_out

    @property
    def held_out(self) -> "HeldOut":
        """Held-out text, which no other weights learn from.

        Raises:
            RuntimeError: None was held out for this strategy.
        """
        if self._held_out is None:
            raise RuntimeError(
                f"{type(self).__name__} judges by held-out text, and none was held out: set "
                "held_out=True in its entry of manticore.names.STRATEGIES."
            )
        return self._held_out

    def before_training(self) -> dict[str, Any]:
        """Called once before the first step, and not when a search is resumed.

        Returns:
            What was found, for the events; nothing in most strategies.
        """
        return {}

    def before_step(self, step: int, batches: list[Batch]) -> None:
        """Called before each step.

        Args:
            step: Number of the step, counted from 0.
            batches: Batches that the step will use.
        """

    def penalty(self) -> torch.Tensor | None:
        """What is added to the loss: the entropy of the rows, in nats, times its weight."""
        if not self.options.entropy:
            return None
        return self.options.entropy * entropy(self.mixture.expected())

    def after_backward(self, step: int) -> None:
        """Called when gradients are there, before the loop's optimizer moves.

        Args:
            step: Number of the step, counted from 0.
        """

    def after_step(self, step: int) -> None:
        """Called after each step: prune what has stayed under the threshold.

        Args:
            step: Number of the step, counted from 0.
        """
        if self.options.prune_below and step >= self.options.prune_after:
            searched = cast("SearchedMixture", self.mixture)
            searched.prune(self.options.prune_below, self.options.prune_steps)

    def finish(self) -> dict[str, Any]:
        """Settle on the mixture weights that were found, after the last step.

        Returns:
            What else was found, for the result; nothing in most strategies.
        """
        self.fix()
        return {}

    def fix(self) -> None:
        """Turn the parameterization into given mixture weights, as they are now."""
        alpha = self.hybrid.mixture_weights.double()
        self.hybrid.set_mixture_weights(alpha / alpha.sum(dim=1, keepdim=True))


def entropy(alpha: torch.Tensor) -> torch.Tensor:
    """Mean entropy of mixture weights, (), in nats.

    Args:
        alpha: (..., K) mixture weights.
    """
    return -(alpha * alpha.clamp_min(1e-12).log()).sum(dim=-1).mean()


def learning_group(
    name: str, parameters: list[nn.Parameter], lr: float, schedule: str
) -> dict[str, Any]:
    """An AdamW group of parameters of the mixture, which do not decay.

    Args:
        name: Name of the group.
        parameters: Parameters, which learn from now on.
        lr: Learning rate.
        schedule: Name of its schedule.
    """
    for parameter in parameters:
        parameter.requires_grad_(True)
    return {
        "name": name,
        "params": parameters,
        "lr": lr,
        "weight_decay": 0.0,
        "schedule": schedule,
    }
