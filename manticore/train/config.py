"""What the stages that train can be asked to do: one object for Python, JSON and the shell."""

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

Schedule = Literal["cosine", "linear", "constant"]
MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""Types of the arithmetic in training, as accelerate calls them."""
TrackerName = Literal["tensorboard", "trackio", "wandb"]


class TrainConfig(BaseModel):
    """What every stage that trains can be asked to do.

    Learning rates are those of AdamW after warm-up; then each follows its own schedule: `cosine`
    and `linear` fall to a tenth, `constant` stays. A learning rate of zero freezes that part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = 300
    batch_size: PositiveInt = 8
    """Sequences per step, over all processes."""
    accumulate: PositiveInt = 1
    """Parts that the sequences of a step are taken in, one after the other, to save memory."""
    projector_lr: float = Field(1e-3, ge=0)
    """Learning rate of the projectors and of a new head."""
    component_lr: float = Field(2e-4, ge=0)
    """Learning rate of the components' own weights."""
    component_lr_factors: tuple[NonNegativeFloat, ...] | None = None
    """Times that rate, for each component: what one has to learn may be far more than another; 0
    freezes one alone."""
    projector_schedule: Schedule = "cosine"
    component_schedule: Schedule = "cosine"
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay of all matrices but the mixture's."""
    warmup_steps: NonNegativeInt = 20
    max_grad_norm: PositiveFloat = 1.0
    gradient_checkpointing: bool = False
    """Compute activations again on the way back, to save memory."""
    eval_every: PositiveInt = 50
    """Steps between evaluations on the held-out text."""
    eval_batches: PositiveInt = 16
    """Batches of held-out text per evaluation."""
    checkpoint_every: PositiveInt = 50
    """Steps between checkpoints."""
    sample_prompt: str = "Once upon a time"
    """What the hybrid continues after each evaluation; empty for no sample."""
    sample_tokens: PositiveInt = 48


class PretrainConfig(TrainConfig):
    """Options of the stage `pretrain-projectors`: the components are frozen."""

    component_lr: float = Field(0.0, ge=0, le=0)
    component_lr_factors: None = None


class LoraConfig(BaseModel):
    """Adapters in place of whole weights (LoRA, arXiv 2106.09685), by peft."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: PositiveInt = 8
    alpha: PositiveFloat = 16.0
    """Scale of the adapters, times 1 / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)


class FinetuneConfig(TrainConfig):
    """Options of the stage `finetune`: mixture weights stay, everything else trains."""

    lora: LoraConfig | None = None
    """Train adapters instead of the components' own weights; they are merged in the end."""


class EvaluateConfig(BaseModel):
    """Options of the stage `evaluate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: PositiveInt = 8
    eval_batches: PositiveInt | None = None
    """Batches of held-out text; all of it if not given."""
    alignment_sequences: PositiveInt = 32
    """Held-out sequences that the alignment error is measured on."""
