"""Routed mixture weights: every token has its own, which follow from the text so far.

A router reads the token ids from left to right, and its state decides the mixture weights:

    r(t)     = a(t) * r(t - 1) + (1 - a(t)) * e(t)         (R,): e and a depend on the token alone
    alpha(t) = softmax(logits[b] + W[b] r(t))              (N, K)

As it reads ids and no hidden states, alpha is known before the pass, and a component whose weight
is zero need not run (`hybrid.blocks`). With W = 0 this is the softmax of DARTS.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from manticore.hybrid.mixture import PassWeights, SettledMixture, logits_of
from manticore.ops.linear_recurrence import linear_recurrence

LONGEST_MEMORY = 64
"""Tokens after which the slowest channel of a new router has forgotten all but a third."""


@dataclass(frozen=True)
class RouterSettings:
    """What decides the shape of a router.

    Attributes:
        width: R, the number of channels.
        tied: Whether all blocks have the same mixture weights.
        threshold: Weights below it become zero, except the greatest of a row; the others are
            divided by their sum. 0 keeps all.
    """

    width: int = 32
    tied: bool = False
    threshold: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return asdict(self)


class Router(nn.Module):
    """Reads token ids from left to right, with one state per row.

    Args:
        vocab_size: V, the size of the vocabulary.
        width: R, the number of channels.
    """

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocab_size, 2 * width)
        self.decay = nn.Parameter(torch.linspace(0.0, 1.0, width))
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Initialize every weight: channels that remember 1 to `LONGEST_MEMORY` tokens."""
        nn.init.normal_(self.embedding.weight, std=0.1)
        memory = LONGEST_MEMORY ** torch.linspace(0.0, 1.0, self.width)
        self.decay.copy_((-1 / memory).exp().logit())

    @torch.no_grad()
    def resize(self, vocab_size: int) -> None:
        """Take another vocabulary, which begins like this one; new tokens say nothing at first.

        Args:
            vocab_size: Size of the vocabulary.
        """
        old = self.embedding.weight
        self.embedding = nn.Embedding(vocab_size, old.shape[1], device=old.device, dtype=old.dtype)
        self.embedding.weight.zero_()
        kept = min(vocab_size, len(old))
        self.embedding.weight[:kept] = old[:kept]
        self.embedding.requires_grad_(old.requires_grad)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The states after each token, (B, T, R).

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T) 0 where padded: padding leaves the state as it is.
            state: (B, R) state before the first token; zero if None.
        """
        value, gate = self.embedding(input_ids).float().chunk(2, dim=-1)
        keep = (gate + self.decay.float()).sigmoid()
        if attention_mask is not None:
            padded = attention_mask[..., None] == 0
            keep = keep.masked_fill(padded, 1.0)
        # pyright sees the decorator, and not the function.
        return linear_recurrence(keep, (1 - keep) * value, state)  # pyright: ignore[reportCallIssue]


class RoutedMixture(SettledMixture):
    """Mixture weights that a router decides for every token.

    Args:
        n_blocks: N, the number of blocks.
        n_components: K, the number of components.
        vocab_size: V, the size of the hybrid's vocabulary.
        settings: Shape of the router.
    """

    average: torch.Tensor
    """(N, K): mean of the mixture weights over the tokens that `remember` was last given."""

    def __init__(
        self, n_blocks: int, n_components: int, vocab_size: int, settings: RouterSettings
    ) -> None:
        super().__init__()
        self.n_blocks = n_blocks
        self.settings = settings
        rows = 1 if settings.tied else n_blocks
        self.row = nn.Parameter(torch.zeros(rows, n_components))
        self.weight = nn.Parameter(torch.zeros(rows, n_components, settings.width))
        self.router = Router(vocab_size, settings.width)
        uniform = torch.full((n_blocks, n_components), 1 / n_components)
        self.register_buffer("average", uniform)
        self.last: torch.Tensor | None = None

    @override
    def forward(self) -> torch.Tensor:
        return self.average

    def router_parameters(self) -> list[nn.Parameter]:
        """What the mixture weights of tokens differ by: the router and W."""
        return [self.weight, *self.router.parameters()]

    @torch.no_grad()
    def start_from(self, alpha: torch.Tensor) -> None:
        """Make the mixture weights those given, for every token alike.

        Args:
            alpha: (N, K) mixture weights.
        """
        self.row.copy_(logits_of(alpha.mean(dim=0, keepdim=True) if self.settings.tied else alpha))
        self.weight.zero_()
        self.average.copy_(self.row.softmax(dim=-1).expand_as(self.average))

    def logits(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the softmax is taken of, (B, T, rows, K), and the router's states, (B, T, R).

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T) 0 where padded.
            state: (B, R) the router's state before the first token.
        """
        states = self.router(input_ids, attention_mask, state)
        routed = nn.functional.linear(states, self.weight.float().flatten(0, 1))
        return self.row.float() + routed.unflatten(-1, self.row.shape), states

    def route(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
    ) -> tuple[PassWeights, torch.Tensor]:
        """The mixture weights of a pass, and the router's state after it, (B, R).

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, past + T) 0 where padded.
            state: (B, R) the router's state before the first token.
        """
        n_tokens = input_ids.shape[1]
        mask = None if attention_mask is None else attention_mask[:, -n_tokens:]
        alpha, states = self._alpha(input_ids, mask, state)
        if self.training:
            self.last = alpha
        if not self.settings.threshold:
            return PassWeights(alpha), states[:, -1]
        return PassWeights.of(alpha, n_tokens), states[:, -1]

    @torch.no_grad()
    def weights_of(self, input_ids: torch.Tensor) -> torch.Tensor:
        """The mixture weights of every token, (B, T, N, K).

        Args:
            input_ids: (B, T) token ids.
        """
        return self._alpha(input_ids)[0]

    def _alpha(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The mixture weights of every token, (B, T, N, K), and the router's states, (B, T, R)."""
        with torch.autocast(input_ids.device.type, enabled=False):
            logits, states = self.logits(input_ids, attention_mask, state)
            alpha = self._sparse(logits.softmax(dim=-1))
        return alpha.expand(-1, -1, self.n_blocks, -1), states

    def _sparse(self, alpha: torch.Tensor) -> torch.Tensor:
        """Mixture weights without those below the threshold."""
        if not self.settings.threshold:
            return alpha
        keep = (alpha >= self.settings.threshold) | (alpha == alpha.amax(dim=-1, keepdim=True))
        alpha = alpha * keep
        return alpha / alpha.sum(dim=-1, keepdim=True)

    @torch.no_grad()
    def remember(self, input_ids: torch.Tensor) -> None:
        """Take the mean over the tokens of a text as the hybrid's mixture weights.

        Args:
            input_ids: (B, T) token ids.
        """
        alpha = self.weights_of(input_ids.to(self.average.device)).flatten(0, 1).double()
        mean = alpha.mean(dim=0)
        self.average.copy_(mean / mean.sum(dim=-1, keepdim=True))
