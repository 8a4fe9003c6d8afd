"""How far programming should be trusted on a text, before anything is trained on it.

The paper leaves open when mixture weights from MAD tasks suit a target. Two things can be known
cheaply: how much the text asks for the skill behind each task, by counting (`text_skills`), and
which mixture weights each task found. Where the tasks that the text asks for want other mixture
weights than those that were made, these are not the text's.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, permutations
from typing import Any

import torch

from manticore.data.packing import IGNORED
from manticore.programming.combining import weighted_mean
from manticore.programming.text_skills import text_skills

PROFILED = 500
"""Sequences of a text that its skills are counted in."""
MOST_ORDERS = 5040
"""That are looked at, to tell how likely an agreement is: all of seven blocks."""


@dataclass(frozen=True)
class Trust:
    """How far programming is to be trusted on a text.

    Attributes:
        agreement: Of the mixture weights that were made with what the tasks that the text asks for
            want: see `asked_mixture`.
        by_chance: The share of all orders of the blocks in which they would agree as well.
        skills: What the text asks for, by task: see `text_skills`.
    """

    agreement: float
    by_chance: float
    skills: dict[str, float]


def trust_on(
    tasks: Mapping[str, Mapping[str, Any]],
    made: Sequence[Sequence[float]],
    sequences: Iterable[Mapping[str, torch.Tensor]],
    vocabulary: int,
) -> Trust:
    """Judge what tasks have found by a text, before anything is trained on it.

    Args:
        tasks: Of a programming run's metrics: each with its `setting` and `mixture_weights`.
        made: (N, K), the mixture weights that the run made of them, as its metrics have them.
        sequences: Of the text: each with `input_ids` (T,) and `labels` (T,); what is filled up with
            padding does not count.
        vocabulary: V, of the tokenizer.

    Raises:
        ValueError: Fewer than two tasks, or none that the text asks for; all blocks alike; or too
            little text.
    """
    whole = (item["input_ids"] for item in sequences if (item["labels"] != IGNORED).all())
    profiled = list(islice(whole, PROFILED))
    if not profiled:
        raise ValueError("The text fills no sequence: use more text, or a smaller seq_len.")
    skills = text_skills(torch.stack(profiled), vocabulary)
    asked, alpha = asked_mixture(alphas_by_task(tasks), skills), torch.tensor(made)
    if not has_order(alpha):
        raise ValueError(
            "The mixture weights of all blocks are alike, so there is nothing to tell about which "
            "component suits which block: program with more blocks, and not tied."
        )
    return Trust(agreement(asked, alpha), by_chance(asked, alpha), skills)


def alphas_by_task(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Mixture weights (N, K) that each task found, the mean over lengths if there are several."""
    found: dict[str, list[torch.Tensor]] = {}
    for result in tasks.values():
        alpha = torch.tensor(result["mixture_weights"])
        found.setdefault(result["setting"]["task"], []).append(alpha)
    return {task: torch.stack(alphas).mean(dim=0) for task, alphas in found.items()}


def asked_mixture(alphas: Mapping[str, torch.Tensor], asked: Mapping[str, float]) -> torch.Tensor:
    """The mixture weights (N, K) that tasks make where each counts as much as it is asked for.

    Args:
        alphas: (N, K) of each task; two tasks or more.
        asked: How much each is asked for: of a text, by `text_skills`.

    Raises:
        ValueError: Fewer than two tasks, or none that is asked for.
    """
    if len(alphas) < 2:
        raise ValueError(
            f"What {', '.join(alphas)} found has nothing to be compared with: program the hybrid "
            "anew, with two tasks or more."
        )
    wanted = [asked[task] for task in alphas]
    if sum(wanted) <= 0:
        raise ValueError(
            f"The text asks for none of {', '.join(alphas)}: program the hybrid anew, with other "
            "tasks."
        )
    return weighted_mean(list(alphas.values()), wanted)


def task_agreement(alphas: Mapping[str, torch.Tensor], skills: Mapping[str, float]) -> float | None:
    """How alike the mixture weights of two tasks are: the mean over pairs, by skill.

    Args:
        alphas: (N, K) of each task; two tasks or more.
        skills: How much each counts, above 0.

    Returns:
        As of `agreement`; None where no task's blocks differ, as of tied ones.
    """
    if not any(map(has_order, alphas.values())):
        return None
    weights = {pair: skills[pair[0]] * skills[pair[1]] for pair in combinations(alphas, 2)}
    agreed = (
        weight * agreement(alphas[one], alphas[other]) for (one, other), weight in weights.items()
    )
    return sum(agreed) / sum(weights.values())


def agreement(first: torch.Tensor, second: torch.Tensor) -> float:
    """Whether mixture weights (N, K) each want the components in the same blocks.

    The correlation of ranks that each component's weights have among its blocks. A component that
    both prefer everywhere would else look like agreement about the blocks.

    Returns:
        From -1 (the reverse order of blocks) to 1 (the same); 0 is the mean over all orders of the
        blocks of either, and where either has no order: see `has_order`.
    """
    return _correlation(*(_ranks_of_blocks(alpha) for alpha in (first, second)))


def has_order(alpha: torch.Tensor) -> bool:
    """Whether there are blocks of different mixture weights (N, K)."""
    return bool(_ranks_of_blocks(alpha).any())


def _ranks_of_blocks(alpha: torch.Tensor) -> torch.Tensor:
    """(K, N): for each component the ranks of its blocks, less their mean."""
    # What is left of float32 in rows that are alike is no order.
    ranks = torch.stack([_ranks(column) for column in alpha.double().round(decimals=6).T])
    return ranks - ranks.mean(dim=1, keepdim=True)


def by_chance(
    first: torch.Tensor,
    second: torch.Tensor,
    measure: Callable[[torch.Tensor, torch.Tensor], float] = agreement,
) -> float:
    """How often as much agreement comes from nothing: with few blocks, much of it is luck.

    Args:
        first, second: Of the same first dimension: mixture weights (N, K).
        measure: What is to be reached.

    Returns:
        The share of all orders of the rows of `second` (of some thousands, drawn evenly, where
        there are more) that reach what the two reach as they are.
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
    ranks = [_ranks(values) for values in (first, second)]
    return _correlation(*(own - own.mean() for own in ranks))


def _correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Of what has no mean."""
    return float((first * second).sum() / (first.norm() * second.norm()).clamp_min(1e-12))


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Equal values share the mean of their ranks."""
    below = (values[:, None] > values).sum(dim=1)
    equal = (values[:, None] == values).sum(dim=1)
    return below.double() + (equal.double() - 1) / 2
