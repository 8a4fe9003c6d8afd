"""How far programming should be trusted on a text, before anything is trained on it.

The paper leaves open when mixture weights from MAD tasks suit a target. Two things can be known
cheaply. One is what the text asks of a model, by counting: how often a look back in the same window
would have told the next token, how much the token before tells of it everywhere, and so on, each of
them near to one of the tasks. The other is whether the tasks agree about the mixture weights: where
those that matter for the text do not, their mean is nobody's choice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import torch

PROFILED = 500
"""Sequences of a text that its skills are counted in."""


@dataclass(frozen=True)
class Trust:
    """How far programming is to be trusted on a text.

    Attributes:
        agreement: Of the tasks, each counted as much as the text asks for its skill: see `trust`.
        skills: What the text asks for, by task: see `text_skills`.
    """

    agreement: float
    skills: dict[str, float]


def trust_on(
    tasks: Mapping[str, Mapping[str, Any]],
    sequences: Iterable[Mapping[str, torch.Tensor]],
    vocabulary: int,
) -> Trust:
    """Judge what tasks have found by a text, before anything is trained on it.

    Args:
        tasks: Of a programming run's metrics: each with its `setting` and `mixture_weights`.
        sequences: Of the text: each with `input_ids` (T,).
        vocabulary: V, of the tokenizer.

    Raises:
        ValueError: Fewer than two tasks with a skill that the text asks for.
    """
    ids = torch.stack([sequence["input_ids"] for sequence in islice(sequences, PROFILED)])
    skills = text_skills(ids, vocabulary)
    return Trust(trust(alphas_by_task(tasks), skills), skills)


def alphas_by_task(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Mixture weights (N, K) that each task found, the mean over lengths if there are several."""
    found: dict[str, list[torch.Tensor]] = {}
    for result in tasks.values():
        alpha = torch.tensor(result["mixture_weights"])
        found.setdefault(result["setting"]["task"], []).append(alpha)
    return {task: torch.stack(alphas).mean(dim=0) for task, alphas in found.items()}


def text_skills(ids: torch.Tensor, vocabulary: int) -> dict[str, float]:
    """How much a text rewards the skill behind each MAD task, from 0 to 1.

    - in-context recall: the next token is what followed the same token at its last place in the
      window;
    - fuzzy in-context recall: the same, of the last two tokens;
    - noisy in-context recall: as in-context recall, where the last place is in the far half of what
      came before;
    - selective copying: a token that the text seldom has comes again in the window;
    - compression: how far below its greatest the entropy of single tokens is;
    - memorization: the share of that entropy which the token before takes away; as frequencies are
      the text's own, a short text overstates it.

    Args:
        ids: (n, T) tokens of the text, in windows as the model sees them.
        vocabulary: V, of the tokenizer.
    """
    recall, far = _look_back(ids, ids[:, :-1])
    pairs = ids[:, :-2] * vocabulary + ids[:, 1:-1]
    fuzzy, _ = _look_back(ids[:, 1:], pairs)
    entropy = _entropy(ids[:, 1:].flatten())
    told = _entropy((ids[:, :-1] * vocabulary + ids[:, 1:]).flatten())
    told = entropy - (told - _entropy(ids[:, :-1].flatten()))
    greatest = torch.tensor(float(vocabulary)).log()
    return {
        "in-context-recall": recall,
        "fuzzy-in-context-recall": fuzzy,
        "noisy-in-context-recall": far,
        "selective-copying": _rare_repeats(ids, vocabulary),
        "compression": float(1 - entropy / greatest),
        "memorization": float(told / entropy.clamp_min(1e-9)),
    }


def trust(alphas: Mapping[str, torch.Tensor], skills: Mapping[str, float]) -> float:
    """How alike the tasks' mixture weights are: the mean rank correlation of pairs, by skill.

    Args:
        alphas: (N, K) of each task; two tasks or more.
        skills: How much each counts: of a text, by `text_skills`.

    Returns:
        From -1 to 1: at 1 the tasks rank the components alike in every block, and their mean says
        what each of them says.

    Raises:
        ValueError: Fewer than two tasks with a skill above zero.
    """
    counted = [task for task in alphas if skills[task] > 0]
    if len(counted) < 2:
        raise ValueError(
            f"Agreement needs two tasks with a skill above zero, not {len(counted)}: program the "
            "hybrid anew, and give it more tasks."
        )
    weights = {pair: skills[pair[0]] * skills[pair[1]] for pair in combinations(counted, 2)}
    agreed = sum(
        weight * rank_correlation(alphas[one], alphas[other])
        for (one, other), weight in weights.items()
    )
    return agreed / sum(weights.values())


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Spearman's rank correlation of two tables of mixture weights; 0 where one is constant."""
    ranks = torch.stack([_ranks(first.flatten()), _ranks(second.flatten())])
    centred = ranks - ranks.mean(dim=1, keepdim=True)
    norms = centred.norm(dim=1)
    return float((centred[0] * centred[1]).sum() / (norms[0] * norms[1]).clamp_min(1e-12))


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Equal values share the mean of their ranks."""
    below = (values[:, None] > values).sum(dim=1)
    equal = (values[:, None] == values).sum(dim=1)
    return below.double() + (equal.double() - 1) / 2


def _look_back(ids: torch.Tensor, keys: torch.Tensor) -> tuple[float, float]:
    """Share of tokens told by what followed their key's last place in the window; and from afar.

    Args:
        ids: (n, T).
        keys: (n, T - 1), what comes before each token but the first.
    """
    following = ids[:, 1:]
    hits = far = 0
    for row, after in zip(keys.tolist(), following.tolist(), strict=True):
        seen: dict[int, tuple[int, int]] = {}
        for place, (key, token) in enumerate(zip(row, after, strict=True)):
            if key in seen and seen[key][1] == token:
                hits += 1
                far += seen[key][0] < place / 2
            seen[key] = (place, token)
    asked = max(following.numel(), 1)
    return hits / asked, far / asked


def _rare_repeats(ids: torch.Tensor, vocabulary: int) -> float:
    """Share of tokens that are rarer than half of all, and were in the window before."""
    counts = torch.bincount(ids.flatten(), minlength=vocabulary)
    middle = counts[ids].double().flatten().median()
    rare = counts[ids] < middle
    again = torch.zeros_like(rare)
    for index, row in enumerate(ids.tolist()):
        seen: set[int] = set()
        for place, token in enumerate(row):
            again[index, place] = token in seen
            seen.add(token)
    return float((rare & again).double().mean())


def _entropy(symbols: torch.Tensor) -> torch.Tensor:
    """In nats per symbol, of the frequencies that they have."""
    _, counts = symbols.unique(return_counts=True)
    shares = counts.double() / counts.sum()
    return -(shares * shares.log()).sum()
