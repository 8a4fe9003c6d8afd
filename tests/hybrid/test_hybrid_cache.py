"""The cache of a hybrid: kept from turn to turn, its own and no other's."""

import copy
from collections.abc import Callable

import pytest
import torch
from transformers import DynamicCache, StaticCache

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.cache import HybridCache
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE

Component = Callable[..., str]

GREEDY = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "pad_token_id": 1}


def _ids(length: int, rows: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(2, VOCAB_SIZE, (rows, length), generator=generator)


def _build(folders: list[str], **options: object) -> ManticoreForCausalLM:
    return build_hybrid(folders, 2, projector_init="identity", **options)


@pytest.fixture(scope="module")
def hybrid(component: Component) -> ManticoreForCausalLM:
    return _build([component("llama"), component("mamba", width=24)])


# From turn to turn ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("other", ["mamba", "gpt_neox"])
def test_a_conversation_continues_from_its_cache(
    component: Component, family: str, other: str
) -> None:
    model = _build([component(family), component(other, width=24, layers=2)])
    text, cache = _ids(7), None
    for turn in range(3):
        mask = torch.ones_like(text)
        turned = model.generate(
            text,
            attention_mask=mask,
            past_key_values=cache,
            return_dict_in_generate=True,
            **GREEDY,
        )
        whole = model.generate(text, attention_mask=mask, use_cache=False, **GREEDY)
        assert turned.sequences.tolist() == whole.tolist(), turn
        cache = turned.past_key_values
        assert cache.get_seq_length() == whole.shape[1] - 1
        text = torch.cat([whole, _ids(3 + turn)], dim=1)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_cache_that_grows_is_never_taken_for_a_static_one(
    component: Component, family: str
) -> None:
    model = _build([component(family), component(family, seed=1)])
    assert not HybridCache([part.config for part in model.components]).is_compileable


@torch.no_grad()
def test_components_that_slept_do_not_wake_within_a_cache(hybrid: ManticoreForCausalLM) -> None:
    model = copy.deepcopy(hybrid)
    model.set_mixture_weights([[1.0, 0.0], [0.5, 0.5]])
    cache = model(_ids(5), use_cache=True).past_key_values
    model.set_mixture_weights([0.3, 0.7])
    with pytest.raises(
        ValueError, match=r"changed since .* component 1 had weight zero in block 0"
    ):
        model(_ids(2), past_key_values=cache)
    # What falls asleep may.
    model.set_mixture_weights([1.0, 0.0])
    model(_ids(2), past_key_values=cache)
    cache.reset()
    model.set_mixture_weights([0.3, 0.7])
    model(_ids(2), past_key_values=cache)
    assert cache.get_seq_length() == 2


# Foreign caches ---------------------------------------------------------------------------------


def _foreign(hybrid: ManticoreForCausalLM) -> dict[str, object]:
    llama = hybrid.components[0]
    filled = llama(_ids(5), use_cache=True).past_key_values
    return {
        "empty": DynamicCache(),
        "of the configuration": DynamicCache(config=hybrid.config),
        "of a component": filled,
        "static": StaticCache(config=llama.config, max_cache_len=32),
        "legacy": tuple((layer.keys, layer.values) for layer in filled.layers),
    }


@pytest.mark.parametrize(
    "kind", ["empty", "of the configuration", "of a component", "static", "legacy"]
)
@torch.no_grad()
def test_a_cache_of_another_kind_is_refused(hybrid: ManticoreForCausalLM, kind: str) -> None:
    cache = _foreign(hybrid)[kind]
    with pytest.raises(ValueError, match=rf"cannot use a {type(cache).__name__}.* leave past_key"):
        hybrid(_ids(3), past_key_values=cache)
    with pytest.raises(ValueError, match=rf"cannot use a {type(cache).__name__}.* leave past_key"):
        hybrid.generate(_ids(6), past_key_values=cache, **GREEDY)


@torch.no_grad()
def test_the_cache_of_another_hybrid_is_refused(
    hybrid: ManticoreForCausalLM, component: Component
) -> None:
    other = _build([component("mamba", width=24), component("llama")])
    cache = other(_ids(5), use_cache=True).past_key_values
    with pytest.raises(
        ValueError, match=r"made for .*'mamba', 4, 24.* hybrid has .*'llama', 4, 32"
    ):
        hybrid(_ids(3), past_key_values=cache)


@pytest.mark.parametrize("kind", ["static", "offloaded", "quantized"])
def test_a_kind_of_cache_cannot_be_chosen(hybrid: ManticoreForCausalLM, kind: str) -> None:
    with pytest.raises(ValueError, match=f"cache_implementation='{kind}' .* leave it out"):
        hybrid.generate(_ids(3), cache_implementation=kind, **GREEDY)
    grown = hybrid.generate(_ids(3), cache_implementation="dynamic", **GREEDY)
    assert torch.equal(grown, hybrid.generate(_ids(3), use_cache=False, **GREEDY))


# Taking tokens back -----------------------------------------------------------------------------


@torch.no_grad()
def test_tokens_are_taken_back_where_no_state_forgets(
    hybrid: ManticoreForCausalLM, component: Component
) -> None:
    attention = _build([component("llama"), component("gpt2", width=24)])
    ids = _ids(9)
    cache = attention(ids[:, :7], use_cache=True).past_key_values
    cache.crop(-2)
    continued = attention(ids[:, 5:], past_key_values=cache).logits
    torch.testing.assert_close(continued, attention(ids).logits[:, 5:], rtol=1e-4, atol=2e-5)
    with pytest.raises(RuntimeError, match="recurrent states, which cannot be cropped"):
        hybrid(ids, use_cache=True).past_key_values.crop(-2)
