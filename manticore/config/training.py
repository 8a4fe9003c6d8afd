"""Options of the stages that train, and of `evaluate`: one object for Python, JSON and shell."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from manticore.config.options import FlagNames, Options
from manticore.names import TRACKERS, NameIn

Schedule = Literal["cosine", "linear", "constant"]
MIXED_PRECISION: dict[str, Literal["no", "bf16", "fp16"]] = {
    "float32": "no",
    "bfloat16": "bf16",
    "float16": "fp16",
}
"""Types of the arithmetic in training, as accelerate calls them."""
TrackerName = Annotated[str, NameIn(TRACKERS)]


def check_parts(batch_size: int, accumulate: int) -> None:
    """Check that a batch divides into equal parts.

    Raises:
        ValueError: It does not.
    """
    if batch_size % accumulate:
        raise ValueError(
            f"A batch of {batch_size} sequences does not divide into {accumulate} equal parts: "
            "choose a value of accumulate that divides batch_size."
        )


class TrainConfig(Options, frozen=True):
    """Options that all training stages share.

    Learning rates are those of AdamW after warm-up; then each follows its own schedule: `cosine`
    and `linear` fall to a tenth, `constant` stays. A learning rate of zero freezes that part.
    """

    panel: ClassVar[str] = "Training"

    steps: PositiveInt = 300
    """Number of optimizer steps."""
    batch_size: PositiveInt = 8
    """Sequences per step, over all processes."""
    accumulate: PositiveInt = 1
    """Gradient accumulation: parts that a batch is divided into, to save memory."""
    projector_lr: float = Field(default=1e-3, ge=0)
    """Learning rate of the projectors and of a new head; 0 freezes them."""
    component_lr: float = Field(default=2e-4, ge=0)
    """Learning rate of the components' own weights; 0 freezes them."""
    component_lr_factors: tuple[NonNegativeFloat, ...] | None = None
    """Factors on the component learning rate, one per component; 0 freezes that component."""
    projector_schedule: Schedule = "cosine"
    """Learning rate schedule of the projectors."""
    component_schedule: Schedule = "cosine"
    """Learning rate schedule of the components."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay of all matrices except the mixture weights."""
    warmup_steps: NonNegativeInt = 20
    """Steps over which learning rates rise from 0."""
    max_grad_norm: PositiveFloat = 1.0
    """Norm to which gradients are clipped."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass, to save memory."""
    eval_every: PositiveInt = 50
    """Steps between evaluations on the held-out text."""
    eval_batches: PositiveInt = 16
    """Batches of held-out text per evaluation."""
    checkpoint_every: PositiveInt = 50
    """Steps between checkpoints."""
    sample_prompt: str = "Once upon a time"
    """Prompt that the hybrid continues after each evaluation; empty = no sample."""
    sample_tokens: PositiveInt = 48
    """Length of the sample, in tokens."""

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        check_parts(self.batch_size, self.accumulate)
        return self


class PretrainConfig(TrainConfig, frozen=True):
    """Options of the stage `pretrain-projectors`: the components are frozen."""

    component_lr: float = Field(default=0.0, ge=0, le=0)
    component_lr_factors: None = None


class LoraConfig(Options, frozen=True):
    """Adapters in place of whole weights (LoRA, arXiv 2106.09685), by peft."""

    panel: ClassVar[str] = "LoRA adapters"

    rank: PositiveInt = 8
    """Rank of the LoRA adapters."""
    alpha: PositiveFloat = 16.0
    """Scale of the LoRA adapters, which is divided by their rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters' inputs that is dropped in training."""


class FinetuneConfig(TrainConfig, frozen=True):
    """Options of the stage `finetune`: mixture weights stay, everything else trains."""

    router_lr: float = Field(default=0.0, ge=0)
    """Learning rate of a hybrid's router, which decides the mixture weights of each token; 0 keeps
    it as it was found."""
    lora: LoraConfig | None = None
    """Train LoRA adapters instead of the components' own weights; they are merged at the end."""


class EvaluateConfig(Options, frozen=True):
    """Options of the stage `evaluate`."""

    panel: ClassVar[str] = "Evaluation"

    batch_size: PositiveInt = 8
    """Sequences per batch."""
    eval_batches: Annotated[PositiveInt | None, FlagNames("--batches", "--eval-batches")] = None
    """Batches of held-out text; all of it by default."""
    alignment_sequences: PositiveInt = 32
    """Held-out sequences on which the alignment error is measured."""
