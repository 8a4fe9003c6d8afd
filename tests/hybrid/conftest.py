"""Hybrids of these tests are measured and fitted on less text than those of users."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _little_text(request: pytest.FixtureRequest) -> Iterator[None]:
    """256 tokens, or as many as a module asks for with `ALIGNMENT_TOKENS`."""
    with pytest.MonkeyPatch.context() as patch:
        tokens = getattr(request.module, "ALIGNMENT_TOKENS", 256)
        patch.setattr("manticore.hybrid.build.ALIGNMENT_TOKENS", tokens)
        yield
