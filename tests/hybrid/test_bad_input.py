"""Bad input to a hybrid is refused: the message names the value, the limit and the remedy."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from manticore import ManticoreForCausalLM, build_hybrid, load_component
from manticore.components.loading import ComponentError
from manticore.hybrid.mixture import check_mixture_weights
from tests.tiny import VOCAB_SIZE, make_model, make_tokenizer

Component = Callable[..., str]


@pytest.fixture(scope="module")
def parts(component: Component) -> list[str]:
    """Without learned positions and with 64; of 4 and of 3 layers."""
    return [component("gpt_neox"), component("gpt2", layers=3)]


@pytest.fixture(scope="module")
def hybrid(parts: list[str]) -> ManticoreForCausalLM:
    return build_hybrid(parts, 2, projector_init="random")


def _ids(length: int) -> torch.Tensor:
    return torch.randint(
        2, VOCAB_SIZE, (1, length), generator=torch.Generator().manual_seed(length)
    )


# Building -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_blocks", [5, 4, 0, -1])
def test_blocks_that_do_not_fit(parts: list[str], n_blocks: int) -> None:
    shallowest = parts[1].rsplit("/", 1)[-1]
    said = f"n_blocks={n_blocks} does not fit '{shallowest}', which has 3 layers: .* from 1 to 3"
    with pytest.raises(ValueError, match=said):
        build_hybrid(parts, n_blocks, projector_init="identity")


@pytest.mark.parametrize("count", [0, 5])
def test_a_number_of_components_that_cannot_be(parts: list[str], count: int) -> None:
    with pytest.raises(ValueError, match=f"takes 1 to 4 components, not {count}"):
        build_hybrid([parts[0]] * count, 2)


def test_one_name_in_place_of_a_list(parts: list[str]) -> None:
    for one in (parts[0], load_component(parts[0])):
        with pytest.raises(ValueError, match=r"list of components.*build_hybrid\(\["):
            build_hybrid(one, 2)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("projector", "liner", "projector 'liner'. Did you mean 'linear'. .*: linear, identity"),
        ("projector", ["mlp"], r"Unknown projector \['mlp'\]"),
        ("projector_init", "zeros", "projector_init 'zeros'. .*: aligned, identity, random"),
        ("head", "old", "head 'old'. .*: mixed, mixture, new"),
        ("tokenizer_from", 2, "tokenizer_from=2 names none of the 2 components: choose 0 to 1"),
        ("tokenizer_from", -1, "tokenizer_from=-1 names none of the 2 .*: choose 0 to 1"),
        ("alignment_text", "A fox.", r"is \d tokens long in the vocabulary .* at least 64"),
        ("alignment_text", "", r"is 0 tokens long in the vocabulary .* at least 64"),
        (
            "alignment_text",
            "z" * 200,
            r"100% of alignment_text is the token 'z'.* cannot be fitted",
        ),
        ("device", "", "no device '' here: choose cpu"),
        ("device", "gpu", "no device 'gpu' here: choose cpu"),
        ("device", "cuda:99", "no device 'cuda:99' here: choose cpu"),
        ("device", "meta", "'meta' holds no weights: choose cpu"),
        ("mixture_weights", [0.7, 0.2], "must sum to 1; the rows sum to .*Divide each row"),
    ],
)
def test_options_that_cannot_be(parts: list[str], option: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build_hybrid(parts, 2, **{"projector_init": "identity", option: value})


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("components", None, "must be a list, .* not None"),
        ("components", {"gpt2", "mamba"}, "must be a list, as their order counts"),
        ("components", iter(["gpt2"]), "must be a list, .*iterator"),
        ("components", [None], "None is not a component: give zoo:NAME"),
        ("components", [["gpt2"]], r"\['gpt2'\] is not a component"),
        ("n_blocks", "2", "n_blocks='2' is not a whole number"),
        ("n_blocks", 2.0, "n_blocks=2.0 is not a whole number"),
        ("n_blocks", True, "n_blocks=True is not a whole number"),
        ("tokenizer_from", "0", "tokenizer_from='0' names none of the 2 .*: choose 0 to 1"),
        ("tokenizer_from", None, "tokenizer_from=None names none of the 2"),
        ("seed", "x", "seed='x' is not a whole number"),
        ("seed", None, "seed=None is not a whole number"),
        ("dtype", "float32", "dtype='float32' is not a type of weights: give torch.float32"),
        ("dtype", torch.int8, "dtype=torch.int8 is not a type of weights"),
        ("device", None, "device=None is not a device: choose cpu"),
        ("alignment_text", ["A fox."], r"alignment_text=\['A fox.'\] is not a text"),
    ],
)
def test_arguments_of_another_type(parts: list[str], option: str, value: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        build_hybrid(**{"components": parts, "projector_init": "identity", option: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("beside", [True, False])
def test_weights_of_a_component_that_are_no_numbers(
    parts: list[str], tmp_path: Path, value: float, beside: bool
) -> None:
    model = make_model("llama")
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight[3, 5] = value
    folder = tmp_path / "merged"
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    said = r"'merged' has weights that are not finite .* model\.layers\.2\.mlp\.down_proj\.weight"
    for part in (str(folder), load_component(folder)):
        with pytest.raises(ValueError, match=said):
            build_hybrid([parts[0], part] if beside else [part], 2)


def test_weights_too_large_for_the_type_given(parts: list[str], tmp_path: Path) -> None:
    model = make_model("llama")
    with torch.no_grad():
        model.model.norm.weight[0] = 1e6
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model\.norm\.weight \(float16\): .*torch\.float32"):
        build_hybrid([tmp_path], 2, dtype=torch.float16)
    build_hybrid([tmp_path], 2)


def test_states_too_large_for_the_type_given(parts: list[str], tmp_path: Path) -> None:
    model = make_model("llama")
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(3e4 / layer.mlp.down_proj.weight.abs().max())
    model.save_pretrained(tmp_path / "loud")
    make_tokenizer().save_pretrained(tmp_path / "loud")
    said = r"hidden states of the component 'loud' are not finite after \d of 2 blocks"
    with pytest.raises(ValueError, match=said):
        build_hybrid([parts[0], tmp_path / "loud"], 2, dtype=torch.float16)


def test_a_component_that_cannot_be_loaded(parts: list[str]) -> None:
    with pytest.raises(ComponentError, match="/nowhere/fox"):
        build_hybrid([parts[0], "/nowhere/fox"], 2)


# Mixture weights ----------------------------------------------------------------------------------

_SIZES = st.tuples(st.integers(1, 6), st.integers(1, 4))


def _tables(least: float = 0.0) -> st.SearchStrategy[torch.Tensor]:
    """(N, K) float32 tables of numbers up to 1."""
    numbers = st.floats(least, 1, width=32, allow_subnormal=False)
    return _SIZES.flatmap(lambda size: hnp.arrays("float32", size, elements=numbers)).map(
        torch.from_numpy
    )


def _on_simplex(table: torch.Tensor) -> torch.Tensor:
    return table / table.sum(dim=1, keepdim=True)


@given(_tables())
def test_valid_mixture_weights_are_taken_to_the_last_bit(table: torch.Tensor) -> None:
    assume((table.sum(dim=1) > 1e-3).all())
    alpha = _on_simplex(table)
    assert torch.equal(check_mixture_weights(alpha, *alpha.shape), alpha)
    assert torch.equal(check_mixture_weights(alpha.tolist(), *alpha.shape), alpha)
    row = check_mixture_weights(alpha[0], *alpha.shape)
    if alpha.shape != (alpha.shape[1],):
        assert torch.equal(row, alpha[:1].repeat(len(alpha), 1))


@given(_tables(1 / 64), st.data())
def test_rows_off_the_simplex_are_refused(table: torch.Tensor, data: st.DataObject) -> None:
    alpha = _on_simplex(table)
    row = data.draw(st.integers(0, len(alpha) - 1))
    column = data.draw(st.integers(0, alpha.shape[1] - 1))
    change = data.draw(st.floats(1e-5, 2.0))
    alpha[row, column] += change
    with pytest.raises(ValueError, match=r"must sum to 1; the rows sum to .*Divide each row"):
        check_mixture_weights(alpha, *alpha.shape)
    # Balancing the row again does not help where it takes a negative weight.
    if alpha.shape[1] > 1:
        other = (column + 1) % alpha.shape[1]
        alpha[row, other] -= change
        if alpha[row, other] < 0:
            with pytest.raises(ValueError, match=r"finite and not negative.*Give shares"):
                check_mixture_weights(alpha, *alpha.shape)


@given(_tables(1 / 64), st.sampled_from([float("nan"), float("inf"), -float("inf")]), st.data())
def test_weights_that_are_not_finite_are_refused(
    table: torch.Tensor, value: float, data: st.DataObject
) -> None:
    alpha = _on_simplex(table)
    alpha[data.draw(st.integers(0, len(alpha) - 1)), -1] = value
    with pytest.raises(ValueError, match=rf"finite and not negative: .*{value}"):
        check_mixture_weights(alpha, *alpha.shape)


@given(st.lists(st.integers(0, 5), max_size=3).map(tuple), _SIZES)
def test_tables_of_another_shape_are_refused(given_shape: tuple, size: tuple) -> None:
    assume(given_shape not in (size, size[1:]))
    alpha = torch.full(given_shape, 0.5)
    limits = re.escape(f"give {size}") + ".*one row per block.*" + re.escape(f"({size[1]},)")
    with pytest.raises(ValueError, match=re.escape(f"shape {given_shape}") + ".*" + limits):
        check_mixture_weights(alpha, *size)


@pytest.mark.parametrize(
    "alpha", ["uniform", None, [[1.0, 0.0], [1.0]], {"neox": 1.0}, torch.tensor([0.5 + 0.5j, 0.5])]
)
def test_what_is_no_table_of_numbers_is_refused(alpha: object) -> None:
    with pytest.raises(ValueError, match=r"Mixture weights must be .* not "):
        check_mixture_weights(alpha, 2, 2)


def test_refused_weights_leave_the_hybrid_as_it_was(hybrid: ManticoreForCausalLM) -> None:
    before = hybrid.mixture_weights
    with pytest.raises(ValueError, match="must sum to 1"):
        hybrid.set_mixture_weights([[0.5, 0.5], [0.5, 0.6]])
    assert torch.equal(hybrid.mixture_weights, before)


# Sequences ----------------------------------------------------------------------------------------

TOO_LONG = r"65 tokens is too long: the component '.*' takes at most 64 tokens\. Shorten"


@torch.no_grad()
def test_sequences_longer_than_learned_positions(hybrid: ManticoreForCausalLM) -> None:
    assert hybrid.max_length == 64
    assert hybrid(_ids(64)).logits.shape[1] == 64
    with pytest.raises(ValueError, match=TOO_LONG):
        hybrid(_ids(65))
    past = hybrid(_ids(64), use_cache=True).past_key_values
    with pytest.raises(ValueError, match=TOO_LONG):
        hybrid(_ids(1), past_key_values=past)


@pytest.mark.parametrize("use_cache", [True, False])
def test_generating_beyond_learned_positions(hybrid: ManticoreForCausalLM, use_cache: bool) -> None:
    ids = _ids(60)
    options = {"attention_mask": torch.ones_like(ids), "do_sample": False, "use_cache": use_cache}
    options["eos_token_id"] = VOCAB_SIZE + 1  # Never: it goes on.
    # The last token needs no position: nothing follows it.
    assert hybrid.generate(ids, max_new_tokens=5, **options).shape[1] == 65
    with pytest.raises(ValueError, match=TOO_LONG):
        hybrid.generate(ids, max_new_tokens=6, **options)


@torch.no_grad()
def test_a_component_of_weight_zero_limits_nothing(hybrid: ManticoreForCausalLM) -> None:
    alone = copy.deepcopy(hybrid)
    alone.set_mixture_weights([1.0, 0.0])
    theirs = alone.components[0](_ids(80)).logits
    torch.testing.assert_close(alone(_ids(80)).logits, theirs, rtol=1e-4, atol=2e-5)
    # Where it takes part at all, it does limit.
    alone.set_mixture_weights([[1.0, 0.0], [0.5, 0.5]])
    with pytest.raises(ValueError, match="80 tokens is too long"):
        alone(_ids(80))
