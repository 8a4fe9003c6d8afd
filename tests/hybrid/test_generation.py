"""Text from a hybrid: it begins as its tokenizer begins, fits, and follows its seed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.generation import fitting_prompt, join_texts, sample_text
from manticore.hybrid.streaming import continue_text
from tests.tiny import make_model, make_tokenizer

Component = Callable[..., str]

GREEDY = {"temperature": 0.0, "top_p": 1.0}


@pytest.fixture(scope="module")
def hybrid(component: Component) -> ManticoreForCausalLM:
    """Of 64 learned positions; its tokenizer puts nothing before a text."""
    parts = [component("gpt2"), component("mamba", width=24)]
    return build_hybrid(parts, n_blocks=2, projector_init="identity")


def _with_bos(folder: Path, family: str) -> str:
    """A component whose tokenizer puts <s> before every text."""
    backend = make_tokenizer().backend_tokenizer
    backend.add_special_tokens(["<s>"])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="<|endoftext|>"
    )
    make_model(family, vocab_size=100).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> ManticoreForCausalLM:
    """One component that knows <s> before every text."""
    return build_hybrid([_with_bos(tmp_path_factory.mktemp("begun") / "gpt2", "gpt2")], 2)


# What a prompt becomes --------------------------------------------------------------------------


def test_a_prompt_begins_as_the_tokenizer_begins_a_text(
    hybrid: ManticoreForCausalLM, begun: ManticoreForCausalLM
) -> None:
    for model in (hybrid, begun):
        ids, _ = fitting_prompt(model, "Once upon a time", 8)
        assert ids.tolist() == [model.tokenizer("Once upon a time")["input_ids"]]
    assert ids[0, 0] == begun.tokenizer.bos_token_id


def test_a_token_that_begins_the_text_already_is_not_doubled(begun: ManticoreForCausalLM) -> None:
    once, _ = fitting_prompt(begun, "Once upon a time", 8)
    assert torch.equal(fitting_prompt(begun, "<s>Once upon a time", 8)[0], once)


def test_what_the_tokenizer_puts_after_a_text_is_left_out(begun: ManticoreForCausalLM) -> None:
    wanted, _ = fitting_prompt(begun, "a fox", 8)
    backend, ends = begun.tokenizer.backend_tokenizer, "<s> $A <|endoftext|>"
    before = backend.post_processor
    tokens = [(token, backend.token_to_id(token)) for token in ("<s>", "<|endoftext|>")]
    backend.post_processor = processors.TemplateProcessing(single=ends, special_tokens=tokens)
    try:
        assert begun.tokenizer("a fox")["input_ids"][-1] == begun.tokenizer.eos_token_id
        assert torch.equal(fitting_prompt(begun, "a fox", 8)[0], wanted)
    finally:
        backend.post_processor = before


@pytest.mark.parametrize("wanted", [8, 500])
def test_a_long_prompt_is_cut_at_its_start_and_keeps_its_first_token(
    hybrid: ManticoreForCausalLM, begun: ManticoreForCausalLM, wanted: int
) -> None:
    prompt = "the fox had a lantern " * 40
    for model in (hybrid, begun):
        assert model.max_length == 64
        ids, n_new = fitting_prompt(model, prompt, wanted)
        assert ids.shape[1] + n_new == 64
        assert n_new == min(wanted, 63)
        text = sample_text(model, prompt, wanted)
        assert text.startswith(model.tokenizer.decode(ids[0], skip_special_tokens=True))
        last = model.tokenizer(prompt, add_special_tokens=False)["input_ids"][-20:]
        if n_new == 8:
            assert ids[0, -20:].tolist() == last
    assert ids[0, 0] == begun.tokenizer.bos_token_id


@pytest.mark.parametrize("role", ["bos_token", "eos_token"])
@torch.no_grad()
def test_an_empty_prompt_begins_with_bos_or_else_with_eos(tmp_path: Path, role: str) -> None:
    roles = {"bos_token": None, "eos_token": None, role: "<|endoftext|>", "pad_token": "<|pad|>"}
    make_model("gpt2").save_pretrained(tmp_path)
    # Not what the model's own configuration says, but what its tokenizer has.
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").unlink()
    backend = make_tokenizer().backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend, **roles).save_pretrained(tmp_path)
    model = build_hybrid([tmp_path], 2)
    first = backend.token_to_id("<|endoftext|>")
    assert fitting_prompt(model, "", 8)[0].tolist() == [[first]]
    options = {"max_new_tokens": 4, "do_sample": False}
    wanted = model.generate(
        torch.tensor([[first]]), attention_mask=torch.ones(1, 1, dtype=torch.long), **options
    )
    empty = torch.zeros(1, 0, dtype=torch.long)
    assert torch.equal(model.generate(empty, **options), wanted)
    assert torch.equal(model.generate(empty, attention_mask=empty, **options), wanted)
    assert torch.equal(model.generate(**options), wanted)
    pair = model.generate(empty.expand(2, 0), **options)
    assert torch.equal(pair, wanted.expand(2, -1))
    written = model.tokenizer.decode(wanted[0], skip_special_tokens=True)
    assert sample_text(model, "", 4, temperature=0) == written
    assert ["", *continue_text(model, "", max_new_tokens=4, **GREEDY)][-1] == written


def test_an_empty_prompt_that_nothing_can_begin_is_refused(
    hybrid: ManticoreForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=make_tokenizer().backend_tokenizer)
    monkeypatch.setattr(hybrid, "tokenizer", bare)
    for name in ("bos_token_id", "eos_token_id"):
        monkeypatch.setattr(hybrid.generation_config, name, None)
    for write in (
        lambda: sample_text(hybrid, "", 4),
        lambda: list(continue_text(hybrid, "", max_new_tokens=4, **GREEDY)),
        lambda: hybrid.generate(torch.zeros(1, 0, dtype=torch.long), max_new_tokens=4),
    ):
        with pytest.raises(ValueError, match=r"neither a BOS nor an EOS token .* give a prompt"):
            write()


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("max_new_tokens", 0, "max_new_tokens=0 writes nothing: give 1 or more"),
        ("max_new_tokens", -3, "max_new_tokens=-3 writes nothing"),
        ("max_new_tokens", 2.5, "max_new_tokens=2.5 is not a whole number"),
        ("temperature", -1.0, r"temperature=-1.0 is not a temperature: give 0 or more"),
        ("temperature", float("nan"), "temperature=nan is not"),
        ("top_p", 0.0, r"top_p=0.0 is not a share"),
        ("top_p", 1.5, r"top_p=1.5 is not a share"),
    ],
)
def test_numbers_out_of_range_are_named(
    hybrid: ManticoreForCausalLM, option: str, value: float, error: str
) -> None:
    options = {"max_new_tokens": 4, "temperature": 0.8, "top_p": 0.9, option: value}
    for write in (
        lambda: sample_text(hybrid, "a", **options),
        lambda: list(continue_text(hybrid, "a", **options)),
    ):
        with pytest.raises((TypeError, ValueError), match=error):
            write()


def test_a_hybrid_without_a_tokenizer_writes_no_text(
    hybrid: ManticoreForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid, "tokenizer", None)
    with pytest.raises(ValueError, match=r"no tokenizer: set hybrid\.tokenizer"):
        sample_text(hybrid, "a", 4)


# Samples ----------------------------------------------------------------------------------------


def test_a_seed_gives_a_text_and_disturbs_nothing(hybrid: ManticoreForCausalLM) -> None:
    hybrid.train()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    texts = [sample_text(hybrid, "Once", 12, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), expected)
    assert texts[0] == texts[1] != texts[2]
    assert hybrid.training
    hybrid.eval()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a b"), (["a ", "b"], "a b"), (["a", "\nb"], "a\nb")],
)
def test_pieces_join_as_one_text(pieces: list[str], text: str) -> None:
    assert join_texts(pieces) == text
