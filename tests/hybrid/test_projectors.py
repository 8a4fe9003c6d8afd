"""Projectors: their closed-form fit against brute force, and what a kind of one's own gets."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore import ManticoreForCausalLM, alignment_error, build_hybrid
from manticore.config.run import LOW_RANK
from manticore.hybrid.projectors import (
    BlockProjectors,
    IdentityProjector,
    LinearProjector,
    LowRankProjector,
    MLPProjector,
    Projector,
    affine,
    resize_width,
    ridge,
)
from manticore.names import PROJECTORS, Entry

widths = st.integers(1, 6)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _gated(projector: torch.nn.Module, x: torch.Tensor, d_out: int, gate: float) -> torch.Tensor:
    return (1 - gate) * projector(x) + gate * resize_width(x, d_out)


@settings(max_examples=40)
@given(d_in=widths, d_out=widths, seed=st.integers(0, 99), strength=st.floats(1e-4, 10))
def test_ridge_is_least_squares_on_stacked_rows(
    d_in: int, d_out: int, seed: int, strength: float
) -> None:
    inputs = _random(20, d_in, seed=seed) * torch.logspace(-0.5, 0.5, d_in, dtype=torch.float64)
    targets = _random(20, d_out, seed=seed + 1)
    penalty = (strength * inputs.square().sum(0)).sqrt().diag()
    rows = torch.cat([inputs, penalty])
    wanted = torch.linalg.lstsq(rows, torch.cat([targets, targets.new_zeros(d_in, d_out)])).solution
    torch.testing.assert_close(ridge(inputs, targets, strength), wanted, rtol=1e-4, atol=1e-5)


@settings(max_examples=20)
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_predictions_do_not_depend_on_the_unit_of_an_input(factor: float, seed: int) -> None:
    inputs, targets = _random(30, 3, seed=seed), _random(30, 2, seed=seed + 1)
    scaled = inputs * torch.tensor([1.0, factor, 1.0], dtype=torch.float64)
    found = scaled @ ridge(scaled, targets, 0.1)
    torch.testing.assert_close(found, inputs @ ridge(inputs, targets, 0.1), rtol=1e-3, atol=1e-3)


def test_affine_without_a_penalty_is_least_squares_with_a_column_of_ones() -> None:
    inputs, targets = _random(40, 4) + 3, _random(40, 3, seed=1) - 5
    weight, bias = affine(inputs, targets, 0.0)
    ones = torch.cat([inputs, torch.ones(40, 1, dtype=torch.float64)], dim=1)
    wanted = torch.linalg.lstsq(ones, targets).solution
    torch.testing.assert_close(torch.cat([weight, bias[None]]), wanted, rtol=1e-5, atol=1e-6)


def test_the_intercept_is_not_penalised() -> None:
    weight, bias = affine(_random(50, 3) + 2, torch.full((50, 2), 7.0), 10.0)
    torch.testing.assert_close(bias + 2 * weight.sum(0), torch.full((2,), 7.0).double())


def test_a_dead_input_gets_no_weight() -> None:
    inputs = _random(30, 3)
    inputs[:, 1] = 0
    weight, _ = affine(inputs, _random(30, 2, seed=1), 1e-3)
    assert torch.isfinite(weight).all()
    assert (weight[1] == 0).all()


@settings(max_examples=30)
@given(d_in=widths, d_out=widths, gate=st.floats(0, 0.95), seed=st.integers(0, 99))
def test_fit_recovers_a_planted_map_behind_the_gate(
    d_in: int, d_out: int, gate: float, seed: int
) -> None:
    torch.manual_seed(seed)
    planted, found = LinearProjector(d_in, d_out), LinearProjector(d_in, d_out)
    inputs = _random(200, d_in, seed=seed).float()
    wanted = _gated(planted, inputs, d_out, gate)
    found.fit(inputs, wanted, gate, 0.0)
    torch.testing.assert_close(_gated(found, inputs, d_out, gate), wanted, rtol=1e-3, atol=1e-4)
    slack = 1e-4 / (1 - gate)
    torch.testing.assert_close(found.linear.weight, planted.linear.weight, rtol=1e-3, atol=slack)


@pytest.mark.parametrize("gate", [0.0, 0.4])
@pytest.mark.parametrize("curved", [True, False])
def test_mlp_is_never_worse_than_linear_on_what_it_was_fitted_to(gate: float, curved: bool) -> None:
    torch.manual_seed(0)
    inputs = _random(300, 5).float()
    wanted = inputs @ _random(5, 4, seed=1).float()
    wanted = wanted.abs() if curved else wanted + _random(300, 4, seed=2).float()
    errors = {}
    for name, kind in (("linear", LinearProjector), ("mlp", MLPProjector)):
        projector = kind(5, 4)
        projector.reset("identity")
        projector.fit(inputs, wanted, gate, 1e-3)
        errors[name] = (_gated(projector, inputs, 4, gate) - wanted).square().mean().item()
    assert errors["mlp"] <= errors["linear"]
    if curved:
        assert errors["mlp"] < 0.9 * errors["linear"]


@pytest.mark.parametrize("gate", [0.0, 0.4])
@pytest.mark.parametrize(("d_in", "d_out"), [(40, 48), (48, 40), (5, 4)])
def test_low_rank_finds_the_best_map_of_its_rank(d_in: int, d_out: int, gate: float) -> None:
    torch.manual_seed(0)
    rank = min(LOW_RANK, d_in, d_out)
    inputs = _random(400, d_in).float() + 3
    planted = _random(d_in, rank, seed=1).float() @ _random(rank, d_out, seed=2).float()
    wanted = resize_width(inputs, d_out) + (1 - gate) * (inputs @ planted - 5)
    projector = LowRankProjector(d_in, d_out)
    projector.fit(inputs, wanted, gate, 0.0)
    torch.testing.assert_close(_gated(projector, inputs, d_out, gate), wanted, rtol=1e-3, atol=1e-2)
    # Of a map of full rank the main axes are left: by Eckart and Young no map of that rank is
    # closer, and what is left out is what the singular values say.
    full = _random(d_in, d_out, seed=3).float()
    wanted = resize_width(inputs, d_out) + (1 - gate) * (inputs @ full)
    projector.fit(inputs, wanted, gate, 0.0)
    missed = (_gated(projector, inputs, d_out, gate) - wanted) / (1 - gate)
    centered = (inputs - inputs.mean(dim=0)).double() @ full.double()
    left_out = torch.linalg.svdvals(centered)[rank:]
    torch.testing.assert_close(missed.double().norm(), left_out.norm(), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", list(PROJECTORS))
@pytest.mark.parametrize(("d_in", "d_out"), [(3, 5), (5, 3), (4, 4)])
def test_identity_initialisation_pads_and_cuts(kind: str, d_in: int, d_out: int) -> None:
    projector = PROJECTORS.load(kind)(d_in, d_out)
    projector.reset("identity")
    x = _random(2, 7, d_in).float()
    found = projector(x)
    assert found.shape == (2, 7, d_out)
    both = min(d_in, d_out)
    torch.testing.assert_close(found[..., :both], x[..., :both])
    assert (found[..., both:] == 0).all()


def test_random_initialisation_keeps_the_size_of_what_passes() -> None:
    torch.manual_seed(0)
    for kind in (LinearProjector, MLPProjector, LowRankProjector):
        projector = kind(256, 128)
        projector.reset("random")
        passed = projector(_random(500, 256).float())
        assert passed.std().item() == pytest.approx(1, rel=0.1)


def test_identity_projectors_have_no_weights_and_ignore_fits() -> None:
    projectors = BlockProjectors("identity", 6, [4, 6], 3)
    assert list(projectors.parameters()) == []
    projector = projectors.into[2][0]
    assert isinstance(projector, IdentityProjector)
    x = _random(5, 6)
    projector.fit(x, _random(5, 4), 0.5, 1e-3)
    assert torch.equal(projector(x), x[:, :4])


@pytest.mark.parametrize("kind", ["linear", "mlp", "low-rank"])
def test_block_projectors_map_every_component_in_and_out(kind: str) -> None:
    projectors = BlockProjectors(kind, 6, [4, 6], 3)
    for block in range(3):
        for k, width in enumerate([4, 6]):
            entering = projectors.into[block][k](torch.zeros(2, 6))
            assert entering.shape == (2, width)
            assert projectors.out_of[block][k](entering).shape == (2, 6)


# A kind of one's own ----------------------------------------------------------------------------


class Diagonal(Projector):
    """One factor per channel that both sides have."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__(d_in, d_out)
        self.factors = torch.nn.Parameter(torch.full((d_out,), float("nan")))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return resize_width(hidden_states, self.d_out) * self.factors

    @torch.no_grad()
    def reset(self, init: str) -> None:
        self.factors.normal_() if init == "random" else self.factors.fill_(1.0)

    @torch.no_grad()
    def fit(self, inputs: torch.Tensor, wanted: torch.Tensor, gate: float, strength: float) -> None:
        own = resize_width(inputs, self.d_out).double()
        factors = (own * wanted).sum(0) / ((1 + strength) * own.square().sum(0)).clamp_min(1e-9)
        self.factors.copy_((factors - gate) / (1 - gate))


@pytest.fixture
def diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROJECTORS, "diagonal", Entry(home=Diagonal, about="Factors."))


@pytest.fixture
def pair(component: Callable[..., str]) -> list[str]:
    return [component("gpt_neox"), component("mamba", width=48)]


def _factors(hybrid: ManticoreForCausalLM) -> torch.Tensor:
    projectors = hybrid.projectors.each()
    assert len(projectors) == 8
    assert all(isinstance(projector, Diagonal) for projector in projectors)
    return torch.cat([projector.factors.detach() for projector in projectors])


@pytest.mark.usefixtures("diagonal")
def test_a_new_kind_is_the_identity_or_random_as_asked(pair: list[str]) -> None:
    identity = _factors(build_hybrid(pair, 2, projector="diagonal", projector_init="identity"))
    assert torch.equal(identity, torch.ones_like(identity))
    one, same, other = (
        _factors(build_hybrid(pair, 2, projector="diagonal", projector_init="random", seed=seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.isclose(one, other).any()
    assert one.std() == pytest.approx(1, rel=0.2)


@pytest.mark.usefixtures("diagonal")
@torch.no_grad()
def test_a_new_kind_is_fitted_and_reloads(pair: list[str], tmp_path: Path) -> None:
    ids = torch.randint(2, 60, (4, 16), generator=torch.Generator().manual_seed(1))
    errors = {}
    for init in ("aligned", "identity"):
        hybrid = build_hybrid(pair, 2, projector="diagonal", projector_init=init)
        errors[init] = alignment_error(hybrid, ids).into.mean()
    assert errors["aligned"] < errors["identity"]
    hybrid = build_hybrid(pair, 2, projector="diagonal", projector_init="random")
    hybrid.save_pretrained(tmp_path)
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(_factors(loaded), _factors(hybrid))
    assert torch.equal(loaded(ids).logits, hybrid(ids).logits)
