"""What the stages that train can be asked to do: one object for Python, JSON and the shell."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

Schedule = Literal["cosine", "linear", "constant"]
MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""Types of the arithmetic in training, as accelerate calls them."""
TrackerName = Literal["tensorboard", "trackio", "wandb"]


def refuse_unknown(values: Any, known: Mapping[str, Any], what: str) -> None:
    """Refuse (ValueError) a table with a key that is not known, and name those that are."""
    for key in values if isinstance(values, dict) else ():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"unknown {what} {key!r}: {hint}Choose of {', '.join(known)}")


def check_parts(batch_size: int, accumulate: int) -> None:
    """Refuse (ValueError) a number of parts that the sequences of a step cannot be taken in."""
    if batch_size % accumulate:
        raise ValueError(
            f"A batch of {batch_size} sequences cannot be taken in {accumulate} equal parts: make "
            "accumulate divide batch_size."
        )


class Options(BaseModel):
    """Options of a stage or a task; one that there is not is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_options(cls, values: Any) -> Any:
        refuse_unknown(values, cls.model_fields, "option")
        return values


class TrainConfig(Options):
    """What every stage that trains can be asked to do.

    Learning rates are those of AdamW after warm-up; then each follows its own schedule: `cosine`
    and `linear` fall to a tenth, `constant` stays. A learning rate of zero freezes that part.
    """

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

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Self:
        check_parts(self.batch_size, self.accumulate)
        return self


class PretrainConfig(TrainConfig):
    """Options of the stage `pretrain-projectors`: the components are frozen."""

    component_lr: float = Field(0.0, ge=0, le=0)
    component_lr_factors: None = None


class LoraConfig(Options):
    """Adapters in place of whole weights (LoRA, arXiv 2106.09685), by peft."""

    rank: PositiveInt = 8
    alpha: PositiveFloat = 16.0
    """Scale of the adapters, times 1 / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)


class FinetuneConfig(TrainConfig):
    """Options of the stage `finetune`: mixture weights stay, everything else trains."""

    lora: LoraConfig | None = None
    """Train adapters instead of the components' own weights; they are merged in the end."""


class EvaluateConfig(Options):
    """Options of the stage `evaluate`."""

    batch_size: PositiveInt = 8
    eval_batches: PositiveInt | None = None
    """Batches of held-out text; all of it if not given."""
    alignment_sequences: PositiveInt = 32
    """Held-out sequences that the alignment error is measured on."""
