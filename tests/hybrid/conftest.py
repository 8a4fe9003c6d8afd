"""Hybrids of these tests are measured and fitted on less text than those of users."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _little_text() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("manticore.hybrid.build.ALIGNMENT_TOKENS", 1024)
        yield
