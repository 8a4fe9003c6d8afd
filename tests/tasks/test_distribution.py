"""The vectorized tasks and the one-example-at-a-time reference draw from the same distribution."""

import numpy as np
import pytest
import torch

from benchmarks import mad_reference
from manticore.tasks import Setting, find_task
from manticore.tasks.drawing import IGNORED, Arrays, Draw

N = 3_000
LEAST_P = 1e-5  # some thousand comparisons, at fixed seeds
CASES = {
    "recall": {"task": "in-context-recall", "vocabulary": 8, "length": 16},
    "recall, one query": {
        "task": "in-context-recall",
        "vocabulary": 8,
        "length": 12,
        "multi_query": False,
    },
    "noisy": {
        "task": "noisy-in-context-recall",
        "vocabulary": 9,
        "noise_vocabulary": 3,
        "noise_share": 0.7,
        "length": 12,
    },
    "fuzzy": {"task": "fuzzy-in-context-recall", "vocabulary": 7, "length": 30},
    "fuzzy, one query, hardly a key twice": {
        "task": "fuzzy-in-context-recall",
        "vocabulary": 40,
        "length": 20,
        "longest_key": 2,
        "multi_query": False,
    },
    "copying": {
        "task": "selective-copying",
        "vocabulary": 6,
        "length": 20,
        "tokens_to_copy": 5,
    },
    "compression": {"task": "compression", "vocabulary": 5, "length": 6},
    "memorization": {"task": "memorization", "vocabulary": 10, "length": 8},
}


def draw(training: bool, seed: int) -> Draw:
    return Draw(
        N, "train" if training else "test", np.random.default_rng(seed), np.random.SeedSequence(7)
    )


def features(examples: Arrays) -> dict[str, np.ndarray]:
    """What is compared, each column by itself: (N, columns), small numbers of 0 or more."""
    inputs, targets = examples
    in_order = np.sort(inputs, axis=1)
    answer_again = inputs[:, ::-1] == targets[:, -1:]
    return {
        "tokens": inputs,
        "targets": np.where(targets == IGNORED, inputs.max() + 1, targets),
        "token again two places on": inputs[:, 2:] == inputs[:, :-2],
        "asked per example": (targets != IGNORED).sum(1, keepdims=True),
        "places since the last answer was seen": answer_again.argmax(1, keepdims=True),
        "different tokens": (np.diff(in_order) > 0).sum(1, keepdims=True),
    }


def same_distribution_p(left: np.ndarray, right: np.ndarray) -> float:
    """The chi-square test's p that two samples (N,) are of one distribution."""
    size = max(left.max(), right.max()) + 1
    counts = np.stack([np.bincount(x, minlength=size) for x in (left, right)])
    rare = counts.sum(0) < 10
    counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(1)])
    counts = counts[:, counts.sum(0) > 0]
    chi2 = (np.square(counts[0] - counts[1]) / counts.sum(0)).sum()  # samples of one size
    freedom = counts.shape[1] - 1
    if freedom == 0:
        return 1.0
    return torch.special.gammaincc(torch.tensor(freedom / 2), torch.tensor(chi2 / 2)).item()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_as_one_example_at_a_time(case: str, training: bool) -> None:
    setting = Setting(**CASES[case])
    vectorized = features(find_task(setting.task).generate(setting, draw(training, seed=1)))
    reference = features(mad_reference.generate(setting, draw(training, seed=2)))
    for name, columns in vectorized.items():
        assert columns.shape == reference[name].shape
        for index, (left, right) in enumerate(zip(columns.T, reference[name].T, strict=True)):
            p = same_distribution_p(left.astype(np.int64), right.astype(np.int64))
            assert p > LEAST_P, f"{name}, column {index}: p = {p:.1e}"
