"""The families that Manticore knows by name: one entry each.

A family that is missing here works too when its backbone has the usual shape; see `inspection`.
"""

from manticore.components.spec import FamilySpec

_MAMBA = {
    "backbone": "backbone",
    "norm": "norm_f",
    "cache_argument": "cache_params",
    "takes_positions": False,
    "recurrent_mask": True,
}

FAMILIES: dict[str, FamilySpec] = {
    spec.model_type: spec
    for spec in (
        FamilySpec(
            "gpt2",
            backbone="transformer",
            layers="h",
            norm="ln_f",
            positions="wpe",
            input_dropout="drop",
        ),
        FamilySpec(
            "gpt_neo",
            backbone="transformer",
            layers="h",
            norm="ln_f",
            positions="wpe",
            input_dropout="drop",
        ),
        FamilySpec(
            "gpt_neox",
            backbone="gpt_neox",
            norm="final_layer_norm",
            input_dropout="emb_dropout",
        ),
        FamilySpec(
            "opt",
            backbone="model.decoder",
            norm="final_layer_norm",
            positions="embed_positions",
            input_projection="project_in",
            output_projection="project_out",
        ),
        FamilySpec("llama"),
        FamilySpec("mistral"),
        FamilySpec("qwen2"),
        FamilySpec("qwen3"),
        FamilySpec("gemma2"),
        FamilySpec("phi", norm="final_layernorm", input_dropout="embed_dropout"),
        FamilySpec("olmo2"),
        FamilySpec("stablelm"),
        FamilySpec("mamba", **_MAMBA),
        FamilySpec("mamba2", **_MAMBA),
        FamilySpec("falcon_mamba", **_MAMBA),
        FamilySpec("recurrent_gemma", norm="final_norm", input_scale="normalizer"),
    )
}
