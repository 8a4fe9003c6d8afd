"""Ids: the highest one counts, and what the tokenizer puts before a text."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from manticore.data.token_ids import (
    end_of_text_id,
    leading_ids,
    tokenizer_fingerprint,
    vocabulary_size,
)

WORDS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "fox": 3, "a": 4}


def word_level(template: str | None = None, **vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, with what its template puts around a text."""
    backend = Tokenizer(models.WordLevel({**WORDS, **vocabulary}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template is not None:
        special = [("[CLS]", 1), ("[SEP]", 2)]
        backend.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=special
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="[CLS]", eos_token="[SEP]")


def test_the_vocabulary_ends_at_the_highest_id():
    assert vocabulary_size(word_level()) == 5
    assert vocabulary_size(word_level(far=70_000)) == 70_001


def test_the_end_of_text_is_one_id(tokenizer):
    assert end_of_text_id(word_level()) == 2
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(ValueError, match="no end-of-text token"):
        end_of_text_id(bare)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, []),
        ("$A", []),
        ("[CLS] $A", [1]),
        ("$A [SEP]", []),
        ("[CLS] $A [SEP]", [1]),
        ("[CLS] [SEP] $A", [1, 2]),
    ],
)
def test_what_the_tokenizer_puts_before_a_text_is_found(template, expected):
    assert leading_ids(word_level(template)) == expected


def test_it_is_found_where_the_tokenizer_does_not_know_every_letter():
    notes = models.WordLevel({"[CLS]": 0, "[SEP]": 1, "C4": 2}, unk_token="[UNK]")  # has no [UNK]
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(notes), eos_token="[SEP]")
    assert leading_ids(bare) == []
    backend = Tokenizer(models.BPE({"[CLS]": 0, "[SEP]": 1, "x": 2}, []))  # leaves "a" out
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 0)]
    )
    led = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="[CLS]", eos_token="[SEP]")
    assert leading_ids(led) == [0]


def test_the_fingerprint_tells_tokenizers_apart_by_their_ids(tokenizer, with_bos):
    templates = (None, "[CLS] $A", "[CLS] [SEP] $A")
    found = {tokenizer_fingerprint(word_level(template)) for template in templates}
    found |= {tokenizer_fingerprint(one) for one in (tokenizer, with_bos, word_level(far=9))}
    assert len(found) == 6


def test_padding_somewhere_else_does_not_change_a_tokenizer(tokenizer):
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer(["a", "a longer text"], padding=True, truncation=True, max_length=8)
    assert tokenizer_fingerprint(tokenizer) == before
