"""What a search can be asked to do: one object for Python, a run's JSON and the shell."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

StrategyName = Literal["darts"]


class SearchConfig(BaseModel):
    """Options of the `search` stage.

    Learning rates are those of AdamW after warm-up; all of them then fall along one cosine to a
    tenth of their value. A learning rate of zero freezes that part.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: StrategyName = "darts"
    steps: PositiveInt = 300
    batch_size: PositiveInt = 8
    """Sequences per step."""
    mixture_lr: PositiveFloat = 0.02
    """Learning rate of the mixture logits."""
    projector_lr: float = Field(1e-3, ge=0)
    """Learning rate of the projectors and of a new head."""
    component_lr: float = Field(2e-4, ge=0)
    """Learning rate of the components' own weights."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay of all weights but the mixture logits."""
    warmup_steps: NonNegativeInt = 20
    max_grad_norm: PositiveFloat = 1.0
    eval_every: PositiveInt = 50
    """Steps between evaluations on the held-out text."""
    eval_batches: PositiveInt = 16
    """Batches of held-out text per evaluation."""
    checkpoint_every: PositiveInt = 50
    """Steps between checkpoints."""
    sample_prompt: str = "Once upon a time"
    """What the hybrid continues after each evaluation; empty for no sample."""
    sample_tokens: PositiveInt = 48
