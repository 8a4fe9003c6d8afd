"""How far programming should be trusted on a text, before anything is trained on it.

The paper leaves open when mixture weights from MAD tasks suit a target. Of what can be known before
training, one thing tells it best (`benchmarks.transfer`): whether programming prefers the component
that is better on the text alone. It costs a look at the text with each component.

Another is cheaper still, and tells less: the weight of each task in the text, by counting
(`text_weights`), and which mixture weights each task found. Where the tasks that weigh most in the
text want other mixture weights than the combined ones, those may not suit the text.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, islice, permutations
from typing import TYPE_CHECKING, Any

import torch

from manticore.data.packing import IGNORED
from manticore.evaluate.losses import perplexity
from manticore.programming.combining import weighted_mean
from manticore.programming.text_weights import text_weights

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from manticore.hybrid import ManticoreForCausalLM

PROFILED = 500
"""Number of sequences of a text in which task weights are counted."""
MEASURED = 64
"""Number of held-out sequences that components are measured on."""
MOST_ORDERS = 5040
"""Number of orders of the blocks that `by_chance` looks at: all of seven blocks."""


@dataclass(frozen=True)
class Trust:
    """How far programming is to be trusted on a text.

    Attributes:
        agreement: Agreement of the combined mixture weights with those that the tasks make when
            they have their weights in the text (see `mixture_for_text`), from -1 to 1.
        by_chance: Share of all orders of the blocks that would agree as well.
        skills: Weight of each task in the text, from 0 to 1 (see `text_weights`).
        not_counted: Tasks of the run that have no weight in any text, as nothing to count is known
            for them.
        alone: Perplexity of each component alone on the text; empty where it was not measured.
        shares: Mean mixture weight of each component over the blocks; empty where it was not
            measured.
    """

    agreement: float
    by_chance: float
    skills: dict[str, float]
    not_counted: tuple[str, ...] = ()
    alone: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """Name of the component that is best alone; None where it was not measured."""
        return min(self.alone, key=self.alone.__getitem__, default=None)

    @property
    def lead(self) -> float | None:
        """Share of the component that is best alone, above its even share.

        Above zero, programmed mixture weights are likely to be better than even ones; below zero,
        to be worse. None where it was not measured.
        """
        return None if self.best is None else self.shares[self.best] - 1 / len(self.shares)

    def with_components(self, hybrid: "ManticoreForCausalLM", held_out: "Dataset") -> "Trust":
        """The same, and what the hybrid's components can do alone.

        Args:
            hybrid: The hybrid at its programmed mixture weights.
            held_out: Sequences of the text that nothing learns from; the first ones are looked at.
        """
        names = hybrid.component_names
        alone = (
            perplexity(component, held_out, batch_size=16, max_batches=MEASURED // 16)
            for component in hybrid.components
        )
        shares = hybrid.mixture_weights.mean(dim=0).tolist()
        return replace(
            self,
            alone=dict(zip(names, alone, strict=True)),
            shares=dict(zip(names, shares, strict=True)),
        )


def trust_on(
    tasks: Mapping[str, Mapping[str, Any]],
    combined: Sequence[Sequence[float]],
    sequences: Iterable[Mapping[str, torch.Tensor]],
    vocabulary: int,
) -> Trust:
    """Compare what tasks have found with a text, before anything is trained on it.

    Args:
        tasks: Tasks in the metrics of a programming run, each with its `setting` and
            `mixture_weights`.
        combined: Mixture weights (N, K) that the run combined from them.
        sequences: Sequences of the text, each with `input_ids` (T,) and `labels` (T,); sequences
            with padding do not count.
        vocabulary: Size V of the tokenizer's vocabulary.

    Raises:
        ValueError: Fewer than two tasks, or none that has a weight in the text; the same mixture
            weights in all blocks; or too little text.
    """
    whole = (item["input_ids"] for item in sequences if (item["labels"] != IGNORED).all())
    profiled = list(islice(whole, PROFILED))
    if not profiled:
        raise ValueError(
            "The text does not fill one sequence: use more text, or a smaller seq_len."
        )
    weights = text_weights(torch.stack(profiled), vocabulary)
    alphas, alpha = alphas_by_task(tasks), torch.tensor(combined)
    wanted = mixture_for_text(alphas, weights)
    if not has_order(alpha):
        raise ValueError(
            "All blocks have the same mixture weights, so there is no order of blocks to compare: "
            "program with more blocks, and without tied."
        )
    return Trust(
        agreement(wanted, alpha),
        by_chance(wanted, alpha),
        weights,
        tuple(task for task in alphas if task not in weights),
    )


def alphas_by_task(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Mixture weights (N, K) that each task found, the mean over lengths if there are several."""
    found: dict[str, list[torch.Tensor]] = {}
    for result in tasks.values():
        alpha = torch.tensor(result["mixture_weights"])
        found.setdefault(result["setting"]["task"], []).append(alpha)
    return {task: torch.stack(alphas).mean(dim=0) for task, alphas in found.items()}


def mixture_for_text(
    alphas: Mapping[str, torch.Tensor], weights: Mapping[str, float]
) -> torch.Tensor:
    """The mixture weights (N, K) that tasks make when they are weighted as in a text.

    Args:
        alphas: Mixture weights (N, K) of each task; two tasks or more.
        weights: Weight of each task in the text, by `text_weights`; a task that it does not name
            has none.

    Raises:
        ValueError: Fewer than two tasks, or none that has a weight in the text.
    """
    if len(alphas) < 2:
        raise ValueError(
            f"The results of {', '.join(alphas)} alone cannot be compared: program the hybrid "
            "again, with two tasks or more."
        )
    wanted = [weights.get(task, 0.0) for task in alphas]
    if sum(wanted) <= 0:
        unknown = [task for task in alphas if task not in weights]
        reason = f" (nothing to count is known for {', '.join(unknown)})" if unknown else ""
        raise ValueError(
            f"None of {', '.join(alphas)} has a weight in the text{reason}: program the hybrid "
            "again, with other tasks."
        )
    return weighted_mean(list(alphas.values()), wanted)


def task_agreement(
    alphas: Mapping[str, torch.Tensor], weights: Mapping[str, float]
) -> float | None:
    """How alike the mixture weights of two tasks are: the weighted mean over pairs of tasks.

    Args:
        alphas: Mixture weights (N, K) of each task; two tasks or more.
        weights: Weight of each task, above 0.

    Returns:
        A number as from `agreement`; None where no task has blocks that differ, as with tied
        mixture weights.
    """
    if not any(map(has_order, alphas.values())):
        return None
    of_pair = {pair: weights[pair[0]] * weights[pair[1]] for pair in combinations(alphas, 2)}
    agreed = (
        weight * agreement(alphas[one], alphas[other]) for (one, other), weight in of_pair.items()
    )
    return sum(agreed) / sum(of_pair.values())


def agreement(first: torch.Tensor, second: torch.Tensor) -> float:
    """Whether two mixture weights (N, K) want the components in the same blocks.

    The correlation of the ranks that each component's weights have among its blocks. Without
    ranking within a component, one that both prefer everywhere would look like agreement about the
    blocks.

    Returns:
        From -1 (the reverse order of blocks) to 1 (the same order); 0 is the mean over all orders
        of the blocks of either, and the value where either has no order: see `has_order`.
    """
    return _correlation(_ranks_of_blocks(first), _ranks_of_blocks(second))


def has_order(alpha: torch.Tensor) -> bool:
    """Whether there are blocks with different mixture weights (N, K)."""
    return bool(_ranks_of_blocks(alpha).any())


def _ranks_of_blocks(alpha: torch.Tensor) -> torch.Tensor:
    """For each component the ranks of its blocks, minus their mean (K, N)."""
    # Rounding errors of float32 in equal rows must not count as an order.
    ranks = torch.stack([_ranks(column) for column in alpha.double().round(decimals=6).T])
    return ranks - ranks.mean(dim=1, keepdim=True)


def by_chance(
    first: torch.Tensor,
    second: torch.Tensor,
    measure: Callable[[torch.Tensor, torch.Tensor], float] = agreement,
) -> float:
    """How often as much agreement comes by chance: with few blocks, quite often.

    Args:
        first: Mixture weights (N, K), or other values by block.
        second: The same of something else.
        measure: Measure of agreement.

    Returns:
        The share of all orders of the rows of `second` (or of some thousand orders, drawn
        uniformly, where there are more) that reach the agreement of the two as they are.
    """
    reached, n = measure(first, second), len(second)
    if math.factorial(n) <= MOST_ORDERS:
        orders = [torch.tensor(order) for order in permutations(range(n))]
    else:
        generator = torch.Generator().manual_seed(0)
        orders = [torch.randperm(n, generator=generator) for _ in range(MOST_ORDERS)]
    as_well = sum(measure(first, second[order]) >= reached - 1e-9 for order in orders)
    return as_well / len(orders)


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Spearman's rank correlation of two vectors; 0 where one is constant."""
    one, other = (ranks - ranks.mean() for ranks in map(_ranks, (first, second)))
    return _correlation(one, other)


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Correlation of two centered tensors."""
    return float((first * second).sum() / (first.norm() * second.norm()).clamp_min(1e-12))


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks of a vector's values; equal values share the mean of their ranks."""
    below = (values[:, None] > values).sum(dim=1)
    equal = (values[:, None] == values).sum(dim=1)
    return below.double() + (equal.double() - 1) / 2
