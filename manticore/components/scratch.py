"""Untrained components: a small model of one family over a vocabulary of numbers.

`scratch:FAMILY?OPTION=VALUE&...` names one, with the options of `Scratch`; the same name gives the
same weights. They are for tasks of plain token ids, such as MAD's.
"""

import copy
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from manticore.components.building import one_at_a_time
from manticore.names import choose

SCRATCH_PREFIX = "scratch:"
HEAD_WIDTH = 32


class Scratch(BaseModel):
    """Size of an untrained component, and the seed of its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    vocabulary: int = Field(16, ge=2)
    """Its tokens are the numbers below this."""
    length: PositiveInt = 512
    """Positions, for families that learn an embedding of each."""
    width: int = Field(128, ge=HEAD_WIDTH, multiple_of=HEAD_WIDTH)
    layers: PositiveInt = 2
    seed: int = Field(0, ge=0)

    @classmethod
    def parse(cls, source: str) -> "Scratch":
        """Read a name.

        Args:
            source: `scratch:FAMILY?OPTION=VALUE&...`.

        Raises:
            ValueError: An unknown family or option, or a value out of range.
        """
        family, _, query = source.removeprefix(SCRATCH_PREFIX).partition("?")
        choose(family, ARCHITECTURES, "untrained family")
        try:
            given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
            return cls.model_validate({**given, "family": family})
        except (ValidationError, ValueError) as error:
            known = ", ".join(name for name in cls.model_fields if name != "family")
            raise ValueError(
                f"'{source}' is not a name of an untrained component: write "
                f"{SCRATCH_PREFIX}{family}?vocabulary=16&layers=2 with any of {known}. {error}"
            ) from error

    @property
    def source(self) -> str:
        """The name that `parse` reads as this."""
        given = self.model_dump(exclude={"family"})
        return f"{SCRATCH_PREFIX}{self.family}?" + "&".join(f"{k}={v}" for k, v in given.items())


def is_scratch(source: str) -> bool:
    """Whether the source names an untrained component."""
    return source.startswith(SCRATCH_PREFIX)


@one_at_a_time
def make_scratch(scratch: Scratch) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model, in evaluation mode, and its tokenizer of numbers."""
    config = AutoConfig.for_model(
        scratch.family,
        vocab_size=scratch.vocabulary,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        tie_word_embeddings=True,
        **ARCHITECTURES[scratch.family](scratch),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(scratch.seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    return model, number_tokenizer(scratch.vocabulary)


@one_at_a_time
def untrained(model: PreTrainedModel) -> PreTrainedModel:
    """A model of the same configuration with new random weights, in evaluation mode.

    Args:
        model: The model that gives the configuration; it stays as it is.
    """
    config = copy.deepcopy(model.config)
    if config.model_type in ARCHITECTURES and hasattr(config, "num_attention_heads"):
        config.initializer_range = _spread(config.hidden_size)
    return AutoModelForCausalLM.from_config(config, dtype=model.dtype).eval()


def number_tokenizer(vocabulary: int) -> PreTrainedTokenizerBase:
    """A tokenizer that reads and writes token ids as numbers with spaces between."""
    words = Tokenizer(models.WordLevel({str(id_): id_ for id_ in range(vocabulary)}, "0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words)


def _attention(scratch: Scratch) -> dict[str, Any]:
    return {
        "hidden_size": scratch.width,
        "num_hidden_layers": scratch.layers,
        "num_attention_heads": scratch.width // HEAD_WIDTH,
        "intermediate_size": 4 * scratch.width,
        "max_position_embeddings": scratch.length,
        "initializer_range": _spread(scratch.width),
    }


def _spread(width: int) -> float:
    """Standard deviation of initial weights: that of PyTorch's linear layers.

    The published MAD code starts from it. The families' own values are for widths of 768 and more,
    and narrow models need far more steps from there.
    """
    return (3 * width) ** -0.5


def _gpt_neo(scratch: Scratch) -> dict[str, Any]:
    # Every layer sees everything: the windows of its local layers would be wider than most tasks.
    # The family's own activation is the same function, in eight operations instead of one.
    return _attention(scratch) | {
        "attention_types": [[["global"], scratch.layers]],
        "activation_function": "gelu_pytorch_tanh",
    }


def _llama(scratch: Scratch) -> dict[str, Any]:
    # Three matrices in its gated layers where the others have two.
    return _attention(scratch) | {"intermediate_size": 8 * scratch.width // 3}


def _mamba(scratch: Scratch) -> dict[str, Any]:
    return {"hidden_size": scratch.width, "num_hidden_layers": scratch.layers}


def _mamba2(scratch: Scratch) -> dict[str, Any]:
    heads = {"head_dim": HEAD_WIDTH, "num_heads": 2 * scratch.width // HEAD_WIDTH}
    return _mamba(scratch) | heads | {"n_groups": 1, "state_size": 64, "chunk_size": 64}


ARCHITECTURES: dict[str, Callable[[Scratch], dict[str, Any]]] = {
    "gpt_neo": _gpt_neo,
    "gpt_neox": _attention,
    "llama": _llama,
    "mamba": _mamba,
    "mamba2": _mamba2,
}
"""Arguments of each family's configuration in Transformers."""
