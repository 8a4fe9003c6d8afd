"""Scales and aligned projectors, on components whose relation is known."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore import ManticoreForCausalLM, alignment_error, build_hybrid
from tests.tiny import TEXT, make_model, make_tokenizer

ALIGNMENT_TOKENS = 1024
Component = Callable[..., str]

WIDTH = 32


def _random_ids(rows: int, length: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, len(make_tokenizer()), (rows, length), generator=generator)


def _held_out() -> torch.Tensor:
    return _random_ids(8, 24, seed=11)


# Stories would leave most of the tiny vocabulary, and so most directions of its space, unseen.
TEXT_TO_FIT = make_tokenizer().decode(_random_ids(1, 4000, seed=12)[0])


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A Llama, and the same function in a residual stream that is rotated and 8 times as large.

    Its norms have no weights of their own (all 1), so they commute with rotations, and they undo
    the size.
    """
    folder = tmp_path_factory.mktemp("twins")
    model = make_model("llama", width=WIDTH)
    logits = model(_held_out()).logits
    model.save_pretrained(folder / "one")
    noise = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(2))
    # Not so far round that the mean of a state and its image vanishes in some direction.
    turn = torch.linalg.matrix_exp(0.15 * (noise - noise.T))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.copy_(8 * turn.T @ parameter)
            elif "embed_tokens" in name:
                parameter.copy_(8 * parameter @ turn)
            elif parameter.ndim == 2:
                parameter.copy_(parameter @ turn)
    torch.testing.assert_close(model(_held_out()).logits, logits, rtol=1e-2, atol=1e-2)
    model.save_pretrained(folder / "other")
    for name in ("one", "other"):
        make_tokenizer().save_pretrained(folder / name)
    return [str(folder / "one"), str(folder / "other")]


def _build(folders: list[str], init: str, **options: object) -> ManticoreForCausalLM:
    return build_hybrid(folders, 2, projector_init=init, alignment_text=TEXT_TO_FIT, **options)


@pytest.mark.parametrize("projector", ["linear", "mlp"])
def test_aligned_projectors_see_through_a_rotation(twins: list[str], projector: str) -> None:
    options = {"projector": projector, "mixture_weights": [[0.5, 0.5], [0.3, 0.7]]}
    aligned, identity, random = (
        alignment_error(_build(twins, init, **options), _held_out())
        for init in ("aligned", "identity", "random")
    )
    for part in ("into", "out_of"):
        error = getattr(aligned, part)
        assert error.shape == (2, 2)
        assert error.max() < 1e-4
        for others in (getattr(identity, part), getattr(random, part)):
            assert others.max() > 0.3
            assert (error < others + 1e-6).all()


@torch.no_grad()
def test_twins_joined_by_aligned_projectors_do_what_one_does(twins: list[str]) -> None:
    aligned, identity = _build(twins, "aligned"), _build(twins, "identity")
    alone = aligned.components[0](_held_out()).logits
    error = (aligned(_held_out()).logits - alone).square().mean()
    # Not nothing: both heads read the mean of the two spaces, where neither is at home.
    assert error < 0.15 * alone.var()
    assert error < 0.15 * (identity(_held_out()).logits - alone).square().mean()


def test_aligned_is_best_between_strangers(component: Component) -> None:
    folders = [component("gpt_neox"), component("mamba", width=48)]
    ids = build_hybrid(folders, 2, projector_init="identity").tokenizer(
        " ".join(reversed(TEXT)), return_tensors="pt"
    )["input_ids"][:, :40]
    errors = {
        init: alignment_error(_build(folders, init), ids)
        for init in ("aligned", "identity", "random")
    }
    for part in ("into", "out_of"):
        mean = {init: getattr(error, part).mean().item() for init, error in errors.items()}
        assert mean["aligned"] < min(mean["identity"], mean["random"])
        assert mean["aligned"] < 1


def test_zero_is_perfect_and_one_is_the_mean(twins: list[str]) -> None:
    hybrid = _build(twins, "random", mixture_weights=[1.0, 0.0])
    ids = _held_out()
    error = alignment_error(hybrid, ids)
    # Alone, the first component gets its own states, which are also the common language.
    assert (error.into[:, 0] == 0).all()
    assert (error.out_of[:, 0] == 0).all()
    # The second has no gate open, so its projectors say all that it sees.
    with torch.no_grad():
        runner = hybrid.runners[1]
        own = runner.embed(ids, torch.arange(ids.shape[1])[None]) / hybrid.config.scales[0][1]
        linear = hybrid.projectors.into[0][1].linear
        linear.weight.zero_()
        linear.bias.copy_(own.flatten(0, 1).mean(0))
    assert alignment_error(hybrid, ids).into[0, 1].item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_measuring_has_no_dropout_and_leaves_the_mode(component: Component, training: bool) -> None:
    hybrid = _build([component("gpt2"), component("gpt_neo", seed=1)], "aligned").train(training)
    first, second = (alignment_error(hybrid, _held_out()) for _ in range(2))
    assert torch.equal(first.into, second.into)
    assert torch.equal(first.out_of, second.out_of)
    assert hybrid.training is training


def test_scales_are_powers_of_two_near_the_sizes(twins: list[str]) -> None:
    hybrid = _build(twins, "identity")
    scales = hybrid.config.scales
    assert len(scales) == 3
    for row in scales:
        assert all(math.log2(scale).is_integer() for scale in row)
        assert row[1] == 8 * row[0]
    ids = torch.tensor(hybrid.tokenizer(TEXT_TO_FIT)["input_ids"])[None, :64]
    states = hybrid.components[0](ids, output_hidden_states=True).hidden_states
    for scale, state in zip([row[0] for row in scales[:2]], [states[0], states[2]], strict=True):
        assert 0.5 < state.square().mean().sqrt().item() / scale < 2


@torch.no_grad()
def test_one_hot_is_exact_under_scales(twins: list[str], tmp_path: Path) -> None:
    hybrid = _build(twins, "aligned")
    hybrid.save_pretrained(tmp_path)
    for model in (hybrid, ManticoreForCausalLM.from_pretrained(tmp_path)):
        assert model.config.scales == hybrid.config.scales
        for k, alone in enumerate(model.components):
            model.set_mixture_weights([float(k == 0), float(k == 1)])
            assert torch.equal(model(_held_out()).logits, alone(_held_out()).logits)
