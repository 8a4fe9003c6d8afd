"""Fast mixers against the untouched Transformers models, on tiny random ones."""

import copy
import itertools

import pytest
import torch
from transformers import (
    DynamicCache,
    FalconMambaConfig,
    FalconMambaForCausalLM,
    JambaConfig,
    JambaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    RecurrentGemmaConfig,
    RecurrentGemmaForCausalLM,
)

from manticore.components.mixers.fast import use_fast_mixers

VOCABULARY = 61
LENGTH = 19
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}


def _mamba() -> MambaForCausalLM:
    return MambaForCausalLM(MambaConfig(**COMMON, state_size=8, use_bias=True))


def _falcon_mamba() -> FalconMambaForCausalLM:
    return FalconMambaForCausalLM(FalconMambaConfig(**COMMON, state_size=5))


def _jamba() -> JambaForCausalLM:
    config = JambaConfig(
        **COMMON,
        mamba_d_state=8,
        mamba_dt_rank=4,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_experts=1,
        attn_layer_period=3,
        attn_layer_offset=1,
    )
    return JambaForCausalLM(config)


def _mamba2() -> Mamba2ForCausalLM:
    config = Mamba2Config(
        **COMMON, state_size=8, num_heads=8, head_dim=8, n_groups=2, chunk_size=8, use_bias=True
    )
    return Mamba2ForCausalLM(config)


def _recurrent_gemma() -> RecurrentGemmaForCausalLM:
    config = RecurrentGemmaConfig(
        **COMMON,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=1,
        lru_width=32,
        attention_window_size=8,
    )
    return RecurrentGemmaForCausalLM(config)


FAMILIES = {
    "mamba": _mamba,
    "falcon_mamba": _falcon_mamba,
    "jamba": _jamba,
    "mamba2": _mamba2,
    "recurrent_gemma": _recurrent_gemma,
}
FAST_MIXERS = {"mamba": 3, "falcon_mamba": 3, "jamba": 2, "mamba2": 3, "recurrent_gemma": 2}


def _spread_biases(model: torch.nn.Module) -> None:
    """Biases start at zero, and a zero bias cannot leak through padding."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias") and "dt_" not in name:
            torch.nn.init.normal_(parameter, std=0.3)


@pytest.fixture(params=list(FAMILIES))
def family(request) -> str:
    return request.param


@pytest.fixture
def plain(family):
    torch.manual_seed(0)
    model = FAMILIES[family]()
    _spread_biases(model)
    return model.eval()


@pytest.fixture
def fast(plain):
    model = copy.deepcopy(plain)
    use_fast_mixers(model)
    return model


@pytest.fixture
def tokens() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(1, VOCABULARY, (2, LENGTH), generator=generator)


@pytest.fixture
def left_mask(tokens) -> torch.Tensor:
    mask = torch.ones_like(tokens)
    mask[0, :5] = 0
    return mask


def _cache_name(family: str) -> str:
    return "past_key_values" if family in ("recurrent_gemma", "jamba") else "cache_params"


def _positions(mask: torch.Tensor) -> torch.Tensor:
    """Position ids as `generate` makes them."""
    return (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)


def _in_chunks(model, family, tokens, bounds, mask=None, with_positions=False) -> torch.Tensor:
    cache = DynamicCache(config=model.config)
    logits = []
    for start, stop in itertools.pairwise(bounds):
        inputs = {_cache_name(family): cache, "use_cache": True}
        if mask is not None:
            inputs["attention_mask"] = mask[:, :stop]
        if with_positions:
            inputs["position_ids"] = _positions(mask)[:, start:stop]
        logits.append(model(tokens[:, start:stop], **inputs).logits)
    return torch.cat(logits, dim=1)


def test_swaps_every_mixer_once_and_keeps_the_state_dict(family, plain):
    model = copy.deepcopy(plain)
    assert use_fast_mixers(model) == FAST_MIXERS[family]
    assert use_fast_mixers(model) == 0
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_logits_and_gradients_equal_transformers(plain, fast, tokens):
    results = []
    for model in (plain.train(), fast.train()):
        output = model(tokens, labels=tokens, use_cache=False)
        output.loss.backward()
        results.append((output.logits, {n: p.grad for n, p in model.named_parameters()}))
    (logits, gradients), (fast_logits, fast_gradients) = results
    torch.testing.assert_close(fast_logits, logits, atol=1e-4, rtol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            fast_gradients[name], gradient, atol=1e-4, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )


@torch.no_grad()
def test_left_padded_rows_equal_the_rows_alone(fast, tokens, left_mask):
    padded = fast(tokens, attention_mask=left_mask, use_cache=False).logits
    alone = fast(tokens[:1, 5:], use_cache=False).logits
    torch.testing.assert_close(padded[0, 5:], alone[0], atol=1e-4, rtol=1e-4)
    whole = fast(tokens[1:], use_cache=False).logits
    torch.testing.assert_close(padded[1:], whole, atol=1e-4, rtol=1e-4)


# One token at a time after a prompt; chunks shorter and longer than the convolution; chunks of
# nothing but padding. (A padded chunk has two tokens or more: models drop the mask of one.)
@pytest.mark.parametrize(
    "bounds", [[0, *range(6, LENGTH + 1)], [0, 2, 6, 8, 19], [0, 5, 19], [0, 2, 4, 19]]
)
@torch.no_grad()
def test_cached_chunks_equal_the_whole(family, fast, tokens, left_mask, bounds):
    whole = fast(tokens, use_cache=False).logits
    chunked = _in_chunks(fast, family, tokens, bounds)
    torch.testing.assert_close(chunked, whole, atol=1e-4, rtol=1e-4)
    padded = _in_chunks(fast, family, tokens, bounds, left_mask)
    alone = fast(tokens[:1, 5:], use_cache=False).logits
    torch.testing.assert_close(padded[0, 5:], alone[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(padded[1], whole[1], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_recurrent_gemma_takes_padding_from_positions(tokens, left_mask):
    torch.manual_seed(0)
    model = _recurrent_gemma().eval()
    _spread_biases(model)
    use_fast_mixers(model)
    by_position = _in_chunks(
        model, "recurrent_gemma", tokens, [0, 9, LENGTH], left_mask, with_positions=True
    )
    alone = model(tokens[:1, 5:], use_cache=False).logits
    torch.testing.assert_close(by_position[0, 5:], alone[0], atol=1e-4, rtol=1e-4)
    block = model.model.layers[0].temporal_block
    x = torch.randn(2, LENGTH, 32)
    positions = _positions(left_mask)
    unmasked, _ = block(x, position_ids=positions, attention_mask=None)
    alone, _ = block(x[:1, 5:], position_ids=positions[:1, 5:])
    torch.testing.assert_close(unmasked[0, 5:], alone[0])


def test_recurrent_gemma_keeps_no_state_between_calls(tokens):
    torch.manual_seed(0)
    model = _recurrent_gemma().eval()
    use_fast_mixers(model)
    with torch.no_grad():
        first = model(tokens, use_cache=True).logits
        model(tokens.flip(1), use_cache=True)
        again = model(tokens, use_cache=True).logits
    torch.testing.assert_close(first, again, atol=0, rtol=0)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_generate_gives_the_tokens_of_transformers(plain, fast, tokens, options):
    arguments = {"max_new_tokens": 8, "do_sample": False, **options}
    if plain.config.model_type == "recurrent_gemma" and options:
        # The plain block does not reorder its states by beam: compare with uncached decoding.
        expected = fast.generate(tokens, use_cache=False, **arguments)
    else:
        expected = plain.generate(tokens, **arguments)
    assert torch.equal(fast.generate(tokens, **arguments), expected)


def test_generate_with_left_padding_equals_each_row_alone(fast, tokens, left_mask):
    arguments = {"max_new_tokens": 6, "do_sample": False}
    together = fast.generate(tokens, attention_mask=left_mask, **arguments)
    alone = fast.generate(tokens[:1, 5:], **arguments)
    assert torch.equal(together[0, LENGTH:], alone[0, LENGTH - 5 :])


@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16", "autocast"])
@torch.no_grad()
def test_half_precision_decodes(family, fast, tokens, autocast):
    bounds = [0, *range(6, LENGTH + 1)]
    expected = fast(tokens, use_cache=False).logits
    if not autocast:
        fast.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        decoded = _in_chunks(fast, family, tokens, bounds)
    torch.testing.assert_close(decoded.float(), expected, atol=0.02, rtol=0.1)


def test_half_precision_and_autocast_train(fast, tokens):
    with torch.autocast("cpu", torch.bfloat16):
        loss = fast(tokens, labels=tokens, use_cache=False).loss
    loss.backward()
    reference = fast(tokens, labels=tokens, use_cache=False).loss
    torch.testing.assert_close(loss, reference, atol=0.1, rtol=0.1)
    fast.zero_grad()
    fast.to(torch.bfloat16)(tokens, labels=tokens, use_cache=False).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in fast.parameters() if p.grad is not None)


@pytest.mark.parametrize("bounds", [[0, 9, LENGTH], [0, 9, 10, LENGTH]], ids=["long", "one token"])
def test_gradients_flow_through_a_cached_state(family, fast, tokens, bounds):
    weight = fast.get_input_embeddings().weight
    whole = fast(tokens, use_cache=False).logits[:, -1].square().sum()
    expected = torch.autograd.grad(whole, weight)[0]
    chunked = _in_chunks(fast, family, tokens, bounds)[:, -1].square().sum()
    actual = torch.autograd.grad(chunked, weight)[0]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", ["mamba", "falcon_mamba", "mamba2"])
def test_a_mask_that_is_too_short_is_named(fast, tokens, left_mask):
    with pytest.raises(ValueError, match="padding mask"):
        fast(tokens, attention_mask=left_mask[:, :-3], use_cache=False)
