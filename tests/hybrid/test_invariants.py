"""The acceptance of a hybrid: what must hold for every family, on a GPU where there is one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.routing import RouterSettings
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE, build_pair

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LENGTH = 12
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
Component = Callable[..., str]


def _ids(rows: int = 2, length: int = LENGTH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(2, VOCAB_SIZE, (rows, length), generator=generator).to(DEVICE)


def _pair(component: Component, family: str, mixture: str = "static") -> ManticoreForCausalLM:
    """The family beside another of unlike width and depth, all parts at work.

    With a `routed` mixture, some tokens leave out one of the two in some blocks.
    """
    hybrid = build_pair(component, family)
    if mixture == "routed":
        torch.manual_seed(3)
        routed = hybrid.add_router(RouterSettings(width=8, threshold=0.3))
        torch.nn.init.normal_(routed.weight, std=20.0)
        alpha = hybrid.mixture_of(_ids()[0])
        assert ((alpha == 0).any(dim=(0, 1)) & ((alpha > 0) & (alpha < 1)).any(dim=(0, 1))).all()
    return hybrid.to(DEVICE)


both_mixtures = pytest.mark.parametrize("mixture", ["static", "routed"])


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_one_hot_is_the_component(component: Component, family: str) -> None:
    hybrid = _pair(component, family)
    hybrid.set_mixture_weights([1.0, 0.0])
    alone = AutoModelForCausalLM.from_pretrained(component(family)).eval().to(DEVICE)
    ids = _ids()
    # Our scan sums in another order than the loop of Transformers does.
    torch.testing.assert_close(hybrid(ids).logits, alone(ids).logits, **TOLERANCE)
    options = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    assert hybrid.generate(ids, **options).tolist() == alone.generate(ids, **options).tolist()


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_one_hot_of_the_second_component(component: Component, family: str) -> None:
    other = "llama" if family != "llama" else "gpt2"
    folders = [component(other, width=48, layers=3, seed=1), component(family)]
    hybrid = build_hybrid(folders, 3, projector_init="random", mixture_weights=[0.0, 1.0])
    hybrid.to(DEVICE)
    alone = AutoModelForCausalLM.from_pretrained(component(family)).eval().to(DEVICE)
    torch.testing.assert_close(hybrid(_ids()).logits, alone(_ids()).logits, **TOLERANCE)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@both_mixtures
@torch.no_grad()
def test_decoding_with_cache_is_decoding_without(
    component: Component, family: str, mixture: str
) -> None:
    hybrid = _pair(component, family, mixture)
    ids = _ids()
    whole = hybrid(ids, use_cache=False).logits
    cache, parts = None, []
    for start, stop in ((0, 5), (5, 9), (9, 10), (10, 11), (11, LENGTH)):
        output = hybrid(ids[:, start:stop], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        parts.append(output.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **TOLERANCE)
    assert cache.get_seq_length() == LENGTH


@pytest.mark.parametrize("family", FAMILY_NAMES)
@both_mixtures
@torch.no_grad()
def test_left_padding_changes_nothing(component: Component, family: str, mixture: str) -> None:
    hybrid = _pair(component, family, mixture)
    ids, padding = _ids(), 4
    padded, mask = ids.clone(), torch.ones_like(ids)
    padded[0, :padding] = 1
    mask[0, :padding] = 0
    batch = hybrid(padded, attention_mask=mask).logits
    torch.testing.assert_close(batch[0, padding:], hybrid(ids[:1, padding:]).logits[0], **TOLERANCE)
    torch.testing.assert_close(batch[1], hybrid(ids[1:]).logits[0], **TOLERANCE)
    options = {"max_new_tokens": 6, "do_sample": False}
    together = hybrid.generate(padded, attention_mask=mask, **options)
    short = ids[:1, padding:]
    alone = hybrid.generate(short, attention_mask=torch.ones_like(short), **options)
    # A row that ends early waits for the others as padding.
    assert together[0, padding:][: alone.shape[1]].tolist() == alone[0].tolist()


@pytest.mark.parametrize("family", FAMILY_NAMES)
@both_mixtures
@torch.no_grad()
def test_saved_hybrid_loads_bit_equal(
    component: Component, family: str, mixture: str, tmp_path: Path
) -> None:
    hybrid = _pair(component, family, mixture)
    hybrid.save_pretrained(tmp_path)
    for loaded in (
        ManticoreForCausalLM.from_pretrained(tmp_path),
        AutoModelForCausalLM.from_pretrained(tmp_path),
    ):
        loaded.to(DEVICE)
        assert torch.equal(loaded(_ids()).logits, hybrid(_ids()).logits)
        assert torch.equal(loaded.mixture_weights, hybrid.mixture_weights)
        assert loaded.tokenizer.get_vocab() == hybrid.tokenizer.get_vocab()


@pytest.mark.parametrize("family", FAMILY_NAMES)
@both_mixtures
def test_beams_carry_every_cache(component: Component, family: str, mixture: str) -> None:
    hybrid = _pair(component, family, mixture)
    ids = _ids()
    options = {"max_new_tokens": 6, "num_beams": 3, "do_sample": False}
    mask = torch.ones_like(ids)
    with_cache = hybrid.generate(ids, attention_mask=mask, **options)
    without = hybrid.generate(ids, attention_mask=mask, use_cache=False, **options)
    assert with_cache.tolist() == without.tolist()


@pytest.mark.parametrize("family", FAMILY_NAMES)
@both_mixtures
def test_every_part_learns_with_gradient_checkpointing(
    component: Component, family: str, mixture: str
) -> None:
    ids = _ids()
    gradients = []
    for checkpointing in (False, True):
        hybrid = _pair(component, family, mixture).train()
        for module in hybrid.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if checkpointing:
            hybrid.gradient_checkpointing_enable()
        hybrid(ids, labels=ids).loss.backward()
        gradients.append({n: p.grad for n, p in hybrid.named_parameters() if p.requires_grad})
    plain, checkpointed = gradients
    unused = {name for name, gradient in plain.items() if gradient is None}
    assert not unused
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@both_mixtures
@torch.no_grad()
def test_bfloat16(component: Component, family: str, mixture: str) -> None:
    hybrid = _pair(component, family, mixture)
    exact = hybrid(_ids()).logits
    hybrid = hybrid.to(torch.bfloat16)
    assert hybrid.mixture_weights.dtype == torch.float32
    rough = hybrid(_ids()).logits.float()
    assert torch.nn.functional.cosine_similarity(rough, exact, dim=-1).mean() > 0.99


@pytest.mark.parametrize("n_components", [1, 2, 3, 4])
@pytest.mark.parametrize("head", ["mixed", "new"])
@torch.no_grad()
def test_any_number_of_components(component: Component, n_components: int, head: str) -> None:
    folders = [
        component("gpt_neox"),
        component("mamba", width=48, layers=5),
        component("gpt_neo", width=32, layers=2),
        component("mamba2", width=64, layers=3),
    ][:n_components]
    hybrid = build_hybrid(folders, 2, projector_init="random", head=head).to(DEVICE)
    ids = _ids()
    whole = hybrid(ids).logits
    assert whole.shape == (2, LENGTH, VOCAB_SIZE)
    assert hybrid.width == max(hybrid.config.widths)
    first = hybrid(ids[:, :6], use_cache=True)
    rest = hybrid(ids[:, 6:], past_key_values=first.past_key_values, use_cache=True)
    torch.testing.assert_close(rest.logits, whole[:, 6:], **TOLERANCE)


@torch.no_grad()
def test_attention_heads_of_unlike_size_share_one_cache(component: Component) -> None:
    folders = [component("gpt_neox", width=32), component("qwen3", width=64, layers=6)]
    hybrid = build_hybrid(folders, 2, projector_init="random").to(DEVICE)
    options = {"max_new_tokens": 6, "do_sample": False, "attention_mask": torch.ones_like(_ids())}
    assert torch.equal(
        hybrid.generate(_ids(), **options), hybrid.generate(_ids(), use_cache=False, **options)
    )
