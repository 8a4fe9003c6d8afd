"""Families without an entry, and cutting into blocks."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from manticore.components.inspection import UnknownFamilyError, family_spec
from manticore.components.runner import BlockRunner, cut_points

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


def _model(family: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **{**_COMMON, **options})
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", ["olmo", "starcoder2", "qwen2_moe", "gpt_bigcode", "codegen"])
@torch.no_grad()
def test_usual_shapes_work_by_inspection(family: str) -> None:
    options = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 64, "rotary_dim": 4}
    own = options if family in ("gpt_bigcode", "codegen") else {}
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


@pytest.mark.parametrize(
    ("family", "options"),
    [
        # Scales its embeddings inside the backbone's forward.
        ("granite", {"embedding_multiplier": 3.0}),
        # Normalises its embeddings.
        ("bloom", {"n_layer": 4, "n_head": 4}),
    ],
)
def test_what_inspection_cannot_see_is_an_error(family: str, options: dict) -> None:
    model = _model(family, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    with pytest.raises(UnknownFamilyError, match="scales its input or adds something") as error:
        family_spec(model)
    assert family in str(error.value)
    assert "families.py" in str(error.value)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_cut_points_are_even(depth_and_blocks: tuple[int, int]) -> None:
    depth, n_blocks = depth_and_blocks
    cuts = cut_points(depth, n_blocks)
    sizes = [stop - start for start, stop in pairwise(cuts)]
    assert (cuts[0], cuts[-1], len(sizes)) == (0, depth, n_blocks)
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("n_blocks", [0, -1, 5])
def test_blocks_that_do_not_fit(n_blocks: int) -> None:
    with pytest.raises(ValueError, match=r"'tiny', which has 4 layers: .* from 1 to 4"):
        cut_points(4, n_blocks, "'tiny'")
