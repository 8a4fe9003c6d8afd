"""The suite's protocol: how every model is trained on every task, and what its score is.

Published (Poli et al., arXiv 2403.17844): each model is trained with every pair of a learning rate
and a weight decay, by AdamW with a cosine schedule for 200 epochs; its score on a task is the mean
over difficulty settings of the best pair's test accuracy. Here the cosine ends at a tenth of the
learning rate, gradients are clipped to norm 1, and an epoch has full batches only.
"""

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from manticore.config.options import Options
from manticore.config.setting import Setting

DEFAULT_MODELS = ("gpt_neo", "mamba", "gpt_neo+mamba", "mambaformer", "striped")
Dtype = Literal["float32", "bfloat16", "float16"]


class Regime(Options, frozen=True):
    """How a single trial is trained.

    Training ends early once the accuracy reaches `enough`, and then the remaining pairs of
    learning rate and weight decay are not tried: neither could add more than a thousandth to a
    score.
    """

    epochs: PositiveInt = 200
    """Passes over the training examples."""
    least_steps: NonNegativeInt = 0
    """Smallest number of optimizer steps, for tasks whose epochs are short."""
    most_steps: PositiveInt | None = None
    """Largest number of optimizer steps, to try out long trainings; None: no limit."""
    batch_size: PositiveInt = 128
    """Examples per step."""
    width: PositiveInt = 128
    """Width of all components."""
    n_blocks: PositiveInt = 4
    """Number of blocks of a single-family stack or a hybrid; stacks designed by hand have the
    number that makes them equal in size."""
    as_large_as: str | None = None
    """Name of a hybrid to which single-family stacks are made closest in size; None: they have its
    number of blocks, and are smaller."""
    mixture_lr: PositiveFloat = 0.02
    """Learning rate of the mixture weights of a hybrid, which DARTS searches."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which learning rates rise from 0."""
    enough: float = Field(default=0.999, gt=0)
    """Early-stopping accuracy: training ends at this accuracy on the examples to choose by, which
    for MAD are those to test on; above 1 = never early."""
    dtype: Dtype = "float32"
    """Precision of training: `bfloat16` and `float16` are mixed precision."""

    @model_validator(mode="after")
    def _steps_are_in_order(self) -> Self:
        if self.most_steps is not None and self.least_steps > self.most_steps:
            raise ValueError(
                f"least_steps={self.least_steps} is more than most_steps={self.most_steps}: change "
                "both."
            )
        return self


class Protocol(Regime, frozen=True):
    """All trials of a model on a setting; the defaults are the published grid."""

    learning_rates: tuple[PositiveFloat, ...] = Field(default=(5e-4, 1e-3, 1e-4), min_length=1)
    """Learning rates to try."""
    weight_decays: tuple[NonNegativeFloat, ...] = Field(default=(0.0, 0.1), min_length=1)
    """Weight decays to try with each of them."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Random seeds of weights, data and order, with a score for each."""

    def trials(self, models: Iterable[str], settings: Iterable[Setting]) -> "list[Trial]":
        """The trials, in their order."""
        settings, own = list(settings), self.model_dump(include=set(Regime.model_fields))
        return [
            Trial(model=model, setting=setting, learning_rate=lr, weight_decay=wd, seed=seed, **own)
            for seed in self.seeds
            for setting in settings
            for model in models
            for lr in self.learning_rates
            for wd in self.weight_decays
        ]


class Trial(Regime, frozen=True):
    """One training of one model, with everything that decides it."""

    model: str
    """Name of the model."""
    setting: SerializeAsAny[Setting]
    """Setting of the task."""
    learning_rate: PositiveFloat
    """Learning rate of everything but the mixture weights."""
    weight_decay: NonNegativeFloat
    """Decoupled weight decay."""
    seed: int = Field(ge=0)
    """Random seed of weights, data and order."""

    @model_validator(mode="after")
    def _a_batch_is_there(self) -> Self:
        if self.setting.train_examples < self.batch_size:
            raise ValueError(
                f"{self.setting.task} has {self.setting.train_examples} examples, fewer than a "
                f"batch of {self.batch_size}: set a smaller batch_size."
            )
        return self

    @property
    def group(self) -> tuple[str, Setting, int]:
        """What it has in common with the trials of which only the best counts."""
        return self.model, self.setting, self.seed

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps; examples that do not fill a batch wait for the next epoch's order."""
        return self.setting.train_examples // self.batch_size

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        wanted = max(self.epochs * self.steps_per_epoch, self.least_steps)
        return wanted if self.most_steps is None else min(wanted, self.most_steps)

    @property
    def tokens(self) -> int:
        """Tokens of the whole training: about how long it takes."""
        return self.steps * self.batch_size * self.setting.length


PROTOCOLS: dict[str, Protocol] = {
    "quick": Protocol(
        epochs=4,
        least_steps=400,
        batch_size=32,
        width=64,
        n_blocks=2,
        learning_rates=(1e-3,),
        weight_decays=(0.0,),
        warmup_steps=50,
    ),
    "baseline": Protocol(),
    "full": Protocol(),
    "paper": Protocol(learning_rates=(5e-4,), weight_decays=(0.0,)),
}
"""How models are trained on the settings of each preset. `paper` is the protocol of "Pretrained
Hybrids with MAD Skills"."""
_PUBLISHED_SIZES = Protocol(
    epochs=1,
    least_steps=5_000,
    batch_size=32,
    as_large_as="gpt_neo+mamba",
    warmup_steps=1_000,
)
LONG_RANGE_PROTOCOLS: dict[str, Protocol] = {
    "quick": Protocol(
        epochs=1,
        least_steps=300,
        most_steps=300,
        batch_size=32,
        width=32,
        n_blocks=2,
        as_large_as="gpt_neo+mamba",
        learning_rates=(3e-3, 1e-3),
        weight_decays=(0.05,),
        warmup_steps=50,
    ),
    "paper": _PUBLISHED_SIZES,
    "path-x": _PUBLISHED_SIZES,
}
"""How models are trained on the tasks of Long Range Arena; what a task has in `regimes` comes on
top. Trainings end at a number of steps, and all stacks are about as large as the hybrid."""


def task_scores(outcomes: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[int, float]]:
    """A score for each model, task and seed: the mean over settings of the best accuracy.

    Where an outcome has a `test_accuracy` of its own, that counts of the one with the best
    `accuracy`: the published suite of MAD chooses and scores by the same examples.

    Args:
        outcomes: Results, each with its `trial` and its final `accuracy`.

    Returns:
        By (model, task), a score for each seed.
    """
    best: dict[tuple[str, Setting, int], Mapping[str, Any]] = {}
    for outcome in outcomes:
        group = outcome["trial"].group
        if group not in best or outcome["accuracy"] > best[group]["accuracy"]:
            best[group] = outcome
    by_seed: dict[tuple[str, str], dict[int, list[float]]] = {}
    for (model, setting, seed), outcome in best.items():
        seeds = by_seed.setdefault((model, setting.task), {})
        score = outcome.get("test_accuracy", outcome["accuracy"])
        seeds.setdefault(seed, []).append(score)
    return {
        key: {seed: mean(accuracies) for seed, accuracies in seeds.items()}
        for key, seeds in by_seed.items()
    }
