"""A cache of the tests' own, and a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from manticore.stories import generate_stories


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
