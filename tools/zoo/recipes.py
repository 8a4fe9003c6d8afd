"""How every bundled component is trained: architecture, data and schedule.

Widths and depths differ on purpose: a hybrid of any two needs projectors, and blocks of unequal
depth.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import AutoConfig, PretrainedConfig

from manticore.names import choose
from tools.zoo.tokenizer import VOCAB_SIZE

STORY_PREFIX = "bundled:stories-"
PYTHON_SOURCE = "bundled:python"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Frozen):
    """One text's share of the training tokens."""

    source: str = Field(description="file in the data folder, or a bundled text")
    fraction: float = Field(gt=0, le=1, description="share of all training tokens")
    tokens: int | None = Field(
        gt=0, default=None, description="number of generated tokens, which are read repeatedly"
    )


class Phase(_Frozen):
    """A part of training with one sequence length. A step has `rows * seq_len` tokens."""

    until: float = Field(gt=0, le=1, description="end of the phase, as a fraction of all steps")
    seq_len: int = Field(ge=2, description="tokens per row")
    rows: int = Field(ge=1, description="rows per step")


class ZooRecipe(_Frozen):
    """Everything that decides the weights of a bundled component.

    The learning rate rises for `warmup` steps, stays, and falls along a cosine to a tenth over the
    last `decay` of all steps. Unlike a single cosine, the flat middle does not depend on where
    training ends, so that a run can be lengthened before its decay without repeating it.
    """

    name: str
    summary: str = Field(description="one sentence for people")
    language: str = Field(pattern="^(en|es|python)$")
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
    def _consistent(self) -> "ZooRecipe":
        total = sum(share.fraction for share in self.data)
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"The data fractions of {self.name} add up to {total}. Make them add up to 1."
            )
        for share in self.data:
            if share.source.startswith(STORY_PREFIX) != (share.tokens is not None):
                raise ValueError(
                    f"{share.source} in {self.name} has tokens={share.tokens}. Give a number to "
                    "generated text and none to any other."
                )
        ends = [phase.until for phase in self.phases]
        if not ends or ends != sorted(ends) or ends[-1] != 1:
            raise ValueError(
                f"The phases of {self.name} end at {ends}. Give rising numbers, the last one 1."
            )
        return self

    def config(self) -> PretrainedConfig:
        """Transformers' configuration of the component, with special tokens and vocabulary size."""
        return AutoConfig.for_model(
            self.model_type,
            vocab_size=VOCAB_SIZE,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=1,
            **self.architecture,
        )

    def tokens_seen(self) -> int:
        """Number of tokens in all steps, including repeated ones."""
        ends = [0, *(round(phase.until * self.steps) for phase in self.phases)]
        return sum(
            (end - start) * phase.rows * phase.seq_len
            for start, end, phase in zip(ends, ends[1:], self.phases, strict=False)
        )

    def fixed_until(self) -> int:
        """Number of steps that a longer run would share: those before the decay and in phase 0."""
        ends = [self.steps - round(self.decay * self.steps)]
        ends += [round(phase.until * self.steps) for phase in self.phases]
        return min(ends)

    def phase_at(self, step: int) -> tuple[int, Phase, int]:
        """Phase of a step.

        Returns:
            Index of the phase, the phase, and the number of steps since it began.

        Raises:
            ValueError: The step is past the last one.
        """
        start = 0
        for index, phase in enumerate(self.phases):
            end = round(phase.until * self.steps)
            if step < end:
                return index, phase, step - start
            start = end
        raise ValueError(f"Step {step} is past the last one. Use at most {self.steps - 1}.")


_STORY_TOKENS = 3_000_000


def _english(rest: float) -> tuple[Share, ...]:
    return (
        Share(source="tales_en.train.txt", fraction=1 - rest),
        Share(source="bundled:stories-en", fraction=rest, tokens=_STORY_TOKENS),
    )


_TALE_PROMPT = "Once upon a time there was a king who had three daughters,"
_PHASES = (Phase(until=0.7, seq_len=256, rows=16), Phase(until=1.0, seq_len=512, rows=8))

RECIPES: dict[str, ZooRecipe] = {
    recipe.name: recipe
    for recipe in (
        ZooRecipe(
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
        ZooRecipe(
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
        ZooRecipe(
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
        ZooRecipe(
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
        ZooRecipe(
            name="stdlib-llama",
            summary="Llama (grouped-query attention, rotary positions) that writes Python.",
            language="python",
            model_type="llama",
            architecture={
                "hidden_size": 208,
                "num_hidden_layers": 6,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "intermediate_size": 352,
                "max_position_embeddings": 1024,
                "tie_word_embeddings": True,
            },
            data=(Share(source=PYTHON_SOURCE, fraction=1.0),),
            steps=2600,
            phases=_PHASES,
            learning_rate=3e-3,
            seed=15,
            prompt="import os\n\n\ndef read(path",
        ),
    )
}


def get_recipe(name: str) -> ZooRecipe:
    """The recipe of a bundled component.

    Args:
        name: Name of the component.

    Raises:
        UnknownNameError: No recipe has that name; the message suggests the nearest.
    """
    return RECIPES[choose(name, RECIPES, "bundled component")]
