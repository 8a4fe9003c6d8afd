"""Families without an entry: their parts are found and tried, or the family is refused by name."""

from collections.abc import Iterator

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from manticore.components.families import FAMILIES, UnknownFamilyError
from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.runner import BlockRunner

_COMMON = {
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_GPT_NAMES = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 64, "rotary_dim": 4}
_SEQUENCE_TO_SEQUENCE = {
    "d_model": 32,
    "decoder_layers": 4,
    "encoder_layers": 4,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "is_encoder_decoder": False,
}


def _model(family: str, *, trained: bool = False, **options: object) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**_COMMON, **options})
    model = AutoModelForCausalLM.from_config(config).eval()
    if trained:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(autouse=True)
def _families_keep_their_order() -> Iterator[None]:
    """A family that is taken out for a test comes back at its own place: tables follow it."""
    before = dict(FAMILIES)
    yield
    FAMILIES.clear()
    FAMILIES.update(before)


@pytest.mark.parametrize("family", ["olmo", "starcoder2", "qwen2_moe", "gpt_bigcode", "gptj"])
@torch.no_grad()
def test_usual_shapes_work_by_inspection(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILIES, family, raising=False)
    own = _GPT_NAMES if family in ("gpt_bigcode", "gptj") else {}
    if family == "qwen2_moe":
        own = {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16}
    model = _model(family, **own)
    runner = BlockRunner(model, family_spec(model))
    assert runner.depth == 4
    ids = torch.arange(2, 10)[None]
    positions = torch.arange(8)[None]
    hidden = runner.embed(ids, positions)
    for start, stop in ((0, 1), (1, 4)):
        hidden = runner.run(
            start, stop, hidden, attention_mask=None, position_ids=positions, cache=None
        )
    torch.testing.assert_close(runner.head(hidden), model(ids).logits)


def test_inspection_leaves_the_model_as_it_was() -> None:
    model = _model("olmoe", trained=True, num_experts=4, num_experts_per_tok=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    family_spec(model)
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("family", ["bloom", "xglm", "mpt"])
def test_inspection_finds_what_entries_say(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = FAMILIES[family]
    monkeypatch.delitem(FAMILIES, family)
    options = {
        "bloom": {"n_layer": 4, "n_head": 4},
        "xglm": {"d_model": 32, "num_layers": 4, "attention_heads": 4, "ffn_dim": 64},
        "mpt": {"d_model": 32, "n_layers": 4, "n_heads": 4},
    }[family]
    found = family_spec(_model(family, **options))
    for part in ("backbone", "layers", "norm", "positions", "input_modules", "takes_positions"):
        assert getattr(found, part) == getattr(entry, part), part


# Refused by name, with the cause, whether the weights are fresh or trained ------------------------

REFUSED = {
    # Scales its embeddings inside the backbone's forward.
    "granite": ({"embedding_multiplier": 3.0}, "run in slices, give other logits"),
    # Normalizes its embeddings with the norm that also ends the stack.
    "nanochat": ({"head_dim": 8}, "run in slices, give other logits"),
    # Every shared layer reads the embeddings again.
    "zamba": (
        {
            "attention_hidden_size": 64,
            "attention_head_dim": 16,
            "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
        },
        "run in slices",
    ),
    # Has a cache of its own.
    "minimax": (
        {"head_dim": 8, "num_experts": 2, "num_local_experts": 2},
        "in slices with a cache .*MiniMax uses cache of its own",
    ),
    # Counts its positions from the cache, padding included.
    "bart": (_SEQUENCE_TO_SEQUENCE, "takes no position_ids"),
    "trocr": (_SEQUENCE_TO_SEQUENCE, "takes no position_ids"),
    # Their layers belong to a module that does not embed the tokens.
    "roberta": ({"is_decoder": True}, "embedded outside"),
    "reformer": (
        {
            "is_decoder": True,
            "axial_pos_embds_dim": [16, 16],
            "axial_pos_shape": [8, 8],
            "attn_layers": ["local"] * 4,
        },
        "embedded outside",
    ),
    "cpmant": ({"dim_head": 8, "dim_ff": 64}, "embedded outside"),
    "xlm": ({"emb_dim": 32, "n_layers": 4, "n_heads": 4}, "several layer lists"),
    "rwkv": ({"attention_hidden_size": 32}, "takes no cache"),
}


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("family", REFUSED)
def test_what_inspection_cannot_see_is_an_error(
    family: str, trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FAMILIES, family, raising=False)
    options, cause = REFUSED[family]
    model = _model(family, trained=trained, **options)
    with pytest.raises(UnknownFamilyError, match=f"(?s)'{family}'.*{cause}.*families.py") as error:
        family_spec(model)
    assert all(known in str(error.value) for known in FAMILIES)


def test_a_cache_that_cannot_be_continued_is_noticed() -> None:
    """Jamba's mixer as Transformers has it starts several tokens from an empty state."""
    options = {"mamba_d_state": 8, "mamba_dt_rank": 4, "num_experts": 1, "attn_layer_period": 2}
    model = _model("jamba", trained=True, attn_layer_offset=1, **options)
    with pytest.raises(UnknownFamilyError, match="continue a cache by several tokens at once"):
        family_spec(model)
    assert use_fast_mixers(model) == 2
    family_spec(model)


def test_a_model_on_the_meta_device_is_inspected_without_a_pass() -> None:
    with torch.device("meta"):
        on_meta = _model("olmo")
    assert family_spec(on_meta) == family_spec(_model("olmo"))
