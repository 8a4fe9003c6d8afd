"""The block runner: cutting into blocks, and the longest sequence that a component can run."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.runner import BlockRunner, cut_points
from tests.tiny import FAMILY_CONFIGS, FAMILY_NAMES, VOCAB_SIZE, make_model


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


LIMIT = 64
OTHERS = {
    "gptj": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": LIMIT},
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "n_positions": LIMIT},
    "gpt_bigcode": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LIMIT},
    "biogpt": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": LIMIT,
    },
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": LIMIT},
}


@pytest.mark.parametrize("family", [*FAMILY_NAMES, *OTHERS])
@torch.no_grad()
def test_the_limit_is_where_the_family_fails(family: str) -> None:
    """Of learned positions, rotary tables, ALiBi, relative and sinusoidal positions, and none."""
    if family in FAMILY_CONFIGS:
        model = make_model(family, layers=2)
    else:
        options = {"vocab_size": VOCAB_SIZE, "pad_token_id": 1, **OTHERS[family]}
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **options)).eval()
    use_fast_mixers(model)
    limit = BlockRunner(model, family_spec(model)).max_length
    assert limit in (None, LIMIT)
    longer = torch.arange(LIMIT + 1)[None] % VOCAB_SIZE
    model(longer[:, :LIMIT])
    if limit is None:
        model(longer)
    else:
        with pytest.raises((IndexError, RuntimeError)):
            model(longer)
