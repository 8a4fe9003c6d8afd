"""Packing: every token once, documents ended, the streamed and the stored sequences equal."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from manticore.data import packing
from manticore.data.packing import (
    IGNORED,
    PackedTokens,
    as_item,
    n_sequences,
    pack,
    token_blocks,
)
from tests.data.conftest import add_bos


def used(items: list[dict[str, torch.Tensor]]) -> list[int]:
    """The tokens of items in order, padding left out."""
    return [int(t) for item in items for t in item["labels"] if t != IGNORED]


@settings(max_examples=200)
@given(st.lists(st.lists(st.integers(0, 999), max_size=20), max_size=8), st.integers(2, 9))
def test_every_token_is_used_once_and_in_order(blocks, seq_len):
    tokens = [t for block in blocks for t in block]
    items = list(pack((np.asarray(b, dtype=np.int64) for b in blocks), seq_len, pad_id=7))
    lost = 1 if len(tokens) % seq_len == 1 else 0
    assert used(items) == tokens[: len(tokens) - lost]
    assert len(items) == n_sequences(len(tokens), seq_len)
    for item in items:
        assert item["input_ids"].shape == item["labels"].shape == (seq_len,)
        assert item["input_ids"].dtype == item["labels"].dtype == torch.long
        real = item["labels"] != IGNORED
        assert real.sum() >= 2
        assert torch.equal(item["input_ids"][real], item["labels"][real])
        assert (item["input_ids"][~real] == 7).all()


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 60000), min_size=2, max_size=60),
    st.integers(2, 9),
    st.sampled_from(["uint16", "uint32"]),
)
def test_a_file_of_tokens_gives_the_sequences_of_the_stream(
    tmp_path_factory, tokens, seq_len, dtype
):
    path = tmp_path_factory.mktemp("tokens") / "t.bin"
    np.asarray(tokens, dtype=dtype).tofile(path)
    stored = PackedTokens(path, dtype, len(tokens), seq_len, pad_id=3)
    streamed = list(pack([np.asarray(tokens)], seq_len, pad_id=3))
    assert len(stored) == len(streamed)
    for a, b in zip(stored, streamed, strict=True):
        assert torch.equal(a["input_ids"], b["input_ids"])
        assert torch.equal(a["labels"], b["labels"])
    assert torch.equal(stored[-1]["labels"], streamed[-1]["labels"])
    with pytest.raises(IndexError, match=f"There is no sequence {len(stored)}"):
        stored[len(stored)]


def test_a_document_ends_with_the_end_of_text_token(tokenizer):
    pieces = [("Once upon", False), (" a time.", True), ("The end.", True)]
    ids = np.concatenate(list(token_blocks(pieces, tokenizer)))
    assert tokenizer.decode(ids) == "Once upon a time.<|endoftext|>The end.<|endoftext|>"
    assert (ids == tokenizer.eos_token_id).sum() == 2


PIECES = [("Once upon", False), (" a time.", True), ("The end.", True), ("And more.", True)]


def test_bos_begins_each_document_where_the_tokenizer_adds_it(with_bos):
    ids = np.concatenate(list(token_blocks(PIECES, with_bos)))
    text = "<s>Once upon a time.</END><s>The end.</END><s>And more.</END>"
    assert with_bos.decode(ids) == text.replace("</END>", with_bos.eos_token)


def test_one_token_separates_documents_where_it_is_bos_and_end_of_text(tokenizer):
    both = add_bos(tokenizer, tokenizer.eos_token)
    ids = np.concatenate(list(token_blocks(PIECES, both)))
    parts = ["", "Once upon a time.", "The end.", "And more.", ""]
    assert both.decode(ids).split(both.eos_token) == parts


def test_documents_are_the_same_whatever_the_batches(with_bos, monkeypatch):
    whole = np.concatenate(list(token_blocks(PIECES, with_bos)))
    monkeypatch.setattr(packing, "BATCH", 1)
    assert np.array_equal(np.concatenate(list(token_blocks(PIECES, with_bos))), whole)


@pytest.mark.parametrize("limit", [1, 5, 100, 10**6])
def test_max_tokens_takes_the_beginning(tokenizer, limit):
    pieces = [("The fox had a lantern. " * 40, True)] * 5
    whole = np.concatenate(list(token_blocks(pieces, tokenizer)))
    part = np.concatenate(list(token_blocks(pieces, tokenizer, limit)))
    assert np.array_equal(part, whole[:limit])


def test_stored_sequences_pass_through_workers_and_pickles(tmp_path):
    path = tmp_path / "t.bin"
    np.arange(1000, dtype="uint16").tofile(path)
    data = PackedTokens(path, "uint16", 1000, 8, pad_id=0)
    assert data[0]["input_ids"].tolist() == list(range(8))
    assert len(pickle.dumps(data)) < 1000
    batches = list(DataLoader(data, batch_size=25, num_workers=2))
    assert torch.cat([b["input_ids"] for b in batches]).flatten().tolist() == list(range(1000))


def test_an_item_is_writable_and_its_labels_its_own():
    item = as_item(np.array([1, 2, 3]), 3, pad_id=0)
    item["labels"][0] = IGNORED
    assert item["input_ids"].tolist() == [1, 2, 3]
