"""Components that run their own forward once per pass give what blocks one by one give."""

from collections.abc import Callable

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.components.paused import PausedPass
from manticore.components.runner import BlockRunner
from manticore.hybrid.routing import RouterSettings
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE

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


def _pair(component: Component, family: str, alpha: list) -> ManticoreForCausalLM:
    other = "llama" if family != "llama" else "gpt2"
    folders = [component(family), component(other, width=48, layers=3, seed=1)]
    return build_hybrid(folders, 3, projector_init="random", mixture_weights=alpha)


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


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("alpha", ALPHAS)
@torch.no_grad()
def test_to_the_last_bit_but_for_folded_joints(
    component: Component,
    family: str,
    alpha: str,
    started: list[PausedPass],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hybrid = _pair(component, family, ALPHAS[alpha])
    mask = torch.ones_like(_ids())
    mask[0, :3] = 0
    folded = _in_three_steps(hybrid, mask)
    assert len(started) == (0 if "between" in alpha else 6)
    monkeypatch.setattr("manticore.hybrid.turns.can_fold", lambda *_: False)
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
    hybrid = _pair(component, family, ALPHAS["all"]).train()

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


def test_layers_that_are_computed_again_are_not_paused(
    component: Component, started: list[PausedPass]
) -> None:
    hybrid = _pair(component, "llama", ALPHAS["all"]).train()
    hybrid.gradient_checkpointing_enable()
    hybrid(_ids(), labels=_ids()).loss.backward()
    assert not started


@torch.no_grad()
def test_only_the_last_logits(component: Component, started: list[PausedPass]) -> None:
    hybrid = _pair(component, "gpt_neo", ALPHAS["all"])
    whole = hybrid(_ids()).logits
    torch.testing.assert_close(hybrid(_ids(), logits_to_keep=1).logits, whole[:, -1:])
    assert all(one.ended for one in started)


@torch.no_grad()
def test_a_failure_in_a_component_comes_out_and_ends_the_others(
    component: Component, started: list[PausedPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = _pair(component, "mamba", ALPHAS["all"])
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
    hybrid = _pair(component, "gpt_neox", ALPHAS["all"])
    hybrid.add_router(RouterSettings(width=8))
    together = hybrid(_ids()).logits
    assert len(started) == 2
    monkeypatch.setattr(BlockRunner, "pauses", False)
    assert torch.equal(together, hybrid(_ids()).logits)


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
            hybrid = hybrid or _pair(component, "gpt_neox", ALPHAS["all"])
            ids, found = _ids(), []
            state = {name: value.clone() for name, value in hybrid.state_dict().items()}
            for folds in (True, False):
                hybrid.load_state_dict(state)
                with monkeypatch.context() as patch:
                    if not folds:
                        patch.setattr("manticore.hybrid.turns.can_fold", lambda *_: False)
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
        folded, unfolded = decode(mixture_weights=torch.tensor(ALPHAS["all"]).flip(1))
        torch.testing.assert_close(folded, unfolded, **TOLERANCE)
        assert not torch.allclose(folded, unchanged, atol=1e-3)

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
    @pytest.mark.parametrize("projector", ["identity", "mlp"])
    def test_projectors_that_are_not_one_affine_map(
        self, component: Component, projector: str
    ) -> None:
        folders = [component("gpt_neox"), component("mamba", width=48, layers=3, seed=1)]
        hybrid = build_hybrid(folders, 3, projector=projector, projector_init="identity")
        output = hybrid(_ids()[:, :8], use_cache=True)
        output = hybrid(_ids()[:, 8:9], past_key_values=output.past_key_values)
        assert output.past_key_values.joints is None

    def test_a_hybrid_that_learns(self, component: Component) -> None:
        hybrid = _pair(component, "gpt_neox", ALPHAS["all"])
        cache = hybrid(_ids()[:, :8], use_cache=True).past_key_values
        hybrid(_ids()[:, 8:9], past_key_values=cache).logits.sum().backward()
        assert hybrid.projectors.into_block(0, 0).linear.weight.grad is not None
