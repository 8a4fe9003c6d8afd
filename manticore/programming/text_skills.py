"""What a text asks of a model, counted without any training, in the terms of the MAD tasks."""

import torch

_SHUFFLE_SEED = 0


def text_skills(ids: torch.Tensor, vocabulary: int) -> dict[str, float]:
    """How much a text rewards the skill behind each MAD task, from 0 to 1.

    What `counted_skills` finds in it, less what it finds in the same tokens in any order: that much
    comes by chance, or from counting few tokens. The skill of compression knows no order.

    Args:
        ids: (n, T) tokens of the text, in windows as the model sees them.
        vocabulary: V, of the tokenizer.
    """
    order = torch.randperm(ids.numel(), generator=torch.Generator().manual_seed(_SHUFFLE_SEED))
    found = counted_skills(ids, vocabulary)
    chance = counted_skills(ids.flatten()[order].view(ids.shape), vocabulary)
    chance["compression"] = 0.0
    return {task: max(0.0, share - chance[task]) for task, share in found.items()}


def counted_skills(ids: torch.Tensor, vocabulary: int) -> dict[str, float]:
    """Shares of a text, from 0 to 1, that the skill behind each MAD task would tell.

    - in-context recall: the next token is what followed the same token at its last place in the
      window;
    - fuzzy in-context recall: the same, of the last two tokens;
    - noisy in-context recall: as in-context recall, where the last place is in the far half of what
      came before;
    - selective copying: a token that the text seldom has comes again in the window;
    - compression: how far below its greatest the entropy of single tokens is;
    - memorization: the share of that entropy which the token before takes away.

    Args:
        ids: (n, T).
        vocabulary: V.
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
