"""Must mixture weights be a convex combination?

The paper's are: one number per block and component, none negative, and each block's sum to one. The
same hybrids are trained with less of that:

- `fixed`: even weights that do not learn;
- `simplex`: the paper's, as a softmax;
- `affine`: each block's still sum to one, and may be negative;
- `free`: any numbers;
- `simplex per channel`: a softmax for every channel of the hidden states;
- `free per channel`: any numbers for every channel.

All start at even weights, as the same function. So that nothing but the sum is compared, what
enters and leaves a block is projected whatever its weights are, which the flat gate also does
except near one-hot weights. Logits of the heads are mixed by the last block's weights, or by their
means over channels. Components, projectors and weights learn together, with the same steps and
nearly the same compute. The settings are two of `benchmarks.retraining`; the rate of the
components, then that of the weights, is the best for each of them, with another seed, on the other
half of the held-out text, from grids that are extended where their end is best.

    python -m benchmarks.combining

If it is interrupted, the benchmark continues with the trainings that are done.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from statistics import mean, stdev
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import manticore as mc
from benchmarks.harness import Trials, best_of, save_results
from benchmarks.retraining import BATCH_SIZE, N_BLOCKS, SEQ_LEN, SEQUENCES, SETTINGS, STEPS, Text
from benchmarks.searching import search_here
from manticore.config.search import SearchConfig
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.heads import mixed_heads
from manticore.hybrid.mixture import Mixture, PassWeights
from manticore.hybrid.projectors import resize_width
from manticore.search.held_out import hold_out
from manticore.search.strategy import Strategy

CHOOSING_SEED, SEEDS = 100, (0, 1, 2)
COMPONENT_RATES, RATES = (1e-3, 2e-3), (0.02, 0.1)
COMPARED = ("both", "english")


class Combination(Mixture):
    """Weights of a block's components, which learn; they start even.

    Args:
        shape: (N, K, 1), or (N, K, D) with a weight for every channel.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.row = nn.Parameter(self.start(torch.full(shape, 1 / shape[1])))

    def start(self, even: torch.Tensor) -> torch.Tensor:
        """The parameters that give even weights."""
        return even

    def weights(self) -> torch.Tensor:
        """(N, K, 1) or (N, K, D)."""
        return self.row

    def forward(self) -> torch.Tensor:
        """(N, K), the means over channels; all components take part, whatever these are."""
        return self.weights().mean(dim=-1)


class Affine(Combination):
    """Rows sum to one, with weights of either sign."""

    def weights(self) -> torch.Tensor:
        """(N, K, 1)."""
        return self.row - self.row.mean(dim=1, keepdim=True) + 1 / self.row.shape[1]


class Simplex(Combination):
    """Rows sum to one, and no weight is negative."""

    def start(self, even: torch.Tensor) -> torch.Tensor:
        """Logits of even weights."""
        return torch.zeros_like(even)

    def weights(self) -> torch.Tensor:
        """(N, K, 1) or (N, K, D)."""
        return self.row.softmax(dim=1)


@dataclass(frozen=True)
class CombinedBlocks(HybridBlocks):
    """Blocks that are summed with the weights of a `Combination`.

    Attributes:
        combined: (N, K, 1) or (N, K, D) weights of the pass.
    """

    combined: torch.Tensor = field(default_factory=lambda: torch.ones(()))

    def embed(
        self, input_ids: torch.Tensor, position_ids: torch.Tensor, weights: PassWeights
    ) -> torch.Tensor:
        """h[0], (B, T, D)."""
        total = torch.zeros(())
        for k, started in self.started.items():
            own = resize_width(started.embedded / self.scales[0][k], self.width)
            total = total + own * self.combined[0, k]
        return total

    def _enter(
        self, block: int, k: int, hidden_states: torch.Tensor, gate: torch.Tensor, alone: bool
    ) -> torch.Tensor:
        projected = self.projectors.into_block(block, k)(hidden_states)
        return self._in_own_type(k, projected * self.scales[block][k])

    def _leave(
        self,
        block: int,
        k: int,
        leaving: torch.Tensor,
        gate: torch.Tensor,
        weight: torch.Tensor,
        alone: bool,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        projected = self.projectors.out_of_block(block, k)(leaving / self.scales[block + 1][k])
        return [(projected * self.combined[block, k], torch.ones(()))]


class CombinedHybrid(ManticoreForCausalLM):
    """A hybrid whose `mixture` is a `Combination`."""

    @property
    def blocks(self) -> HybridBlocks:
        """The blocks, with the weights as they are now."""
        usual = super().blocks
        parts = {part.name: getattr(usual, part.name) for part in fields(usual)}
        return CombinedBlocks(**parts, combined=self.mixture.weights())

    def _logits(
        self, blocks: HybridBlocks, hidden_states: torch.Tensor, weights: PassWeights
    ) -> torch.Tensor:
        vocabulary, by_component = self.config.vocab_size, self.mixture()[-1]
        terms = [
            (blocks.own_logits(k, hidden_states, vocabulary), weight)
            for k, weight in enumerate(by_component)
        ]
        return mixed_heads(terms, self.config.head, hidden_states.dtype)


class Combining(Strategy):
    """Gradient descent on a combination, which stays in the hybrid."""

    def begin(self, hybrid: ManticoreForCausalLM) -> None:
        """Take the combination that the hybrid has."""
        self.hybrid, self.mixture = hybrid, hybrid.mixture

    def fix(self) -> None:
        """Leave it as it is."""


@dataclass(frozen=True)
class Kind:
    """A kind of weights: its class, whether each channel has its own, and whether they learn."""

    made: Callable[[tuple[int, int, int]], Combination]
    per_channel: bool = False
    learns: bool = True


KINDS = {
    "fixed": Kind(Combination, learns=False),
    "simplex": Kind(Simplex),
    "affine": Kind(Affine),
    "free": Kind(Combination),
    "simplex per channel": Kind(Simplex, per_channel=True),
    "free per channel": Kind(Combination, per_channel=True),
}


def main() -> None:
    """Choose, measure, print and save."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    setup: dict[str, Any] = {"settings": COMPARED, "n_blocks": N_BLOCKS, "seq_len": SEQ_LEN}
    setup |= {"batch_size": BATCH_SIZE, "steps": STEPS, "test_sequences": SEQUENCES}
    setup |= {"component_rates": COMPONENT_RATES, "rates": RATES}
    setup |= {"seeds": SEEDS, "choosing_seed": CHOOSING_SEED}
    rows = []
    with Trials("combining", setup) as trials:
        for name in COMPARED:
            text = Text(SETTINGS[name])
            found = {kind: _by_seed(trials, text, f"{name} {kind}", KINDS[kind]) for kind in KINDS}
            rows += [{"setting": name, **row} for row in _rows(found)]
        _print(rows)
        setup["processors"] = trials.processors
        print(save_results("combining", {"setup": setup, "rows": rows}))
        trials.forget()


def _by_seed(trials: Trials, text: Text, label: str, kind: Kind) -> list[dict[str, Any]]:
    """What one kind comes to, at its best rates."""

    def chosen_by(component_lr: float, rate: float) -> float:
        return _trained(text, kind, component_lr, rate, CHOOSING_SEED)["chosen_by"]

    tried = trials.at_rates(
        f"{label}, components at", COMPONENT_RATES, lambda lr: chosen_by(lr, RATES[0])
    )
    component_lr, rate = best_of(tried), RATES[0]
    if kind.learns:
        tried = trials.at_rates(
            f"{label}, weights at", RATES, lambda rate: chosen_by(component_lr, rate)
        )
        rate = best_of(tried)
    rates = {"component_lr": component_lr, "mixture_lr": rate if kind.learns else None}
    return [
        trials.measure(f"{label} {seed}", partial(_trained, text, kind, component_lr, rate, seed))
        | rates
        for seed in SEEDS
    ]


def _trained(text: Text, kind: Kind, component_lr: float, rate: float, seed: int) -> dict[str, Any]:
    """Losses of a hybrid that learned with its weights, and what these have become."""
    hybrid = _built(text.setting.components, kind, seed)
    # A strategy's name decides nothing here but which options are allowed.
    name = "darts" if kind.learns else "fixed"
    options: dict[str, Any] = {"strategy": name, "steps": STEPS, "batch_size": BATCH_SIZE}
    options |= {"component_lr": component_lr} | ({"mixture_lr": rate} if kind.learns else {})
    searched = SearchConfig.model_validate(options)
    strategy = Combining(searched, seed)
    if not kind.learns:
        hybrid.mixture.requires_grad_(False)
    strategy.begin(hybrid)
    learned, held_out = hold_out(text.data.train, searched.held_out, seed, BATCH_SIZE)
    seconds = search_here(hybrid, strategy, searched, learned, held_out, seed)
    hybrid.eval()
    weights = hybrid.mixture.weights().detach()
    return {
        "loss": text.loss(hybrid),
        "chosen_by": text.loss(hybrid, to_choose=True),
        "negative": round(float((weights < 0).float().mean()), 4),
        "sums": [round(float(weights.sum(dim=1).min()), 3), round(float(weights.sum(1).max()), 3)],
        "weights": [[round(one, 3) for one in row] for row in weights.mean(dim=-1).tolist()],
        "seconds": round(seconds, 1),
    }


def _built(sources: Sequence[str], kind: Kind, seed: int) -> CombinedHybrid:
    """The hybrid with weights of that kind, at their start."""
    usual = mc.build_hybrid(list(sources), N_BLOCKS, gate="flat", seed=seed)
    hybrid = CombinedHybrid(usual.config, list(usual.components))
    hybrid.projectors.load_state_dict(usual.projectors.state_dict())
    hybrid.mixture = kind.made((N_BLOCKS, len(sources), hybrid.width if kind.per_channel else 1))
    return hybrid


def _rows(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for each kind; the difference to the simplex is taken seed by seed."""
    simplex = [one["loss"] for one in found["simplex"]]
    rows = []
    for name, by_seed in found.items():
        losses = [one["loss"] for one in by_seed]
        above = [loss - other for loss, other in zip(losses, simplex, strict=True)]
        rows.append(
            {
                "weights": name,
                "loss": round(mean(losses), 3),
                "spread": round(stdev(losses), 3),
                "above_simplex": round(mean(above), 3),
                "above_spread": round(stdev(above), 3),
                "negative": round(mean(one["negative"] for one in by_seed), 3),
                "seconds": round(mean(one["seconds"] for one in by_seed), 1),
                "by_seed": by_seed,
            }
        )
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name != "by_seed"]
    table = Table(*columns, title="Test loss in nats per token")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
