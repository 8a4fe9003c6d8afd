"""A text for tiny components, and runs of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manticore.runs import RunConfig
from manticore.runs.config import option_field
from tests.tiny import TEXT


def write_text(folder: Path) -> Path:
    """`text.txt` in `folder`, written once: a run may be reading it already."""
    path = folder / "text.txt"
    if not path.exists():
        path.write_text("\n\n".join(TEXT * 60))
    return path


def run_config(
    folder: Path,
    components: Sequence[str],
    stage: str = "search",
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> RunConfig:
    """A run of two blocks on the CPU over the text in `folder`, with a token cache beside it.

    Args:
        folder: Of the text and the cache.
        components: Folders of tiny components.
        stage: What the run does.
        options: Of the stage.
        fields: Other fields of the configuration, or other values of those above.
    """
    source = str(write_text(folder))
    said = {
        "stage": stage,
        "components": components,
        "n_blocks": 2,
        "projector_init": "identity",
        "data": {"source": source, "seq_len": 16, "cache_dir": str(folder / "cache")},
        "device": "cpu",
        option_field(stage): options or {},
    }
    return RunConfig(**said | fields)
