"""The shared tokenizer: it restores any text, and every component has the same one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from manticore.components.zoo import zoo_names, zoo_path
from tools.zoo.tokenizer import spanish_prose, tokenizer_texts, train_tokenizer

TALE = "“Tom’s cat,” said the king,\n\nwas 12 years old. ¿Quién vive? —Nadie —dijo él."


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(zoo_path("tales-neox"))


@given(text=st.text(max_size=80))
def test_text_comes_back(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_no_special_token_is_added(tokenizer):
    ids = tokenizer(TALE)["input_ids"]
    assert not set(ids) & set(tokenizer.all_special_ids)
    assert tokenizer.decode(ids) == TALE


def test_all_components_share_it():
    vocabularies = [
        json.loads((zoo_path(name) / "tokenizer.json").read_text(encoding="utf-8"))["model"]
        for name in zoo_names()
    ]
    assert all(vocabulary == vocabularies[0] for vocabulary in vocabularies)


def test_common_words_of_both_languages_are_one_token(tokenizer):
    for word in (" king", " daughter", " forest", " caballero", " cuando", " señor"):
        assert len(tokenizer(word)["input_ids"]) == 1, word


def test_a_paragraphs_end_is_one_token(tokenizer):
    assert tokenizer.tokenize("end.\n\nNext")[1] == tokenizer.tokenize(".\n\n")[0]


def test_training_is_deterministic():
    first, second = (train_tokenizer([TALE * 20], vocab_size=300) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert len(first) == 300
    assert (first.eos_token_id, first.pad_token_id) == (0, 1)


def test_too_few_entries_is_an_error():
    with pytest.raises(ValueError, match=r"vocab_size=200 is too small.*258"):
        train_tokenizer([TALE], vocab_size=200)


def test_missing_text_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tales_en\.train\.txt is missing.*data_dir"):
        next(tokenizer_texts(tmp_path))


def test_notes_in_english_are_dropped_from_spanish():
    spanish = "En un lugar de la Mancha, de cuyo nombre no quiero acordarme."
    gloss = "=12= 5 =lugar=: in the older sense of a village, with which the author begins."
    preface = "This edition of the novel is meant for the use of schools and of colleges."
    assert spanish_prose(f"{preface}\n\n{spanish}\n\n{gloss}") == spanish
