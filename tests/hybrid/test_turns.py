"""Components that run their own forward once per pass give what blocks one by one give."""

import copy
from collections.abc import Callable

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.components.paused import PausedPass
from manticore.components.runner import BlockRunner
from manticore.hybrid.routing import RouterSettings
from manticore.hybrid.weighted_sum import weighted_sum
from manticore.search.parameterizations import SoftmaxMixture
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE, build_pair

LENGTH = 12
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
ALPHAS = {
    "all": [[0.5, 0.5], [0.8, 0.2], [0.3, 0.7]],
    "one from its second block on": [[0.0, 1.0], [0.8, 0.2], [0.3, 0.7]],
    "one not to the end": [[0.6, 0.4], [0.8, 0.2], [0.0, 1.0]],
    "one left out between": [[0.6, 0.4], [0.0, 1.0], [0.5, 0.5]],
}

Component = Callable[..., str]


def _ids() -> torch.Tensor:
    return torch.randint(2, VOCAB_SIZE, (2, LENGTH), generator=torch.Generator().manual_seed(7))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[PausedPass]:
    """The forwards that have started, and pause between blocks."""
    found: list[PausedPass] = []
    start = BlockRunner.start

    def noted(*args: object, **kwargs: object) -> PausedPass:
        found.append(start(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(BlockRunner, "start", noted)
    return found


def _in_three_steps(hybrid: ManticoreForCausalLM, mask: torch.Tensor) -> list[torch.Tensor]:
    ids, cache, found = _ids(), None, []
    for begin, end in ((0, 8), (8, 11), (11, LENGTH)):
        output = hybrid(
            ids[:, begin:end],
            attention_mask=mask[:, :end],
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=True,
        )
        cache = output.past_key_values
        found += [output.logits, *output.hidden_states]
    return found


@pytest.mark.parametrize(
    ("family", "alpha"),
    [
        *((family, alpha) for family in FAMILY_NAMES for alpha in list(ALPHAS)[:2]),
        *((family, alpha) for family in ("gemma2", "mamba") for alpha in list(ALPHAS)[2:]),
    ],
)
@torch.no_grad()
def test_to_the_last_bit_but_for_folded_joints(
    component: Component,
    family: str,
    alpha: str,
    started: list[PausedPass],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hybrid = build_pair(component, family, ALPHAS[alpha])
    mask = torch.ones_like(_ids())
    mask[0, :3] = 0
    folded = _in_three_steps(hybrid, mask)
    assert len(started) == (0 if "between" in alpha else 6)
    monkeypatch.setattr("manticore.hybrid.turns.folded_joints", lambda *_: None)
    unfolded = _in_three_steps(hybrid, mask)
    monkeypatch.setattr(BlockRunner, "pauses", False)
    started.clear()
    one_by_one = _in_three_steps(hybrid, mask)
    assert not started
    assert all(map(torch.equal, unfolded, one_by_one))
    assert "between" in alpha or not torch.equal(folded[-1], unfolded[-1])
    for one, other in zip(folded, unfolded, strict=True):
        torch.testing.assert_close(one, other, **TOLERANCE)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_gradients_too(
    component: Component, family: str, started: list[PausedPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = build_pair(component, family, ALPHAS["all"]).train()

    def gradients() -> list[torch.Tensor | None]:
        hybrid.zero_grad()
        torch.manual_seed(0)
        hybrid(_ids(), labels=_ids()).loss.backward()
        return [parameter.grad for parameter in hybrid.parameters()]

    taking_turns = gradients()
    assert len(started) == 2
    monkeypatch.setattr(BlockRunner, "pauses", False)
    for one, other in zip(taking_turns, gradients(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("family", ["gpt_neox", "mamba", "opt"])
def test_layers_that_are_computed_again_do_not_pause_again(
    component: Component, family: str, started: list[PausedPass]
) -> None:
    hybrid, gradients = build_pair(component, family, ALPHAS["all"]).train(), []
    for again in (False, True):
        if again:
            hybrid.gradient_checkpointing_enable()
        hybrid.zero_grad()
        torch.manual_seed(0)
        hybrid(_ids(), labels=_ids()).loss.backward()
        gradients.append([parameter.grad for parameter in hybrid.parameters()])
    assert len(started) == 4
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_backbone_that_computes_its_layers_again_itself_does_not_pause(
    component: Component, started: list[PausedPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manticore.components.runner.GradientCheckpointingLayer", int)
    hybrid = build_pair(component, "llama", ALPHAS["all"]).train()
    hybrid.gradient_checkpointing_enable()
    hybrid(_ids(), labels=_ids()).loss.backward()
    assert not started


def test_layers_that_are_left_out_at_random_are_not_waited_for(component: Component) -> None:
    hybrid = build_pair(component, "opt", ALPHAS["all"]).train()
    hybrid.runners[0].backbone.layerdrop = 0.5
    for seed in range(6):
        torch.manual_seed(seed)
        assert hybrid(_ids(), labels=_ids()).loss.isfinite()


def test_a_forward_that_is_over_does_not_go_on() -> None:
    def forward(exchange: Callable) -> torch.Tensor:
        return exchange(torch.zeros(1)) + 1

    turns = PausedPass(forward)
    assert turns.go_on(torch.ones(1)) == 2
    with pytest.raises(RuntimeError, match="is over"):
        turns.go_on(torch.ones(1))


@torch.no_grad()
def test_only_the_last_logits(component: Component, started: list[PausedPass]) -> None:
    hybrid = build_pair(component, "gpt_neo", ALPHAS["all"])
    whole = hybrid(_ids()).logits
    torch.testing.assert_close(hybrid(_ids(), logits_to_keep=1).logits, whole[:, -1:])
    assert all(one.ended for one in started)


@torch.no_grad()
def test_a_failure_in_a_component_comes_out_and_ends_the_others(
    component: Component, started: list[PausedPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = build_pair(component, "mamba", ALPHAS["all"])
    layer = hybrid.runners[1].backbone.layers[1]

    def fail(*args: object) -> None:
        raise RuntimeError("the second layer is broken")

    handle = layer.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="second layer is broken"):
        hybrid(_ids())
    assert len(started) == 2
    assert all(one.ended for one in started)
    handle.remove()
    assert hybrid(_ids()).logits.isfinite().all()


@torch.no_grad()
def test_routed_tokens_of_which_all_go_through_all(
    component: Component, started: list[PausedPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = build_pair(component, "gpt_neox", ALPHAS["all"])
    hybrid.add_router(RouterSettings(width=8))
    together = hybrid(_ids()).logits
    assert len(started) == 2
    monkeypatch.setattr(BlockRunner, "pauses", False)
    assert torch.equal(together, hybrid(_ids()).logits)


@pytest.mark.parametrize("shape", [(), (2, 5, 1)])
def test_a_weighted_sum_has_the_gradients_of_products_and_sums(
    shape: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manticore.hybrid.weighted_sum._PART", 16)
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.float64, "requires_grad": True}
    states = [torch.randn(2, 5, width, **options) for width in (6, 8, 3)]
    weights = [torch.rand(shape, **options) for _ in states]

    def of(*tensors: torch.Tensor) -> torch.Tensor:
        return weighted_sum(list(zip(tensors[:3], tensors[3:], strict=True)))

    pairs = zip(states, weights, strict=True)
    expected = sum(torch.nn.functional.pad(w * x, (0, 8 - x.shape[-1])) for x, w in pairs)
    torch.testing.assert_close(of(*states, *weights), expected)
    assert torch.autograd.gradcheck(of, (*states, *weights))
    assert torch.autograd.gradgradcheck(of, (*states, *weights))


class TestFoldedJoints:
    """What a token is decoded with follows every change of what it was folded from."""

    @pytest.fixture
    def decode(
        self, component: Component, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
        """Logits of a token with folded joints and without, after a change in mid-text."""

        @torch.no_grad()
        def decode(
            change: Callable[[ManticoreForCausalLM], object] = lambda _: None,
            hybrid: ManticoreForCausalLM | None = None,
            **options: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            hybrid = hybrid or build_pair(component, "gpt_neox", ALPHAS["all"])
            ids, found = _ids(), []
            state = {name: value.clone() for name, value in hybrid.state_dict().items()}
            for folds in (True, False):
                hybrid.load_state_dict(state)
                with monkeypatch.context() as patch:
                    if not folds:
                        patch.setattr("manticore.hybrid.turns.folded_joints", lambda *_: None)
                    cache = hybrid(ids[:, :8], use_cache=True).past_key_values
                    hybrid(ids[:, 8:9], past_key_values=cache)
                    assert (cache.joints is not None) == folds
                    change(hybrid)
                    found.append(hybrid(ids[:, 9:10], past_key_values=cache, **options).logits)
            return found[0], found[1]

        return decode

    def test_other_mixture_weights(self, decode: Callable) -> None:
        unchanged, _ = decode()
        folded, unfolded = decode(lambda hybrid: hybrid.set_mixture_weights([0.1, 0.9]))
        torch.testing.assert_close(folded, unfolded, **TOLERANCE)
        assert not torch.allclose(folded, unchanged, atol=1e-3)

    def test_mixture_weights_of_one_pass(self, decode: Callable) -> None:
        unchanged, _ = decode()
        given, expected = decode(mixture_weights=torch.tensor(ALPHAS["all"]).flip(1))
        torch.testing.assert_close(given, expected, **TOLERANCE)
        assert not torch.allclose(given, unchanged, atol=1e-3)

    def test_other_projectors(self, decode: Callable) -> None:
        unchanged, _ = decode()
        folded, unfolded = decode(
            lambda hybrid: torch.nn.init.eye_(hybrid.projectors.into_block(1, 0).linear.weight)
        )
        torch.testing.assert_close(folded, unfolded, **TOLERANCE)
        assert not torch.allclose(folded, unchanged, atol=1e-3)

    @pytest.mark.parametrize("options", [{"gate": "flat"}, {"head": "mixture"}, {"head": "new"}])
    def test_other_gates_and_heads(
        self, decode: Callable, component: Component, options: dict
    ) -> None:
        folders = [component("gpt_neox"), component("mamba", width=48, layers=3, seed=1)]
        alpha = ALPHAS["all"]
        hybrid = build_hybrid(folders, 3, projector_init="random", mixture_weights=alpha, **options)
        torch.testing.assert_close(*decode(hybrid=hybrid), **TOLERANCE)

    @torch.no_grad()
    @pytest.mark.parametrize("projector", ["identity", "mlp", "low-rank"])
    def test_projectors_that_are_not_one_affine_map(
        self, component: Component, projector: str
    ) -> None:
        folders = [component("gpt_neox"), component("mamba", width=48, layers=3, seed=1)]
        hybrid = build_hybrid(folders, 3, projector=projector, projector_init="identity")
        output = hybrid(_ids()[:, :8], use_cache=True)
        output = hybrid(_ids()[:, 8:9], past_key_values=output.past_key_values)
        assert output.past_key_values.joints is None

    @torch.no_grad()
    def test_a_projector_that_somebody_looks_at(self, component: Component) -> None:
        hybrid, seen = build_pair(component, "gpt_neox", ALPHAS["all"]), []
        projector = hybrid.projectors.into_block(0, 0)
        handle = projector.register_forward_hook(lambda *_: seen.append(1))
        hybrid(_ids())
        handle.remove()
        hybrid(_ids())
        assert len(seen) == 1

    @torch.no_grad()
    def test_mixture_weights_that_are_searched_are_not_folded(self, component: Component) -> None:
        hybrid = build_pair(component, "gpt_neox", ALPHAS["all"])
        hybrid.mixture = SoftmaxMixture(hybrid.mixture_weights)
        assert hybrid(_ids(), use_cache=True).past_key_values.joints is None

    @torch.no_grad()
    def test_half_precision_by_autocast(self, component: Component) -> None:
        hybrid = build_pair(component, "gpt_neox", ALPHAS["all"])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert hybrid(_ids(), use_cache=True).past_key_values.joints is None

    def test_without_version_counters(self, component: Component) -> None:
        hybrid = build_pair(component, "gpt_neox", ALPHAS["all"])
        with torch.inference_mode():
            given = hybrid(_ids(), mixture_weights=torch.tensor(ALPHAS["all"])).logits
            torch.testing.assert_close(hybrid(_ids()).logits, given, **TOLERANCE)

    @torch.no_grad()
    def test_a_copy_of_the_cache_has_none(self, component: Component) -> None:
        hybrid = build_pair(component, "gpt_neox", ALPHAS["all"])
        cache = hybrid(_ids()[:, :8], use_cache=True).past_key_values
        copied = copy.deepcopy(cache)
        assert cache.joints is not None
        assert copied.joints is None
        for one in (cache, copied):
            one.logits = hybrid(_ids()[:, 8:], past_key_values=one).logits
        assert torch.equal(cache.logits, copied.logits)

    def test_a_hybrid_that_learns(self, component: Component) -> None:
        hybrid = build_pair(component, "gpt_neox", ALPHAS["all"])
        cache = hybrid(_ids()[:, :8], use_cache=True).past_key_values
        hybrid(_ids()[:, 8:9], past_key_values=cache).logits.sum().backward()
        assert hybrid.projectors.into_block(0, 0).linear.weight.grad is not None
