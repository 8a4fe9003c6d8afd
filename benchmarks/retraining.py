"""Which strategy finds mixture weights that are worth training with from the start?

While mixture weights are searched, projectors and components learn as well, and what looks best on
half-trained weights need not be best for a hybrid that is trained at those mixture weights from its
first step. So each strategy searches, its mixture weights are taken out, and a new hybrid is
fine-tuned at them, from the start and as long as any other.

- `both`: the bundled English and Spanish components on stories in both languages, where both are
  needed.
- `neighbours`: two English components of different families on the same: neither knows Spanish, and
  nobody says which is better.
- `english`: the English and the Spanish component on English stories, where the first one alone is
  right.

`regret` is the test loss above that of the best constant mixture weights with the same training, in
nats per token and seed by seed: even ones, or one component alone. `kept` is the regret of the
hybrid as its search has left it, with the weights that were trained meanwhile, against the same.

Every strategy gets the same budget in forward passes, a backward pass counting as two. The rate of
the components is the best for even mixture weights; that of the mixture weights is the best for
what follows from it, the fine-tuning from the start. Both are chosen with another seed, on the
other half of the held-out text, from grids that are extended where their end is best.

    python -m benchmarks.retraining

If it is interrupted, the benchmark continues with the trainings that are done.
"""

import argparse
from dataclasses import asdict, dataclass
from functools import partial
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table
from torch.utils.data import Subset

import manticore as mc
from benchmarks.harness import Trials, best_of, save_results
from benchmarks.searching import search_text
from manticore.config.search import SearchConfig
from manticore.data import TextData
from manticore.evaluate import mean_loss
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.mixture import simplex_grid

N_BLOCKS, SEQ_LEN, BATCH_SIZE, STEPS = 4, 32, 4, 80
BUDGET = 3 * STEPS
"""Forward passes of one search; those of as many steps of fine-tuning."""
BILEVEL_STEP = 5
"""Forward passes of a step of `darts-bilevel`: its held-out batch needs the gradient of the mixture
weights alone."""
CHOOSING_SEED, SEEDS, SEQUENCES = 100, (0, 1, 2), 192
COMPONENT_RATES = (1e-3, 2e-3)
RATES: dict[str, tuple[float, ...]] = {
    "darts": (0.02, 0.1),
    "darts-bilevel": (0.02, 0.1),
    "gaea": (0.1, 0.4),
    "dash": (0.02, 0.1),
    "probe": (),
    "random": (),
    "sweep": (),
}
"""Rates of the mixture weights, for the strategies that descend."""


@dataclass(frozen=True)
class Setting:
    """Two components and a text."""

    components: tuple[str, str]
    text: str


SETTINGS = {
    "both": Setting(("zoo:tales-neox", "zoo:novelas-mamba"), "bundled:stories-mixed"),
    "neighbours": Setting(("zoo:tales-neox", "zoo:tales-mamba"), "bundled:stories-mixed"),
    "english": Setting(("zoo:tales-neox", "zoo:novelas-mamba"), "bundled:stories-en"),
}
CONSTANT = {"even": [0.5, 0.5], "first alone": [1.0, 0.0], "second alone": [0.0, 1.0]}


class Text:
    """A setting's text, in two parts of held-out sequences.

    Attributes:
        setting: The setting.
        data: The text.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        tokenizer = mc.load_component(setting.components[0]).tokenizer
        self.data: TextData = mc.load_text(setting.text, tokenizer=tokenizer, seq_len=SEQ_LEN)

    def loss(self, hybrid: ManticoreForCausalLM, *, to_choose: bool = False) -> float:
        """Mean loss, in nats per token, on the half that is tested on, or that chooses."""
        half = len(self.data.valid) // 2
        first = 0 if to_choose else half
        part = [first + i * half // SEQUENCES for i in range(SEQUENCES)]
        return round(mean_loss(hybrid, Subset(self.data.valid, part), batch_size=32), 5)


def main() -> None:
    """Choose, measure, print and save."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    setup: dict[str, Any] = {
        "settings": {name: asdict(setting) for name, setting in SETTINGS.items()},
        "n_blocks": N_BLOCKS,
        "seq_len": SEQ_LEN,
        "batch_size": BATCH_SIZE,
        "steps": STEPS,
        "budget": BUDGET,
        "component_rates": COMPONENT_RATES,
        "rates": RATES,
        "seeds": SEEDS,
        "choosing_seed": CHOOSING_SEED,
        "test_sequences": SEQUENCES,
    }
    rows: list[dict[str, Any]] = []
    with Trials("retraining", setup) as trials:
        for name, setting in SETTINGS.items():
            rows += [{"setting": name, **row} for row in Judge(trials, name, setting).rows()]
        _print(rows)
        setup["processors"] = trials.processors
        print(save_results("retraining", {"setup": setup, "rows": rows}))
        trials.forget()


class Judge:
    """The searches and trainings of one setting."""

    def __init__(self, trials: Trials, name: str, setting: Setting) -> None:
        self.trials, self.name, self.text = trials, name, Text(setting)

    def rows(self) -> list[dict[str, Any]]:
        """All that is compared, the constant mixture weights first."""
        found = {name: self._constant(weights) for name, weights in CONSTANT.items()}
        best = min(found.values(), key=lambda losses: mean(losses))
        rows = [
            _row(name, {"regret": _above(losses, best), "loss": losses})
            for name, losses in found.items()
        ]
        return rows + [self._searched(name, best) for name in RATES]

    @property
    def component_lr(self) -> float:
        """The components' rate that is best for even mixture weights."""
        tried = self.trials.at_rates(
            f"{self.name} components at",
            COMPONENT_RATES,
            lambda rate: self._trained(CONSTANT["even"], CHOOSING_SEED, rate)["chosen_by"],
        )
        return best_of(tried)

    def _constant(self, weights: list[float]) -> list[float]:
        rate = self.component_lr
        return [
            self.trials.measure(
                f"{self.name} {weights} {seed}", partial(self._trained, weights, seed, rate)
            )["loss"]
            for seed in SEEDS
        ]

    def _searched(self, name: str, best: list[float]) -> dict[str, Any]:
        rates, label = RATES[name], f"{self.name} {name}"
        rate = None
        if rates:
            tried = self.trials.at_rates(
                f"{label} at",
                rates,
                lambda rate: self._judged(name, rate, CHOOSING_SEED)["chosen_by"],
            )
            rate = best_of(tried)
        by_seed = [
            self.trials.measure(f"{label} {seed}", partial(self._judged, name, rate, seed))
            for seed in SEEDS
        ]
        losses, kept = ([one[what] for one in by_seed] for what in ("loss", "kept"))
        values = {"regret": _above(losses, best), "kept": _above(kept, best), "loss": losses}
        values["decided"] = [mean(max(row) for row in one["alpha"]) for one in by_seed]
        row = _row(name, values) | {"mixture_lr": rate, "steps": by_seed[0]["steps"]}
        return row | {"alpha": [one["alpha"] for one in by_seed]}

    def _judged(self, name: str, rate: float | None, seed: int) -> dict[str, Any]:
        """A search, and fine-tuning from the start at the mixture weights that it found."""
        hybrid = self._built(None, seed)
        options = _options(name, rate, self.component_lr, *hybrid.mixture_weights.shape)
        self._run(hybrid, options, seed)
        alpha = [[round(weight, 4) for weight in row] for row in hybrid.mixture_weights.tolist()]
        kept = self.text.loss(hybrid)
        trained = self._trained(hybrid.mixture_weights, seed, self.component_lr)
        return {**trained, "kept": kept, "alpha": alpha, "steps": options.steps}

    def _trained(self, weights: Any, seed: int, rate: float) -> dict[str, float]:
        """Test loss, and loss to choose by, of a hybrid that is trained at mixture weights."""
        hybrid = self._built(weights, seed)
        options = SearchConfig(
            strategy="fixed", steps=STEPS, batch_size=BATCH_SIZE, component_lr=rate
        )
        self._run(hybrid, options, seed)
        return {"loss": self.text.loss(hybrid), "chosen_by": self.text.loss(hybrid, to_choose=True)}

    def _built(self, weights: Any, seed: int) -> ManticoreForCausalLM:
        components = list(self.text.setting.components)
        return mc.build_hybrid(components, N_BLOCKS, mixture_weights=weights, seed=seed)

    def _run(self, hybrid: ManticoreForCausalLM, options: SearchConfig, seed: int) -> None:
        search_text(hybrid, options, self.text.data.train, seed)
        hybrid.eval()


def _options(
    name: str, rate: float | None, component_lr: float, n_blocks: int, n_components: int
) -> SearchConfig:
    """A strategy's options within the budget."""
    extra: dict[str, Any] = {} if rate is None else {"mixture_lr": rate}
    per_step, before = 3.0, 0
    if name == "darts-bilevel":
        per_step = BILEVEL_STEP
    elif name == "probe":
        # Where rows stand, all rows to each corner, each row to each corner.
        every = SearchConfig().probe_every
        per_step += (1 + n_components + n_blocks * n_components) / every
    elif name in ("random", "sweep"):
        grid = simplex_grid(n_components, SearchConfig().grid)
        extra["probe_batches"] = 4
        points = len(grid) if name == "sweep" else SearchConfig().candidates
        before = points * extra["probe_batches"]
    return SearchConfig(
        strategy=name,
        steps=round((BUDGET - before) / per_step),
        batch_size=BATCH_SIZE,
        component_lr=component_lr,
        **extra,
    )


def _above(losses: list[float], best: list[float]) -> list[float]:
    return [loss - other for loss, other in zip(losses, best, strict=True)]


def _row(name: str, values: dict[str, list[float]]) -> dict[str, Any]:
    """Mean and spread of each value over seeds."""
    row: dict[str, Any] = {"mixture weights": name}
    for what, by_seed in values.items():
        row[what], row[f"{what}_spread"] = round(mean(by_seed), 3), round(stdev(by_seed), 3)
    return row | {"by_seed": [round(loss, 4) for loss in values["loss"]]}


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("setting", "mixture weights", "regret", "regret_spread", "kept", "decided")
    table = Table(*columns, title="Regret in nats per token; 0 is the best constant")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
