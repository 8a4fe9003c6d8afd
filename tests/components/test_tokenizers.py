"""Transplanting a component onto another vocabulary, between every kind of real tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.components.tokenizers import token_texts, transplant
from tests.tiny import make_model
from tests.vocabularies import SPECIAL, TEXT, byte_level, legacy_llama, llama, unigram, wordpiece

Make = Callable[[], PreTrainedTokenizerFast]


def _model(own: PreTrainedTokenizerFast, family: str = "llama") -> PreTrainedModel:
    return make_model(family, vocab_size=len(own))


def _row(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *tokens: str) -> torch.Tensor:
    """(d,): the mean embedding of tokens, each of which the tokenizer has."""
    vocabulary = tokenizer.get_vocab()
    rows = model.get_input_embeddings().weight
    return rows[[vocabulary[token] for token in tokens]].mean(dim=0)


def _moved(
    make_own: Make, make_new: Make
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast, PreTrainedModel, PreTrainedTokenizerFast]:
    """A model with its tokenizer, and the same model transplanted, with the new tokenizer."""
    own, new = make_own(), make_new()
    moved = _model(own)
    transplant(moved, own, new)
    return _model(own), own, moved, new


WORD_STARTS = [
    # Own and new tokenizer, tokens of both that say " fox", and that say "x" inside a word.
    (byte_level, llama, "Ġfox", "▁fox", "x", "x"),
    (llama, byte_level, "▁fox", "Ġfox", "x", "x"),
    (legacy_llama, byte_level, "▁fox", "Ġfox", "x", "x"),
    (unigram, byte_level, "▁lantern", "Ġlantern", "e", "e"),
    (byte_level, unigram, "Ġlantern", "▁lantern", "e", "e"),
    (wordpiece, byte_level, "fox", "Ġfox", "##x", "x"),
    (byte_level, wordpiece, "Ġfox", "fox", "x", "##x"),
    (llama, wordpiece, "▁fox", "fox", "x", "##x"),
    (wordpiece, legacy_llama, "fox", "▁fox", "##x", "x"),
]


@pytest.mark.parametrize("case", WORD_STARTS, ids=lambda c: f"{c[0].__name__}-{c[1].__name__}")
def test_copied_rows_tell_word_starts_from_the_rest(case: tuple) -> None:
    make_own, make_new, own_start, new_start, own_inside, new_inside = case
    model, own, moved, new = _moved(make_own, make_new)
    for own_token, new_token in ((own_start, new_start), (own_inside, new_inside)):
        assert torch.equal(_row(moved, new, new_token), _row(model, own, own_token)), new_token
        new_id, own_id = new.get_vocab()[new_token], own.get_vocab()[own_token]
        heads = moved.lm_head.weight[new_id], model.lm_head.weight[own_id]
        assert torch.equal(*heads)


AVERAGED = [
    # Own and new tokenizer, a new token, and the own tokens that spell it inside a sentence.
    (llama, lambda: byte_level(text=["a lantern box\n"] * 4), "Ġbox", ["▁", "b", "o", "x"]),
    (legacy_llama, lambda: byte_level(text=["a lantern box\n"] * 4), "Ġbox", ["▁", "b", "o", "x"]),
    (llama, lambda: byte_level(text=["a-box-box"] * 4), "box", ["b", "o", "x"]),
    (legacy_llama, lambda: byte_level(text=["a-box-box"] * 4), "box", ["b", "o", "x"]),
    (wordpiece, lambda: byte_level(text=["a box box"] * 4), "Ġbox", ["b", "##o", "##x"]),
    (wordpiece, lambda: byte_level(text=["a-box-box"] * 4), "box", ["##b", "##o", "##x"]),
    (wordpiece, lambda: byte_level(text=["The FOX FOX"] * 4), "ĠFOX", ["fox"]),
    (legacy_llama, lambda: byte_level(text=["The FOX FOX"] * 4), "ĠFOX", ["▁fox"]),
    (byte_level, lambda: byte_level(text=["a box box"] * 4), "Ġbox", ["Ġ", "b", "o", "x"]),
    # "and" is a word of its own, and "ж" cannot be written.
    (wordpiece, lambda: byte_level(text=["x-ND-ND"] * 4), "ND", ["n", "##d"]),
    (unigram, lambda: byte_level(text=["xж xж"] * 9), "xÐ¶", ["x"]),
    # Bytes that are a character, and bytes that are only a piece of one.
    (llama, lambda: byte_level(text=["í í"] * 9), "ÃŃ", ["í"]),
    (byte_level, llama, "<0xE2>", ["â"]),
    (llama, byte_level, "â", ["<0xE2>"]),
    (llama, lambda: byte_level(text=["“a” “b”"] * 9), "âĢ", ["<0xE2>", "<0x80>"]),
    (llama, byte_level, "Ċ", ["<0x0A>"]),
    (byte_level, llama, "<0x0A>", ["Ċ"]),
]


@pytest.mark.parametrize("case", AVERAGED, ids=lambda c: f"{c[0].__name__}-{c[2]}")
def test_rows_are_the_mean_over_the_own_tokens(case: tuple) -> None:
    make_own, make_new, token, spelling = case
    model, own, moved, new = _moved(make_own, make_new)
    expected = _row(model, own, *spelling)
    torch.testing.assert_close(_row(moved, new, token), expected, rtol=1e-6, atol=1e-7)


def test_special_tokens_match_by_role() -> None:
    model, own, moved, new = _moved(llama, byte_level)
    # GPT-2's one token ends texts before all else.
    assert torch.equal(_row(moved, new, "<|endoftext|>"), _row(model, own, "</s>"))
    model, own, moved, new = _moved(byte_level, llama)
    for token in SPECIAL:
        assert torch.equal(_row(moved, new, token), _row(model, own, "<|endoftext|>"))


def test_a_special_token_without_counterpart_gets_the_mean() -> None:
    own, new = llama(), byte_level()
    new.add_special_tokens({"pad_token": "<fox>"})
    model, moved = _model(own), _model(own)
    report = transplant(moved, own, new)
    # Not the rows that spell it: those would make the model write it.
    mean = model.get_input_embeddings().weight.mean(dim=0)
    torch.testing.assert_close(_row(moved, new, "<fox>"), mean, rtol=1e-6, atol=1e-7)
    assert report.empty == 1
    assert moved.vocab_size == moved.config.vocab_size == len(new)
    assert moved.generation_config.pad_token_id == new.pad_token_id
    assert moved.config.pad_token_id == new.pad_token_id == moved.model.embed_tokens.padding_idx


def test_special_tokens_without_a_role_match_by_name() -> None:
    own, new = llama(), byte_level()
    for tokenizer, names in ((own, ["<|fox|>"]), (new, ["<|fox|>", "<|owl|>"])):
        # In tokenizer.json only, as chat tokens often are.
        tokenizer.backend_tokenizer.add_special_tokens(names)
    model, moved = _model(own), _model(own)
    assert transplant(moved, own, new).empty == 1
    assert torch.equal(_row(moved, new, "<|fox|>"), _row(model, own, "<|fox|>"))
    mean = model.get_input_embeddings().weight.mean(dim=0)
    torch.testing.assert_close(_row(moved, new, "<|owl|>"), mean, rtol=1e-6, atol=1e-7)


def test_text_that_the_component_cannot_write_gets_the_mean() -> None:
    model, _, moved, new = _moved(unigram, byte_level)
    mean = model.get_input_embeddings().weight.mean(dim=0)
    torch.testing.assert_close(_row(moved, new, "Ċ"), mean, rtol=1e-6, atol=1e-7)


def test_the_report_counts_every_row() -> None:
    own = byte_level(text=["a b"])
    new = byte_level(text=["a fox fox"] * 9)
    moved = _model(own)
    report = transplant(moved, own, new)
    missing = set(new.get_vocab()) - set(own.get_vocab())
    assert missing
    assert (report.copied, report.averaged, report.empty) == (257, len(missing), 0)
    assert report.copied_share == 257 / len(new)
    report = transplant(_model(wordpiece()), wordpiece(), llama())
    # WordPiece has neither lone bytes nor white space.
    assert report.empty > 100
    assert report.copied + report.averaged + report.empty == len(llama())


def _shuffled(own: PreTrainedTokenizerFast) -> tuple[PreTrainedTokenizerFast, torch.Tensor]:
    """The same byte-level tokenizer with other ids, and the (V,) own id of each new one."""
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(3))
    whole = json.loads(own.backend_tokenizer.to_str())
    new_id = {own_id: index for index, own_id in enumerate(order.tolist())}
    vocabulary = whole["model"]["vocab"]
    whole["model"]["vocab"] = {token: new_id[index] for token, index in vocabulary.items()}
    for added in whole["added_tokens"]:
        added["id"] = new_id[added["id"]]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(whole)),
        **dict.fromkeys(["bos_token", "eos_token", "unk_token"], "<|endoftext|>"),
    )
    return tokenizer, order


TIED = {
    "gpt2": True,
    "phi": False,
    "llama": False,
    "gpt_neox": False,
    "opt": True,
    "gemma2": True,
    "mamba": True,
    "mamba2": False,
}


@pytest.mark.parametrize(("family", "tied"), TIED.items())
@torch.no_grad()
def test_the_same_tokens_in_another_order_change_nothing(family: str, tied: bool) -> None:
    own = byte_level()
    new, order = _shuffled(own)
    model, moved = _model(own, family), _model(own, family)
    if family == "phi":
        model.lm_head.bias.copy_(torch.linspace(-1, 1, len(own)))
        moved.lm_head.bias.copy_(model.lm_head.bias)
    embedding, head = moved.get_input_embeddings(), moved.get_output_embeddings()
    assert (embedding.weight is head.weight) == tied
    report = transplant(moved, own, new)
    assert report.copied_share == 1
    assert (embedding.weight is head.weight) == tied
    ids = {"own": own(TEXT[0])["input_ids"][:40], "new": new(TEXT[0])["input_ids"][:40]}
    expected = model(torch.tensor([ids["own"]])).logits[..., order]
    # Torch may add up a product of matrices in another order when its columns are in another.
    torch.testing.assert_close(
        moved(torch.tensor([ids["new"]])).logits, expected, rtol=1e-5, atol=1e-5
    )


def _save(folder: Path, family: str, tokenizer: PreTrainedTokenizerFast, **options: int) -> str:
    make_model(family, vocab_size=len(tokenizer), **options).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def test_a_hybrid_of_two_vocabularies(tmp_path: Path) -> None:
    parts = [
        _save(tmp_path / "byte", "gpt_neox", byte_level()),
        _save(tmp_path / "piece", "mamba", llama(), width=48, seed=1),
    ]
    hybrid = build_hybrid(parts, 2, projector_init="random", mixture_weights=[0.6, 0.4])
    assert set(hybrid.transplants) == {"piece"}
    assert 0.3 < hybrid.transplants["piece"].copied_share < 1
    assert hybrid.config.vocab_size == len(byte_level())
    prompt = hybrid.tokenizer("Once upon a fox", return_tensors="pt")
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    made = hybrid.generate(**prompt, **options)
    assert made.shape[1] > prompt["input_ids"].shape[1]
    hybrid.save_pretrained(tmp_path / "hybrid")
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
    assert torch.equal(loaded(made).logits, hybrid(made).logits)
    assert loaded.tokenizer.decode(made[0]) == hybrid.tokenizer.decode(made[0])


@torch.no_grad()
def test_one_hot_on_a_transplanted_component_is_the_component(tmp_path: Path) -> None:
    own = byte_level()
    new, order = _shuffled(own)
    parts = [
        _save(tmp_path / "one", "llama", new),
        _save(tmp_path / "two", "gpt2", own, seed=1),
    ]
    hybrid = build_hybrid(parts, 2, projector_init="random", mixture_weights=[0.0, 1.0])
    alone = AutoModelForCausalLM.from_pretrained(parts[1])
    theirs = alone(own(TEXT[2], return_tensors="pt")["input_ids"][:, :40]).logits
    ours = hybrid(new(TEXT[2], return_tensors="pt")["input_ids"][:, :40]).logits
    torch.testing.assert_close(ours, theirs[..., order], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("make", [byte_level, llama, legacy_llama, unigram])
def test_the_texts_of_tokens_make_the_text_whatever_they_cut(make: Make) -> None:
    tokenizer = make()
    for text in ("The fox said: —¡Qué día! 日本 🦊.", "fox  fox", "¿"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        texts = token_texts(tokenizer, ids)
        assert len(texts) == len(ids)
        assert "".join(texts) == tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert token_texts(tokenizer, []) == []


def test_a_token_that_ends_within_a_character_adds_nothing() -> None:
    tokenizer = byte_level()
    fox = tokenizer("🦊", add_special_tokens=False)["input_ids"]
    assert len(fox) > 1
    assert token_texts(tokenizer, fox) == [*[""] * (len(fox) - 1), "🦊"]
    assert token_texts(tokenizer, fox[:1]) == ["\ufffd"]
