"""A component's own forward, paused where the blocks of a hybrid begin and end.

The hybrid's blocks take turns: all components' first blocks, then what joins them, then all second
blocks. Calling a backbone anew for each block would make its masks and rotary tables anew as well.
Instead, each component runs its own forward once per pass, as a coroutine: it stops before the
first layer of each block and behind the last layer, hands out the hidden states that it has there,
and goes on with those that it is given.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from greenlet import getcurrent, greenlet
from torch import nn


class PausedLayer(nn.Module):
    """A layer that exchanges the hidden states which enter it, those which leave it, or both.

    Args:
        layer: The layer, which stays as it is.
        exchange: Function from the hidden states that there are, (B, T, d_k), to those to go on
            with.
        before: Whether those that enter are exchanged.
        behind: Whether those that leave are exchanged.
    """

    def __init__(
        self,
        layer: nn.Module,
        exchange: Callable[[torch.Tensor], torch.Tensor],
        *,
        before: bool,
        behind: bool,
    ) -> None:
        super().__init__()
        self.layer = layer
        self.exchange = exchange
        self.before = before
        self.behind = behind

    def __getattr__(self, name: str) -> Any:
        # A backbone may look at a layer before it calls it.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer gives, from its own arguments."""
        if self.before and args:
            args = (self.exchange(args[0]), *args[1:])
        elif self.before:
            kwargs["hidden_states"] = self.exchange(kwargs["hidden_states"])
        given = self.layer(*args, **kwargs)
        if not self.behind:
            return given
        if isinstance(given, tuple):
            return (self.exchange(given[0]), *given[1:])
        return self.exchange(given)


def paused_layers(
    layers: Sequence[nn.Module],
    starts: Sequence[int],
    exchange: Callable[[torch.Tensor], torch.Tensor],
) -> dict[str, nn.Module | None]:
    """The layers to put in place of those at which a forward is to pause, by their names.

    Args:
        layers: The layers that run.
        starts: Indices of the first layers of blocks.
        exchange: As for `PausedLayer`.
    """
    last = len(layers) - 1
    return {
        str(index): PausedLayer(
            layers[index], exchange, before=index in starts, behind=index == last
        )
        for index in sorted({*starts, last})
    }


class PausedPass:
    """One component in one pass of the hybrid.

    Args:
        forward: Calls the component's forward and returns its logits, (B, T, V_k); on the way it
            hands its hidden states to the function that it is given, and goes on with the result.

    Attributes:
        embedded: (B, T, d_k), the embedding of the tokens, as the first layer that runs sees it.
    """

    def __init__(self, forward: Callable[[Callable], torch.Tensor]) -> None:
        self._forward = greenlet(lambda: forward(self._exchange))
        self.embedded: torch.Tensor = self._forward.switch()

    def _exchange(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return cast("greenlet", getcurrent().parent).switch(hidden_states)

    def go_on(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Let the component go on.

        Args:
            hidden_states: (B, T, d_k) what enters the component's next block; behind its last one,
                its final norm.

        Returns:
            (B, T, d_k) what leaves that block; behind the last one, (B, T, V_k) logits.

        Raises:
            RuntimeError: The forward is over.
        """
        if self.ended:
            raise RuntimeError("The component's forward is over: begin another one for this pass.")
        # Who goes on need not be who began.
        self._forward.parent = getcurrent()
        return self._forward.switch(hidden_states)

    @property
    def ended(self) -> bool:
        """Whether the forward is over."""
        return self._forward.dead

    def close(self) -> None:
        """End a forward that is not wanted to its end."""
        if not self.ended:
            self._forward.throw()
