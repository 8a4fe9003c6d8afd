"""Tiny random pretrained components: one per family, made on the spot and saved as on the hub."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from manticore import ManticoreForCausalLM, build_hybrid

VOCAB_SIZE = 96
ALPHA = ((0.5, 0.5), (0.8, 0.2), (0.3, 0.7))
"""Mixture weights of a pair, unless others are given."""
TEXT = [
    "Once upon a time a fox had a lantern, and the lantern was bright.",
    "Where is the lantern? The fox has the lantern.",
    "Había una vez un zorro que tenía una linterna.",
]


def _llama_like(width: int, layers: int, **extra: Any) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
        **extra,
    }


def _gpt_like(width: int, layers: int, **extra: Any) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
        **extra,
    }


def _alternating(layers: int, *kinds: str) -> list[str]:
    return [kinds[i % len(kinds)] for i in range(layers)]


FAMILY_CONFIGS = {
    "gpt2": lambda w, n: {"n_embd": w, "n_layer": n, "n_head": 4, "n_positions": 64},
    "gpt_neo": lambda w, n: {
        "hidden_size": w,
        "num_layers": n,
        "num_heads": 4,
        "attention_types": [[["global", "local"], n // 2 or 1]] if n % 2 == 0 else [[["local"], n]],
        "window_size": 5,
        "max_position_embeddings": 64,
    },
    "gpt_neox": lambda w, n: _gpt_like(w, n),
    "opt": lambda w, n: {
        **_gpt_like(w, n),
        "ffn_dim": 2 * w,
        "word_embed_proj_dim": w // 2,
        "dropout": 0.0,
    },
    "llama": lambda w, n: _llama_like(w, n),
    "mistral": lambda w, n: _llama_like(w, n, sliding_window=6),
    "qwen2": lambda w, n: _llama_like(
        w,
        n,
        sliding_window=6,
        use_sliding_window=True,
        layer_types=_alternating(n, "full_attention", "sliding_attention", "sliding_attention"),
    ),
    "qwen3": lambda w, n: _llama_like(w, n, head_dim=8),
    "gemma2": lambda w, n: _llama_like(
        w, n, head_dim=8, sliding_window=6, final_logit_softcapping=2.0
    ),
    "phi": lambda w, n: _llama_like(w, n, partial_rotary_factor=0.5),
    "olmo2": lambda w, n: _llama_like(w, n),
    "stablelm": lambda w, n: _llama_like(w, n),
    "mamba": lambda w, n: {"hidden_size": w, "num_hidden_layers": n, "state_size": 8},
    "mamba2": lambda w, n: {
        "hidden_size": w,
        "num_hidden_layers": n,
        "state_size": 8,
        "head_dim": 8,
        "num_heads": w // 4,
        "n_groups": 2,
        "chunk_size": 8,
    },
    "falcon_mamba": lambda w, n: {"hidden_size": w, "num_hidden_layers": n, "state_size": 8},
    "recurrent_gemma": lambda w, n: {
        "hidden_size": w,
        "num_hidden_layers": n,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "intermediate_size": 2 * w,
        "lru_width": w,
        "attention_window_size": 6,
        "block_types": ["recurrent", "attention"],
    },
    "bloom": lambda w, n: {"hidden_size": w, "n_layer": n, "n_head": 4},
    "granite": lambda w, n: _llama_like(
        w, n, embedding_multiplier=3.0, residual_multiplier=0.5, logits_scaling=2.0
    ),
    "xglm": lambda w, n: {
        "d_model": w,
        "num_layers": n,
        "attention_heads": 4,
        "ffn_dim": 2 * w,
        "max_position_embeddings": 64,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
    },
}
FAMILY_NAMES = list(FAMILY_CONFIGS)


def make_tokenizer(
    texts: list[str] = TEXT, vocab_size: int = VOCAB_SIZE
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of a few dozen entries, whatever the text lacks left out."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special[0],
        eos_token=special[0],
        pad_token=special[1],
        padding_side="left",
    )


def make_model(
    family: str, *, width: int = 32, layers: int = 4, vocab_size: int = VOCAB_SIZE, seed: int = 0
) -> PreTrainedModel:
    """A random causal language model whose layers all do something (not the near-zero init)."""
    config = AutoConfig.for_model(
        family,
        vocab_size=vocab_size,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
        **FAMILY_CONFIGS[family](width, layers),
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and "A_log" not in name and "conv" not in name:
                parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def save_component(folder: Path, family: str, **options: Any) -> Path:
    """Save a tiny component with its tokenizer, in the format of the hub."""
    make_model(family, **options).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def build_pair(
    component: Callable[..., str], family: str, alpha: Any = ALPHA
) -> ManticoreForCausalLM:
    """A family beside another of unlike width and depth, in three blocks, all parts at work.

    It is built once in a process; each call gives a copy.

    Args:
        component: The fixture of this name.
        family: The family.
        alpha: Mixture weights.
    """
    pair = copy.deepcopy(_built(component, family))
    pair.set_mixture_weights(alpha)
    return pair


@cache
def _built(component: Callable[..., str], family: str) -> ManticoreForCausalLM:
    other = "llama" if family != "llama" else "gpt2"
    folders = [component(family), component(other, width=48, layers=3, seed=1)]
    return build_hybrid(folders, 3, projector_init="random")
