"""Routed mixture weights: what DESIGN asks of them, for every family."""

from collections.abc import Callable

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.routing import Router, RouterSettings
from manticore.search.parameterizations import SoftmaxMixture
from tests.tiny import ALPHA, FAMILY_NAMES, VOCAB_SIZE, build_pair

LENGTH = 12
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
Component = Callable[..., str]


def _ids(rows: int = 2, length: int = LENGTH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(2, VOCAB_SIZE, (rows, length), generator=generator)


def _segments(hybrid: ManticoreForCausalLM, pattern: str) -> torch.Tensor:
    """(1, T, N, K): which component has each token to itself, one digit a token."""
    own = torch.tensor([int(digit) for digit in pattern])
    rows = torch.nn.functional.one_hot(own, len(hybrid.components)).float()
    return rows[None, :, None].expand(-1, -1, hybrid.config.n_blocks, -1)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_without_influence_of_the_router_it_is_darts(component: Component, family: str) -> None:
    """Where gradients are kept, as in a search: without, the joints of DARTS are folded."""
    hybrid = build_pair(component, family)
    searched = SoftmaxMixture(hybrid.mixture_weights)
    hybrid.add_router(RouterSettings(width=8))
    routed = hybrid(_ids()).logits
    hybrid.mixture = searched
    assert torch.equal(hybrid(_ids()).logits, routed)


@torch.no_grad()
def test_a_new_router_gives_the_mixture_weights_that_there_were(component: Component) -> None:
    hybrid = build_pair(component, "gpt_neox")
    static = hybrid(_ids()).logits
    hybrid.add_router(RouterSettings(width=8))
    # A softmax cannot give a corner, and gives the rest to rounding.
    torch.testing.assert_close(hybrid.mixture_weights, torch.tensor(ALPHA), atol=1e-3, rtol=0)
    torch.testing.assert_close(hybrid(_ids()).logits, static, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("family", FAMILY_NAMES)
@torch.no_grad()
def test_a_component_that_slept_has_missed_nothing(component: Component, family: str) -> None:
    """Rows that are one-hot: components wake in the middle of a prompt, and while decoding."""
    hybrid = build_pair(component, family)
    ids = _ids(rows=1)
    # In the first pattern the second component begins late, in the second it pauses.
    for pattern in ("000000111000", "011000000110"):
        alpha = _segments(hybrid, pattern)
        # Weights that are all but zero let every component run at every token.
        awake = 0.999999 * alpha + 0.000001 * (1 - alpha)
        wanted = hybrid(ids, use_cache=False, mixture_weights=awake).logits
        whole = hybrid(ids, use_cache=False, mixture_weights=alpha).logits
        torch.testing.assert_close(whole, wanted, rtol=1e-2, atol=1e-3)
        cache, parts = None, []
        for start, stop in ((0, 5), (5, 7), *((t, t + 1) for t in range(7, LENGTH))):
            output = hybrid(
                ids[:, start:stop],
                past_key_values=cache,
                use_cache=True,
                mixture_weights=alpha[:, start:stop],
            )
            cache = output.past_key_values
            parts.append(output.logits)
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, **TOLERANCE)


@torch.no_grad()
def test_a_component_of_weight_zero_does_not_run(component: Component) -> None:
    hybrid = build_pair(component, "gpt_neox")
    ids, ran = _ids(rows=1), []
    for k, runner in enumerate(hybrid.runners):
        layer = getattr(runner.backbone, runner.spec.layers)[0]
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, k=k: ran.append(
                (k, (args[0] if args else kwargs["hidden_states"]).shape[1])
            ),
            with_kwargs=True,
        )
    alpha = _segments(hybrid, "000000000111")
    first = hybrid(ids[:, :6], use_cache=True, mixture_weights=alpha[:, :6])
    assert ran == [(0, 6)]
    ran.clear()
    cache = first.past_key_values
    hybrid(ids[:, 6:9], past_key_values=cache, use_cache=True, mixture_weights=alpha[:, 6:9])
    assert ran == [(0, 3)]
    ran.clear()
    hybrid(ids[:, 9:], past_key_values=cache, use_cache=True, mixture_weights=alpha[:, 9:])
    assert ran == [(1, 12)]


@torch.no_grad()
def test_one_hot_rows_are_the_component_alone(component: Component) -> None:
    hybrid = build_pair(component, "mamba")
    ids = _ids(rows=1)
    for k, model in enumerate(hybrid.components):
        alpha = _segments(hybrid, str(k) * LENGTH)
        routed = hybrid(ids, mixture_weights=alpha).logits
        torch.testing.assert_close(routed, model(ids).logits, **TOLERANCE)


@torch.no_grad()
def test_the_router_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    router = Router(VOCAB_SIZE, 8)
    ids = _ids()
    whole = router(ids)
    first = router(ids[:, :5])
    rest = router(ids[:, 5:], state=first[:, -1])
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole)
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    torch.testing.assert_close(router(ids, mask)[0, 4:], router(ids[:1, 4:])[0])


@pytest.mark.parametrize("head", ["mixed", "mixture"])
@torch.no_grad()
def test_weights_below_the_threshold_are_zero(component: Component, head: str) -> None:
    folders = [component("gpt_neox"), component("mamba", width=48), component("gpt2", width=32)]
    hybrid = build_hybrid(folders, 2, projector_init="random", head=head)
    torch.manual_seed(0)
    routed = hybrid.add_router(RouterSettings(width=8, threshold=0.2))
    routed.weight.normal_(std=20.0)
    alpha = hybrid.mixture_of(_ids(rows=1)[0])
    assert alpha.shape == (LENGTH, 2, 3)
    assert (alpha == 0).any()
    assert not ((alpha > 0) & (alpha < 0.2)).any()
    torch.testing.assert_close(alpha.sum(dim=-1), torch.ones(LENGTH, 2))
    given = hybrid(_ids(rows=1), mixture_weights=alpha[None]).logits
    assert torch.equal(hybrid(_ids(rows=1)).logits, given)


def test_a_head_that_mixes_probabilities(component: Component) -> None:
    folders = [component("gpt_neox"), component("mamba", width=48)]
    hybrid = build_hybrid(folders, 2, projector_init="random", head="mixture")
    plain = build_hybrid(folders, 2, projector_init="random")
    ids = _ids()
    hidden = plain(ids, output_hidden_states=True).hidden_states[-1]
    blocks = plain.blocks
    wanted = sum(0.5 * blocks.own_logits(k, hidden, VOCAB_SIZE).softmax(dim=-1) for k in range(2))
    torch.testing.assert_close(hybrid(ids).logits.softmax(dim=-1), wanted)
    hybrid.set_mixture_weights([0.0, 1.0])
    torch.testing.assert_close(hybrid(ids).logits, hybrid.components[1](ids).logits, **TOLERANCE)
    # A zero at one token and not at others leaves the gradients finite.
    alpha = _segments(hybrid, "01" * 6).expand(2, -1, -1, -1).clone().requires_grad_()
    hybrid(ids, labels=ids, mixture_weights=alpha).loss.backward()
    assert alpha.grad is not None
    assert alpha.grad.isfinite().all()


def test_embeddings_alone_do_not_say_the_mixture_weights(component: Component) -> None:
    hybrid = build_pair(component, "gpt_neox")
    hybrid.add_router(RouterSettings(width=8))
    embedded = hybrid.get_input_embeddings()(_ids())
    with pytest.raises(ValueError, match="pass input_ids"):
        hybrid(inputs_embeds=embedded)
    alpha = hybrid.mixture_weights
    torch.testing.assert_close(
        hybrid(inputs_embeds=embedded, mixture_weights=alpha).logits, hybrid(_ids()).logits
    )


@torch.no_grad()
def test_mixed_probabilities_are_not_rounded_to_a_components_type(component: Component) -> None:
    folders = [component("gpt_neox"), component("mamba")]
    hybrid = build_hybrid(folders, 2, projector_init="random", head="mixture")
    exact = hybrid(_ids()).logits
    with torch.autocast("cpu", torch.bfloat16):
        logits = hybrid(_ids()).logits
    assert logits.dtype == torch.float32
    assert (logits.log_softmax(-1) - exact.log_softmax(-1)).abs().max() < 0.1
