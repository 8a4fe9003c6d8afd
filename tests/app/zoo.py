"""A folder of tiny components with cards, in the place of the bundled ones."""

import json
from pathlib import Path

import pytest

from tests.tiny import save_component
from tests.tiny_runs import write_text

FAMILIES = {"tiny-neox": ("gpt_neox", 32), "tiny-mamba": ("mamba", 24)}


def make_zoo(folder: Path) -> Path:
    """Two random components under `folder`, made once."""
    for name, (family, width) in FAMILIES.items():
        if (folder / name / "card.json").exists():
            continue
        save_component(folder / name, family, width=width, layers=4)
        card = {
            "name": name,
            "model_type": family,
            "parameters": 50_000,
            "width": width,
            "depth": 4,
            "language": "en",
            "perplexity": {"bundled:stories-en, held out": {"perplexity": 95.0}},
        }
        (folder / name / "card.json").write_text(json.dumps(card))
    return folder


def use_tiny_zoo(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have everything in `folder`: the components, a text, the token cache and the runs."""
    patch.setenv("MANTICORE_ZOO", str(make_zoo(folder / "zoo")))
    patch.setenv("MANTICORE_CACHE", str(folder / "cache"))
    patch.setenv("MANTICORE_RUNS", str(folder / "runs"))
    patch.setenv("OMP_NUM_THREADS", "1")
    write_text(folder)
