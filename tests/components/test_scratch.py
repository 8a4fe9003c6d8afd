"""Components from nothing: reproducible, of every family, and refused in clear words."""

import pytest
import torch

import manticore as mc
from manticore.components.loading import ComponentError
from manticore.components.scratch import ARCHITECTURES, Scratch, number_tokenizer


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_the_same_name_gives_the_same_weights(family: str) -> None:
    source = f"scratch:{family}?vocabulary=20&layers=3&width=64&length=40"
    first, again = mc.load_component(source), mc.load_component(source)
    other = mc.load_component(f"{source}&seed=1")
    assert first.runner.depth == 3
    assert first.model.config.hidden_size == 64
    ids = torch.arange(20)[None]
    with torch.no_grad():
        logits = first.model(ids).logits
        assert logits.shape == (1, 20, 20)
        assert torch.equal(again.model(ids).logits, logits)
        assert not torch.equal(other.model(ids).logits, logits)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16, "auto", "float32"])
def test_weights_get_the_type_that_was_asked_for(dtype: torch.dtype | str) -> None:
    model = mc.load_component("scratch:gpt_neox", dtype=dtype).model
    wanted = torch.float32 if dtype in ("auto", "float32") else torch.bfloat16
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}
    # Rotary tables are exact whatever the weights are.
    exact = mc.load_component("scratch:gpt_neox").model
    for name, table in model.named_buffers():
        assert torch.equal(table, exact.get_buffer(name)), name


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_hybrid_of_one_is_the_component(family: str) -> None:
    source = f"scratch:{family}?vocabulary=20&length=40"
    hybrid = mc.build_hybrid([source])
    ids = torch.arange(12)[None]
    with torch.no_grad():
        expected = mc.load_component(source).model(ids).logits
        torch.testing.assert_close(hybrid(ids).logits, expected)


def test_blocks_that_fit_each_other_start_as_a_plain_mixture() -> None:
    parts = [f"scratch:{family}?layers=2" for family in ("gpt_neo", "mamba")]
    hybrid = mc.build_hybrid(parts, projector_init="identity")
    assert hybrid.component_names == ["gpt_neo", "mamba"]
    assert hybrid.config.vocab_size == 16
    out = hybrid.generate(torch.tensor([[3, 1, 4]]), max_new_tokens=3, do_sample=False)
    assert out.shape == (1, 6)


def test_a_name_says_all_that_there_is() -> None:
    scratch = Scratch(family="llama", width=64, seed=3)
    assert Scratch.parse(scratch.source) == scratch
    assert Scratch.parse("scratch:llama") == Scratch(family="llama")


def test_numbers_are_read_and_written() -> None:
    tokenizer = number_tokenizer(300)
    ids = tokenizer("7 299 0")["input_ids"]
    assert ids == [7, 299, 0]
    assert tokenizer.decode(ids) == "7 299 0"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("scratch:gpt_nex", "Did you mean 'gpt_neox'"),
        ("scratch:mamba?layer=2", "layer"),
        ("scratch:mamba?width=100", "multiple of 32"),
        ("scratch:mamba?layers=0", "layers"),
        ("scratch:mamba?layers", "vocabulary=16"),
    ],
)
def test_what_cannot_be_made_is_refused(source: str, says: str) -> None:
    with pytest.raises(ComponentError, match=says):
        mc.load_component(source)
