"""A cache of the tests' own, and a text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from manticore.stories import generate_stories


@pytest.fixture(scope="session")
def with_bos(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The common tokenizer with <s>, which it puts before every text."""
    return add_bos(tokenizer, "<s>")


def add_bos(tokenizer: PreTrainedTokenizerFast, bos: str) -> PreTrainedTokenizerFast:
    """A copy of a tokenizer that puts `bos` before every text."""
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.add_special_tokens([bos])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
    )
    end = tokenizer.eos_token
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end, bos_token=bos)


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
