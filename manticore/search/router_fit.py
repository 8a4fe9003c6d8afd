"""Fitting a router: from which component predicts a text better, token by token.

Each component scores the text alone. The target at token t is the component that predicts the next
few tokens best, and the router learns to tell it from the tokens up to t, by cross entropy. No
other weight of the hybrid changes, and the hybrid itself is not run.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from manticore.config.search import RouterConfig
from manticore.hybrid.parts import evaluating
from manticore.hybrid.routing import RoutedMixture

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

_BATCH = 16
"""Sequences per step of the fit, and per pass of a component."""


@torch.no_grad()
def component_losses(hybrid: "ManticoreForCausalLM", input_ids: torch.Tensor) -> torch.Tensor:
    """Cross entropy of every token under each component alone, (n, T, K), in nats.

    Args:
        hybrid: Hybrid of the components; it is put back into the mode it was in.
        input_ids: (n, T) token ids. The first of a row is not predicted, and has 0.
    """
    vocabulary, rows = hybrid.config.vocab_size, []
    with evaluating(hybrid):
        for ids in input_ids.split(_BATCH):
            own = []
            for model in hybrid.components:
                logits = model(input_ids=ids, use_cache=False).logits[:, :-1, :vocabulary]
                losses = nn.functional.cross_entropy(
                    logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
                )
                own.append(nn.functional.pad(losses.view(len(ids), -1), (1, 0)))
            rows.append(torch.stack(own, dim=-1))
    return torch.cat(rows)


def router_targets(losses: torch.Tensor, options: RouterConfig) -> torch.Tensor:
    """What the mixture weights should be, (n, T - 1, K), from the losses of the tokens that follow.

    Args:
        losses: (n, T, K) losses of the components alone.
        options: Window and kind of the targets.
    """
    total = nn.functional.pad(losses.double().cumsum(dim=1), (0, 0, 0, options.window))
    total[:, losses.shape[1] :] = total[:, losses.shape[1] - 1 : losses.shape[1]]
    ahead = total[:, options.window : -1] - total[:, : -options.window - 1]
    # Position t has the sum over t + 1 ... t + window, or up to the end of the row.
    if options.targets == "best":
        best = ahead.argmin(dim=-1)
        return nn.functional.one_hot(best, losses.shape[-1]).float()
    return ahead.neg().softmax(dim=-1).float()


def fit_router(
    hybrid: "ManticoreForCausalLM",
    input_ids: torch.Tensor,
    options: RouterConfig,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit the router of a routed hybrid.

    Args:
        hybrid: Hybrid whose `mixture` is a `RoutedMixture`; only that changes.
        input_ids: (n, T) token ids of text, T at least 2.
        options: How to fit.
        seed: Random seed of the router's first weights and of the order of the sequences.

    Returns:
        `router_loss`: cross entropy of the targets at the end, in nats; `router_accuracy`: share
        of the tokens at which the greatest mixture weight is that of the target.

    Raises:
        TypeError: The hybrid has no router.
    """
    mixture = hybrid.mixture
    if not isinstance(mixture, RoutedMixture):
        raise TypeError("The hybrid has no router: call hybrid.add_router first.")
    targets = router_targets(component_losses(hybrid, input_ids), options)
    ids = input_ids[:, :-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixture.router.reset()
        nn.init.zeros_(mixture.weight)
        order = [torch.randperm(len(ids)) for _ in range(options.fit_steps)]
    learning = [mixture.row, *mixture.router_parameters()]
    for parameter in learning:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(learning, lr=options.fit_lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.fit_steps)
    for rows in order:
        chosen = rows[:_BATCH].to(ids.device)
        optimizer.zero_grad()
        _loss(mixture, ids[chosen], targets[chosen], options.smoothness).backward()
        optimizer.step()
        schedule.step()
    optimizer.zero_grad()
    with torch.no_grad():
        alpha = mixture.weights_of(ids)
        mixture.remember(ids)
        hits = alpha.argmax(dim=-1) == targets.argmax(dim=-1)[..., None]
        loss = float(_loss(mixture, ids, targets, 0.0))
    return {"router_loss": loss, "router_accuracy": float(hits.float().mean())}


def _loss(
    mixture: RoutedMixture, ids: torch.Tensor, targets: torch.Tensor, smoothness: float
) -> torch.Tensor:
    """Cross entropy of the targets, with the total variation of the mixture weights."""
    logits = mixture.logits(ids)[0]  # (B, T, rows, K)
    loss = -(targets[:, :, None] * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
    if smoothness:
        loss = loss + smoothness * total_variation(logits.softmax(dim=-1))
    return loss


def total_variation(alpha: torch.Tensor) -> torch.Tensor:
    """How much the mixture weights change from token to token: 0, never, to 1, at every token.

    Args:
        alpha: (B, T, rows, K) mixture weights.
    """
    return 0.5 * (alpha[:, 1:] - alpha[:, :-1]).abs().sum(dim=-1).mean()
