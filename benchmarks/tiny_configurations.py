"""A tiny configuration of every family that Transformers has: four layers of width 32.

Most families use the same few names for their sizes, so one table of names makes most of them. A
family that needs something else has an entry in `EXTRA`.
"""

import dataclasses
from typing import Any

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

LAYERS, WIDTH, VOCABULARY, LENGTH = 4, 32, 96, 64


def _same(value: Any, *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, value)


SIZES: dict[str, Any] = {
    **_same(
        WIDTH,
        *("hidden_size", "d_model", "n_embd", "emb_dim", "lru_width", "attention_hidden_size"),
        *("embedding_size", "input_embedding_size", "output_embedding_size"),
        *("word_embed_proj_dim", "backbone_hidden_size", "classifier_proj_size"),
    ),
    **_same(
        2 * WIDTH,
        *("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "d_inner"),
        *("n_inner", "dim_ff", "dff", "ffn_hidden_size", "feed_forward_size"),
        *("intermediate_size_mlp", "dense_intermediate_size", "mamba_d_ssm"),
    ),
    **_same(
        WIDTH // 2,
        *("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"),
        *("shared_experts_intermediate_size", "expert_ffn_hidden_size"),
        *("moe_shared_expert_intermediate_size", "pronunciation_embed_dim", "shape_embed_dim"),
        *("router_hidden_size", "kv_lora_rank", "q_lora_rank", "o_lora_rank", "index_head_dim"),
        *("gated_norm_rank", "prompt_mid_dim", "hidden_size_per_layer_input", "laurel_rank"),
        *("adapter_rank", "hc_lowrank", "ple_embed_dim"),
    ),
    **_same(
        LAYERS,
        *("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"),
        *("num_decoder_layers", "num_blocks", "encoder_layers", "num_encoder_layers"),
    ),
    **_same(
        4,
        *("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"),
        *("encoder_attention_heads", "num_encoder_attention_heads", "attention_heads"),
        *("num_decoder_attention_heads", "linear_num_value_heads", "linear_num_heads"),
        "swa_num_attention_heads",
    ),
    **_same(
        2,
        *("num_key_value_heads", "num_kv_heads", "linear_num_key_heads", "index_n_heads"),
        *("swa_num_key_value_heads", "num_query_groups", "n_mamba_heads", "mamba_n_groups"),
        *("n_groups", "mamba_ngroups", "num_codebooks"),
        # Periods of layers of another kind: some of each.
        *("sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers"),
        *("attn_layer_period", "layer_group_size", "no_rope_layer_interval"),
        *("full_attention_interval", "expert_layer_period", "image_seq_length"),
    ),
    **_same(
        8,
        *("head_dim", "v_head_dim", "linear_key_head_dim", "linear_value_head_dim"),
        *("linear_head_dim", "d_head", "kv_channels", "dim_head", "attention_head_size"),
        *("swa_head_dim", "mamba_headdim", "d_rel", "query_pre_attn_scalar", "mamba_d_head"),
        *("mamba_head_dim", "state_size", "ssm_state_size", "mamba_d_state", "mamba_n_heads"),
        *("mamba_num_heads", "mamba_chunk_size", "chunk_size", "index_topk"),
        "attention_chunk_size",
    ),
    **_same(4, "qk_rope_head_dim", "qk_nope_head_dim", "rotary_dim", "time_step_rank"),
    **_same(4, "mamba_dt_rank", "num_experts", "n_routed_experts", "num_local_experts"),
    **_same(4, "moe_num_experts", "zero_expert_num"),
    **_same(2, "num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token"),
    **_same(
        1,
        *("n_group", "topk_group", "num_expert_group", "n_shared_experts", "num_shared_experts"),
        *("moe_num_shared_experts", "num_nextn_predict_layers", "first_k_dense_replace"),
        "attn_layer_offset",
    ),
    **_same(
        LENGTH,
        *("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"),
        *("max_target_positions", "max_source_positions", "model_max_length"),
        "original_max_position_embeddings",
    ),
    **_same(
        6,
        *("sliding_window", "sliding_window_size", "attention_window_size", "window_size"),
        "local_attention",
    ),
    **_same(
        VOCABULARY,
        *("vocab_size", "decoder_vocab_size", "vocab_size_per_layer_input", "codebook_size"),
        *("unpadded_vocab_size", "pronunciation_vocab_size", "shape_vocab_size"),
        "audio_vocab_size",
    ),
    # A factor of one would hide who multiplies by it.
    **_same(3.0, "embedding_multiplier"),
    **_same(0, "bos_token_id", "eos_token_id", "decoder_start_token_id"),
    **_same(1, "pad_token_id"),
}
"""Value of each name that a configuration may have."""

# Parts that see images or hear: as small as they can be, and without a say in the text.
_OTHER_SENSES: dict[str, Any] = {
    **_same(1, "num_hidden_layers", "depth", "encoder_layers"),
    **_same(28, "image_size"),
    **_same(14, "patch_size"),
    **_same(WIDTH, "output_hidden_size", "out_hidden_size", "output_channels", "mm_embed_dim"),
    **_same(2 * WIDTH, "mlp_dim"),
    **_same(2, "window_size"),
    "global_attn_indexes": [],
}

_IN_TURNS = ["linear_attention", "full_attention"] * 2
_SHARED = ["linear_attention", "linear_attention", "hybrid", "hybrid"]
_NGRAMS = {
    "ple_layer_ids": [1, 3],
    "ngram_vocab_size_base": 50,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
}
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
_SLIDING = {
    "num_key_value_heads": 4,
    "swa_num_attention_heads": 4,
    "swa_num_key_value_heads": 4,
    "swa_head_dim": 8,
    "swa_v_head_dim": 8,
    "swa_q_lora_rank": 16,
    "swa_kv_lora_rank": 16,
    "swa_qk_rope_head_dim": 4,
    "swa_qk_nope_head_dim": 4,
}
EXTRA: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"layer_types": _IN_TURNS},
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4},
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "dots3_note": {
        "text_config": _SLIDING,
        "vision_config": {"num_hidden_layers": 42, "adapter_in_dim": 32, "adapter_out_dim": 32},
    },
    "dots3_note_text": _SLIDING,
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma4_unified_assistant": {"text_config": {"num_kv_shared_layers": 0}},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "hrm_text": {"num_hidden_layers": 2, "num_layers_per_stack": None},
    "kimi_linear": {"layer_types": _IN_TURNS},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": {"num_layers": 4, "num_hidden_layers": 8, "head_dim": 4},
    "mamba2": {"head_dim": 8, "num_heads": 8},
    "moshi": {"codebook_size": 64, "audio_vocab_size": 64},
    "qwen4_exp": {"text_config": _NGRAMS},
    "qwen4_exp_text": _NGRAMS,
    "reformer": {
        "axial_pos_embds_dim": [16, 16],
        "axial_pos_shape": [8, 8],
        "attn_layers": ["local", "lsh"] * 2,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
        "num_buckets": 2,
        "is_decoder": True,
    },
    "xlstm": {"hidden_size": 64, "embedding_dim": 64, "qk_dim_factor": 1.0, "chunk_size": 64},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": _SHARED,
        "attention_head_dim": 16,
        "attention_hidden_size": 2 * WIDTH,
    },
    "zamba2": {"layers_block_type": _SHARED},
    "zaya": {"num_experts_per_tok": 1},
}
"""What a family needs beside its sizes."""


def tiny_configuration(family: str) -> PreTrainedConfig:
    """The configuration of a tiny decoder of a family.

    Raises:
        Exception: Whatever Transformers raises, where it cannot make one.
    """
    config_class = CONFIG_MAPPING[family]
    config = config_class(**_merged(_sizes(config_class), EXTRA.get(family, {})))
    # Many families can also be the decoder of a pair, or an encoder.
    if getattr(config, "is_encoder_decoder", False):
        config.is_encoder_decoder = False
    if hasattr(config, "is_decoder"):
        config.is_decoder = True
    return config


def _sizes(config_class: type[PreTrainedConfig], other_sense: bool = False) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(config_class)}
    aliased = {alias for alias, name in config_class.attribute_map.items() if name in names}
    known = SIZES | (_OTHER_SENSES if other_sense else {})
    options = {name: value for name, value in known.items() if name in names - aliased}
    if "qk_rope_head_dim" in names:  # Multi-head latent attention: the other sizes follow.
        options.pop("head_dim", None)
        options["num_key_value_heads"] = options["num_attention_heads"]
    specs = {
        **(getattr(config_class, "sub_configs", None) or {}),
        **(getattr(config_class, "sub_configs_defaults", None) or {}),
    }
    for name, spec in specs.items():
        kind = {}
        part = spec if isinstance(spec, type) else spec.config_class
        if not isinstance(spec, type) and spec.model_type:
            kind = {"model_type": spec.model_type}
        if part is AutoConfig:
            part = CONFIG_MAPPING[spec.model_type]
        if dataclasses.is_dataclass(part) and name in names:
            is_text = any(word in name for word in ("text", "decoder", "attn", "ffn"))
            options[name] = _sizes(part, other_sense=not is_text) | kind
    return options


def _merged(options: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    merged = dict(options)
    for name, value in extra.items():
        inner = merged.get(name)
        both = isinstance(value, dict) and isinstance(inner, dict)
        merged[name] = _merged(inner, value) if both else value
    return merged
