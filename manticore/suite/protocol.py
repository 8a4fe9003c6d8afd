"""The suite's protocol: how every model is trained on every task, and what its score is.

Published (Poli et al., arXiv 2403.17844): each model is trained with every pair of a learning rate
and a weight decay, by AdamW on a cosine for 200 epochs; on a task it scores the mean over
difficulty settings of the best pair's test accuracy. Here the cosine ends at a tenth of the
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
    """What the protocol asks of each single training.

    Training ends early once the accuracy on the test examples is `enough`, and then the pairs of
    learning rate and weight decay that are left are not tried: neither could add more than a
    thousandth to a score.
    """

    epochs: PositiveInt = 200
    least_steps: NonNegativeInt = 0
    """Optimizer steps that a training has on tasks whose epochs are shorter."""
    batch_size: PositiveInt = 128
    width: PositiveInt = 128
    n_blocks: PositiveInt = 4
    """Of a stack and of a hybrid; stacks made by hand have as many as make them equal in size."""
    mixture_lr: PositiveFloat = 0.02
    """Learning rate of the mixture weights of a hybrid, which DARTS searches."""
    warmup_steps: NonNegativeInt = 0
    enough: float = Field(0.999, gt=0)
    """Test accuracy at which there is nothing left to learn; above 1 to go on to the end."""
    dtype: Dtype = "float32"
    """`bfloat16` or `float16` for mixed precision."""


class Protocol(Regime):
    """All trainings of a model on a setting: the published grid, but for what is said otherwise."""

    learning_rates: tuple[PositiveFloat, ...] = Field((5e-4, 1e-3, 1e-4), min_length=1)
    weight_decays: tuple[NonNegativeFloat, ...] = Field((0.0, 0.1), min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Of first weights, data and order: one score for each."""

    def cells(self, models: Iterable[str], settings: Iterable[Setting]) -> "list[Cell]":
        """The trainings, in their order."""
        settings, own = list(settings), self.model_dump(include=set(Regime.model_fields))
        return [
            Cell(model=model, setting=setting, learning_rate=lr, weight_decay=wd, seed=seed, **own)
            for seed in self.seeds
            for setting in settings
            for model in models
            for lr in self.learning_rates
            for wd in self.weight_decays
        ]


class Cell(Regime):
    """One training, with everything that decides it."""

    model: str
    setting: SerializeAsAny[Setting]
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _a_batch_is_there(self) -> Self:
        if self.setting.train_examples < self.batch_size:
            raise ValueError(
                f"{self.setting.task} has {self.setting.train_examples} examples, fewer than a "
                f"batch of {self.batch_size}: set a smaller batch_size"
            )
        return self

    @property
    def contest(self) -> tuple[str, Setting, int]:
        """What it has in common with the cells of which only the best counts."""
        return self.model, self.setting, self.seed

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps; what does not fill a batch waits for the next epoch's order."""
        return self.setting.train_examples // self.batch_size

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole training."""
        return max(self.epochs * self.steps_per_epoch, self.least_steps)

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


def task_scores(outcomes: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[int, float]]:
    """A score for each model, task and seed: the mean over settings of the best accuracy.

    Args:
        outcomes: Each with its `cell`, and the `accuracy` it ended with.

    Returns:
        By (model, task), a score for each seed.
    """
    best: dict[tuple[str, Setting, int], float] = {}
    for outcome in outcomes:
        contest = outcome["cell"].contest
        best[contest] = max(best.get(contest, 0.0), outcome["accuracy"])
    by_seed: dict[tuple[str, str], dict[int, list[float]]] = {}
    for (model, setting, seed), accuracy in best.items():
        seeds = by_seed.setdefault((model, setting.task), {})
        seeds.setdefault(seed, []).append(accuracy)
    return {
        key: {seed: mean(accuracies) for seed, accuracies in seeds.items()}
        for key, seeds in by_seed.items()
    }
