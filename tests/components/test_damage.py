"""Copies of bundled components that are damaged on purpose."""

import pytest
import torch

import manticore as mc
from app.hybrid_form import check_hybrid
from manticore.components.loading import ComponentError
from manticore.components.places import files_of

WHOLE = "zoo:tales-neox"


def _weights(source: str) -> dict[str, torch.Tensor]:
    return mc.load_component(source).model.state_dict()


def _changed_layers(source: str) -> set[int]:
    """The layers of a copy whose matrices are others; all else must be as it was."""
    whole, copy = _weights(WHOLE), _weights(source)
    changed = [name.split(".") for name in whole if not torch.equal(whole[name], copy[name])]
    assert {(*name[:2], name[-1]) for name in changed} == {("gpt_neox", "layers", "weight")}
    return {int(name[2]) for name in changed}


def test_only_the_layers_that_are_named_are_damaged() -> None:
    assert _changed_layers(f"{WHOLE}?damaged=0,4") == {0, 4}


def test_the_same_name_gives_the_same_weights() -> None:
    source = f"{WHOLE}?damaged=1&noise=0.5"
    first, again, other = (_weights(name) for name in (source, source, f"{source}&seed=1"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_noise_is_a_share_of_the_spread_of_the_weights() -> None:
    name = "gpt_neox.layers.2.mlp.dense_h_to_4h.weight"
    whole, copy = _weights(WHOLE)[name], _weights(f"{WHOLE}?damaged=2&noise=0.5")[name]
    assert (copy - whole).std().item() == pytest.approx(0.5 * whole.std().item(), rel=0.01)


def test_a_copy_has_the_name_and_the_files_of_its_component() -> None:
    source = f"{WHOLE}?damaged=2"
    assert mc.load_component(source).name == "tales-neox"
    assert mc.load_component(source).source == source
    assert files_of(source) == files_of(WHOLE)
    check_hybrid([source, WHOLE], 6)


def test_copies_hand_on_what_the_other_takes_in() -> None:
    copies = [f"{WHOLE}?damaged={layers}&noise=2" for layers in ("0,1,2", "3,4,5")]
    hybrid = mc.build_hybrid(copies, 6, projector="identity", projector_init="identity")
    assert hybrid.component_names == ["tales-neox-1", "tales-neox-2"]
    for first, second in hybrid.config.scales:
        assert first == second
    hybrid.set_mixture_weights([[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 3)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        whole = mc.load_component(WHOLE).model(ids).logits
        torch.testing.assert_close(hybrid(ids).logits, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "damaged=0,2"),
        ("seed=1", "damaged"),
        ("damaged=", "valid integer"),
        ("damaged=one", "valid integer"),
        ("damaged=-1", "greater than or equal to 0"),
        ("damaged=0&noise=0", "greater than 0"),
        ("damaged=0&nose=1", "Did you mean 'noise'"),
        ("damaged", "damaged=0,2"),
        ("damaged=0,6", "no layer 6: the component has 6 layers, 0 to 5"),
    ],
)
def test_what_is_wrong_is_named(query: str, says: str) -> None:
    with pytest.raises(ComponentError) as error:
        mc.load_component(f"{WHOLE}?{query}")
    assert says in str(error.value)
    assert f"{WHOLE}?{query}" in str(error.value)


def test_the_page_refuses_a_name_before_a_run_is_started() -> None:
    with pytest.raises(ValueError, match=r"write zoo:tales-neox\?damaged=0,2"):
        check_hybrid([f"{WHOLE}?seed=1"], 2)
