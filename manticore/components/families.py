"""The families that Manticore knows by name: one entry each.

A family that is missing here works too when its backbone has the usual shape; see `inspection`.
To add one, also from outside the package: `FAMILIES["name"] = FamilySpec("name", ...)`.
"""

from typing import Any

from manticore.components.spec import FamilySpec

_RECURRENT: dict[str, Any] = {
    "backbone": "backbone",
    "norm": "norm_f",
    "cache_argument": "cache_params",
    "takes_positions": False,
    "recurrent_mask": True,
}
_GPT: dict[str, Any] = {"backbone": "transformer", "layers": "h", "norm": "ln_f"}
_LEARNED_POSITIONS: dict[str, Any] = {
    **_GPT,
    "positions": "wpe",
    "input_modules": ("drop",),
    "length_limit": "max_position_embeddings",
}
# A table of rotary angles that is computed once.
_TABLED_ANGLES: dict[str, Any] = {
    **_GPT,
    "input_modules": ("drop",),
    "length_limit": "max_position_embeddings",
}
_GRANITE: dict[str, Any] = {"input_scale": "embedding_multiplier"}

FAMILIES: dict[str, FamilySpec] = {
    spec.model_type: spec
    for spec in (
        FamilySpec("gpt2", **_LEARNED_POSITIONS),
        FamilySpec("gpt_neo", **_LEARNED_POSITIONS),
        FamilySpec("gptj", **_TABLED_ANGLES),
        FamilySpec("codegen", **_TABLED_ANGLES),
        FamilySpec(
            "gpt_neox",
            backbone="gpt_neox",
            norm="final_layer_norm",
            input_modules=("emb_dropout",),
        ),
        FamilySpec(
            "opt",
            backbone="model.decoder",
            norm="final_layer_norm",
            positions="embed_positions",
            input_projection="project_in",
            output_projection="project_out",
            length_limit="max_position_embeddings",
        ),
        FamilySpec("xglm", norm="layer_norm", positions="embed_positions"),
        FamilySpec(
            "bloom",
            **_GPT,
            input_modules=("word_embeddings_layernorm",),
            takes_positions=False,
        ),
        FamilySpec(
            "mpt",
            backbone="transformer",
            layers="blocks",
            norm="norm_f",
            takes_positions=False,
            length_limit="max_seq_len",
        ),
        FamilySpec("llama"),
        FamilySpec("mistral"),
        FamilySpec("qwen2"),
        FamilySpec("qwen3"),
        FamilySpec("gemma2"),
        FamilySpec("phi", norm="final_layernorm", input_modules=("embed_dropout",)),
        FamilySpec("olmo2"),
        FamilySpec("stablelm"),
        FamilySpec("granite", **_GRANITE),
        FamilySpec("granite_swa", **_GRANITE),
        FamilySpec("granitemoe", **_GRANITE),
        FamilySpec("granitemoe_swa", **_GRANITE),
        FamilySpec("granitemoeshared", **_GRANITE),
        FamilySpec("granitemoehybrid", **_GRANITE),
        FamilySpec("hyperclovax", **_GRANITE),
        FamilySpec("mamba", **_RECURRENT),
        FamilySpec("mamba2", **_RECURRENT),
        FamilySpec("falcon_mamba", **_RECURRENT),
        FamilySpec("recurrent_gemma", norm="final_norm", input_scale="normalizer"),
    )
}
"""By `config.model_type`. Everything that names the families reads this dictionary."""


class UnknownFamilyError(ValueError):
    """A family without an entry whose backbone does not have the usual shape."""

    def __init__(self, model_type: str, cause: str) -> None:
        super().__init__(
            f"The family '{model_type}' has no entry in Manticore, and inspecting the model did "
            f"not help: {cause}. Choose a model of one of the known families "
            f"({', '.join(sorted(FAMILIES))}), or add an entry: one FamilySpec in "
            "manticore/components/families.py that says where the family's layers, final norm and "
            "position embeddings are."
        )
