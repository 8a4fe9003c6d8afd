"""A small byte-level BPE tokenizer, trained on the spot, and a cache of the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from manticore.data import generate_stories

END = "<|endoftext|>"


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 600 entries: restores every text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(generate_stories("mixed", n_stories=60), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The token cache of one test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MANTICORE_CACHE", str(folder))
    return folder


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    """A text file of 60 paragraphs."""
    path = tmp_path / "prose.txt"
    stories = generate_stories("en", n_stories=12, seed=5)
    path.write_text("\n\n".join(stories), encoding="utf-8")
    return path
