"""How every bundled component is made: architecture, data mix and schedule, frozen and typed.

Widths and depths are unlike on purpose: a hybrid of any two has to be bridged by projectors and cut
into blocks of unequal depth.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import AutoConfig, PretrainedConfig

from manticore.names import choose
from tools.zoo.tokenizer import VOCAB_SIZE


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Frozen):
    """One text's part of the training tokens."""

    source: str = Field(description="file inside the data folder, or bundled:stories-en|stories-es")
    fraction: float = Field(gt=0, le=1, description="of all training tokens")
    tokens: int | None = Field(
        gt=0, default=None, description="generated text only: how many are made, then reread"
    )


class Phase(_Frozen):
    """A stretch of training at one sequence length. Tokens per step are `rows * seq_len`."""

    until: float = Field(gt=0, le=1, description="end, as a fraction of all steps")
    seq_len: int = Field(ge=2, description="tokens per row")
    rows: int = Field(ge=1, description="rows per step")


class Recipe(_Frozen):
    """Everything that decides the weights of a bundled component.

    The learning rate rises for `warmup` steps, stays, and falls along a cosine to a tenth over the
    last `decay` of all steps. Unlike one cosine over the whole run, the flat middle does not depend
    on where training ends, so that a run may be lengthened before its decay without redoing it.
    """

    name: str
    summary: str = Field(description="one sentence for people")
    language: str = Field(pattern="^(en|es)$")
    model_type: str
    architecture: dict[str, Any] = Field(description="arguments of Transformers' configuration")
    data: tuple[Share, ...]
    steps: int = Field(ge=1)
    phases: tuple[Phase, ...]
    learning_rate: float = Field(gt=0)
    warmup: int = Field(ge=0, default=100, description="steps")
    decay: float = Field(ge=0, le=1, default=0.5, description="fraction of all steps")
    weight_decay: float = Field(ge=0, default=0.1)
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = Field(gt=0, default=1.0, description="largest norm of a step's gradient")
    seed: int = 0
    prompt: str = Field(description="start of the card's sample")

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        total = sum(share.fraction for share in self.data)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"{self.name}: data fractions add up to {total}, not 1")
        for share in self.data:
            if share.source.startswith("bundled:") != (share.tokens is not None):
                raise ValueError(
                    f"{self.name}: {share.source} has tokens={share.tokens}: give a number to "
                    "generated text, and none to a file"
                )
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(ends) or ends[-1] != 1:
            raise ValueError(f"{self.name}: phases end at {ends}: they must rise, the last to 1")
        return self

    def config(self) -> PretrainedConfig:
        """Transformers' configuration of the component, special tokens and vocabulary set."""
        return AutoConfig.for_model(
            self.model_type,
            vocab_size=VOCAB_SIZE,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
            **self.architecture,
        )

    def tokens_seen(self) -> int:
        """Tokens of all steps together, repeats counted."""
        ends = [0, *(round(phase.until * self.steps) for phase in self.phases)]
        return sum(
            (end - start) * phase.rows * phase.seq_len
            for start, end, phase in zip(ends, ends[1:], self.phases, strict=False)
        )

    def fixed_until(self) -> int:
        """Steps that would be the same if the run were longer: before the decay and phase 1."""
        ends = [self.steps - round(self.decay * self.steps)]
        ends += [round(phase.until * self.steps) for phase in self.phases]
        return min(ends)

    def phase_at(self, step: int) -> tuple[int, Phase, int]:
        """Phase of a step, as (its index, the phase, steps since it began)."""
        start = 0
        for index, phase in enumerate(self.phases):
            end = round(phase.until * self.steps)
            if step < end:
                return index, phase, step - start
            start = end
        raise ValueError(f"step {step} is past the last one, {self.steps - 1}")


_STORY_TOKENS = 3_000_000


def _english(rest: float) -> tuple[Share, ...]:
    return (
        Share(source="tales_en.train.txt", fraction=1 - rest),
        Share(source="bundled:stories-en", fraction=rest, tokens=_STORY_TOKENS),
    )


_TALE_PROMPT = "Once upon a time there was a king who had three daughters,"
_PHASES = (Phase(until=0.7, seq_len=256, rows=16), Phase(until=1.0, seq_len=512, rows=8))

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="tales-neox",
            summary="GPT-NeoX (full attention, rotary positions) that writes English fairy tales.",
            language="en",
            model_type="gpt_neox",
            architecture={
                "hidden_size": 256,
                "num_hidden_layers": 6,
                "num_attention_heads": 4,
                "intermediate_size": 1024,
                "max_position_embeddings": 1024,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "partial_rotary_factor": 0.25,
                },
                "tie_word_embeddings": True,
            },
            data=_english(0.3),
            steps=2800,
            phases=_PHASES,
            learning_rate=3e-3,
            seed=11,
            prompt=_TALE_PROMPT,
        ),
        Recipe(
            name="tales-neo",
            summary="GPT-Neo (global and local attention in turn) that writes English fairy tales.",
            language="en",
            model_type="gpt_neo",
            architecture={
                "hidden_size": 192,
                "num_layers": 6,
                "num_heads": 4,
                "attention_types": [[["global", "local"], 3]],
                "window_size": 128,
                "max_position_embeddings": 512,
                "resid_dropout": 0.0,
                "embed_dropout": 0.0,
                "attention_dropout": 0.0,
            },
            data=_english(0.3),
            steps=3600,
            phases=_PHASES,
            learning_rate=3e-3,
            seed=12,
            prompt=_TALE_PROMPT,
        ),
        Recipe(
            name="tales-mamba",
            summary="Mamba (selective state space) that writes English fairy tales.",
            language="en",
            model_type="mamba",
            architecture={
                "hidden_size": 192,
                "num_hidden_layers": 8,
                "state_size": 16,
                "initializer_range": 0.02,
                "rescale_prenorm_residual": True,
                "tie_word_embeddings": True,
            },
            data=_english(0.3),
            steps=2600,
            phases=_PHASES,
            learning_rate=3e-3,
            seed=13,
            prompt=_TALE_PROMPT,
        ),
        Recipe(
            name="novelas-mamba",
            summary="Mamba (selective state space) that writes Spanish.",
            language="es",
            model_type="mamba",
            architecture={
                "hidden_size": 224,
                "num_hidden_layers": 6,
                "state_size": 16,
                "initializer_range": 0.02,
                "rescale_prenorm_residual": True,
                "tie_word_embeddings": True,
            },
            data=(
                Share(source="novels_es.train.txt", fraction=0.65),
                Share(source="bundled:stories-es", fraction=0.35, tokens=_STORY_TOKENS),
            ),
            steps=2600,
            phases=_PHASES,
            learning_rate=3e-3,
            seed=14,
            prompt="En un lugar de la Mancha vivía un caballero que",
        ),
    )
}


def get_recipe(name: str) -> Recipe:
    """The recipe of a bundled component.

    Raises:
        UnknownNameError: No recipe has that name; the message suggests the nearest.
    """
    return RECIPES[choose(name, RECIPES, "bundled component")]
