"""The router: what it is fitted to, what a search leaves, and what later stages do with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore import ManticoreForCausalLM, build_hybrid, load_text
from manticore.config.programming import ProgramConfig
from manticore.config.search import RouterConfig, SearchConfig
from manticore.hybrid.routing import RouterSettings
from manticore.runs import Run
from manticore.runs.from_hybrid import start_stage
from manticore.search.router_fit import (
    component_losses,
    fit_router,
    router_targets,
    total_variation,
)
from tests.tiny import VOCAB_SIZE
from tests.tiny_runs import do_here, write_text

Component = Callable[..., str]
SHORT = {"batch_size": 4, "eval_batches": 1, "sample_prompt": "", "eval_every": 2}


@pytest.fixture(scope="module")
def parts(component: Component) -> list[str]:
    return [component("gpt_neox"), component("mamba", width=24)]


def _build(parts: list[str]) -> ManticoreForCausalLM:
    return build_hybrid(parts, 2, projector_init="identity")


@pytest.fixture(scope="module")
def searched(parts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search that has fitted its router and taken no step."""
    return _do(_build(parts), tmp_path_factory.mktemp("runs"), "search", _ROUTED | {"steps": 0})


_ROUTED = {"strategy": "routed", "router": {"fit_steps": 20, "fit_sequences": 8}, **SHORT}


def _do(start: ManticoreForCausalLM | Run, root: Path, stage: str, options: dict) -> Run:
    hybrid = start if isinstance(start, ManticoreForCausalLM) else start.hybrid()
    root.mkdir(exist_ok=True)
    data = load_text(write_text(root), tokenizer=hybrid.tokenizer, seq_len=16)
    return do_here(start_stage(stage, start, data, options, root, launch=False))


def test_targets_look_at_the_tokens_that_follow() -> None:
    # Two components; the second is better at the last two of four tokens.
    losses = torch.tensor([[[0.0, 0.0], [1.0, 3.0], [2.0, 1.0], [4.0, 1.0]]])
    best = router_targets(losses, RouterConfig(targets="best", window=1))
    assert best.argmax(dim=-1).tolist() == [[0, 1, 1]]
    # Sums of two losses, then of what is left: 3 and 4, 6 and 2, 4 and 1.
    shares = router_targets(losses, RouterConfig(window=2))
    sums = torch.tensor([[[3.0, 4.0], [6.0, 2.0], [4.0, 1.0]]])
    torch.testing.assert_close(shares, (-sums).softmax(dim=-1))


def test_losses_of_the_components_are_their_own(parts: list[str]) -> None:
    hybrid = _build(parts)
    ids = torch.randint(2, VOCAB_SIZE, (3, 9), generator=torch.Generator().manual_seed(0))
    losses = component_losses(hybrid, ids)
    assert losses.shape == (3, 9, 2)
    assert (losses[:, 0] == 0).all()
    for k, model in enumerate(hybrid.components):
        torch.testing.assert_close(losses[:, 1:, k].mean(), model(ids, labels=ids).loss)


def test_a_router_learns_which_component_is_better(parts: list[str]) -> None:
    hybrid = _build(parts)
    # Every token says which one follows.
    starts = torch.randint(40, (16, 1), generator=torch.Generator().manual_seed(0))
    ids = 2 + (starts + torch.arange(24)) % 40
    with pytest.raises(TypeError, match=r"no router: call hybrid\.add_router"):
        fit_router(hybrid, ids, RouterConfig())
    hybrid.add_router(RouterSettings(width=8))
    losses, changes = [], []
    for smoothness in (0.0, 1.0):
        options = RouterConfig(fit_steps=100, window=1, smoothness=smoothness)
        losses.append(fit_router(hybrid, ids, options)["router_loss"])
        changes.append(total_variation(hybrid.mixture.weights_of(ids)).item())
    # A constant guess has log 2 at best where neither component is better overall.
    targets = router_targets(component_losses(hybrid, ids), RouterConfig(window=1))
    constant = -(targets * targets.mean(dim=(0, 1)).log()).sum(dim=-1).mean()
    assert losses[0] < float(constant) - 0.05
    assert changes[1] < 0.5 * changes[0]
    again = _build(parts)
    again.add_router(RouterSettings(width=8))
    assert fit_router(again, ids, RouterConfig(fit_steps=100, window=1))["router_loss"] == losses[0]


def test_a_search_reports_a_text_token_by_token(searched: Run) -> None:
    events = searched.events()
    (fitted,) = [event for event in events if event["kind"] == "fit"]
    assert 0 < fitted["router_loss"] < 1
    (probe,) = [event for event in events if event["kind"] == "probe"]
    alpha = torch.tensor(probe["weights"])
    assert alpha.shape == (len(probe["tokens"]), 2, 2)
    torch.testing.assert_close(alpha.sum(dim=-1), torch.ones(len(alpha), 2), atol=2e-4, rtol=0)
    hybrid = searched.hybrid()
    assert hybrid.is_routed
    # The first passage is the beginning of the first held-out sequence.
    data = load_text(searched.config.data["source"], tokenizer=hybrid.tokenizer, seq_len=16)
    end = probe["starts"][1]
    own = hybrid.mixture_of(data.valid[0]["input_ids"][:end])
    torch.testing.assert_close(own, alpha[:end], atol=1e-4, rtol=0)


def test_fine_tuning_keeps_the_router_or_lets_it_learn(searched: Run, tmp_path: Path) -> None:
    start = searched.hybrid()
    frozen = _do(searched, tmp_path / "a", "finetune", {"steps": 2, **SHORT}).hybrid()
    learned = _do(searched, tmp_path / "b", "finetune", {"steps": 2, "router_lr": 0.1, **SHORT})
    for name, weight in start.mixture.state_dict().items():
        if name != "average":
            assert torch.equal(frozen.mixture.state_dict()[name], weight)
    changed = learned.hybrid().mixture.router.embedding.weight
    assert not torch.equal(changed, start.mixture.router.embedding.weight)
    assert torch.equal(learned.hybrid().mixture.row, start.mixture.row)
    static = searched.hybrid()
    static.set_mixture_weights([0.5, 0.5])
    with pytest.raises(ValueError, match="the hybrid has no router"):
        _do(static, tmp_path / "c", "finetune", {"steps": 2, "router_lr": 0.1, **SHORT})


def test_a_search_goes_on_with_the_router_that_there_is(searched: Run, tmp_path: Path) -> None:
    again = _do(searched, tmp_path / "a", "search", _ROUTED | {"steps": 1})
    assert not [event for event in again.events() if event["kind"] == "fit"]
    other = _ROUTED | {"steps": 1, "router": {"threshold": 0.2}}
    with pytest.raises(ValueError, match=r"already has a router .*set_mixture_weights"):
        _do(searched, tmp_path / "b", "search", other)


def test_fixed_mixture_weights_give_a_router_up(searched: Run, tmp_path: Path) -> None:
    hybrid = searched.hybrid()
    hybrid.set_mixture_weights(hybrid.mixture_weights)
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path)
    assert not loaded.is_routed
    assert torch.equal(loaded.mixture_of("a fox")[0], hybrid.mixture_weights)


def test_no_step_is_for_a_router_alone() -> None:
    assert SearchConfig(strategy="routed", steps=0).steps == 0
    with pytest.raises(ValueError, match="steps is 0, and the strategy 'darts'"):
        SearchConfig(strategy="darts", steps=0)
    with pytest.raises(ValueError, match="does not use router"):
        SearchConfig(strategy="darts", router={"width": 8})
    with pytest.raises(ValueError, match="no mixture weights that tasks could pass on"):
        ProgramConfig(strategy="routed")


def test_only_static_mixture_weights_are_told_of_states_far_from_a_components_own(
    parts: list[str], tmp_path: Path
) -> None:
    def warned(name: str, options: dict) -> bool:
        stage = _do(_build(parts), tmp_path / name, "search", SHORT | options)
        said = [event["message"] for event in stage.events() if event["kind"] == "warning"]
        return any("states far from its own" in message for message in said)

    assert warned("static", {"steps": 2})
    # The projectors are measured at the mean mixture weights, which are those of no token.
    assert not warned("routed", {**_ROUTED, "steps": 2})
