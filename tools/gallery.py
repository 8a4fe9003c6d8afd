"""Make the bundled runs that the page opens with: `python -m tools.gallery`.

Components stay as they are, so that only projectors, mixture weights and the router are kept.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

import manticore as mc
from manticore.runs.gallery import COMPONENTS, LEARNED_FILE
from manticore.store.events import EVENTS_FILE
from manticore.store.folder import CONFIG_FILE
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER

GALLERY = Path(__file__).parents[1] / "assets" / "gallery"
TRAINED = {"component_lr": 0.0, "batch_size": 4, "eval_every": 20, "eval_batches": 16}
ROUTED = {"strategy": "routed", "router": {"threshold": 0.3, "window": 4}}
PROGRAMMED = {"steps": 100, "eval_every": 20, "eval_batches": 4}

ENTRIES = {
    # All quick tasks, weighted alike: what the tab Program plays without a run of its own.
    "all-skills": {
        "components": ["zoo:tales-neox", "zoo:novelas-mamba"],
        "n_blocks": 4,
        "data": {"source": "bundled:stories-mixed"},  # which only other stages read
        "stages": {"program": PROGRAMMED},
    },
    "english-and-spanish": {
        "components": ["zoo:tales-neox", "zoo:novelas-mamba"],
        "n_blocks": 4,
        "head": "mixture",
        "data": {"source": "bundled:stories-mixed", "seq_len": 128},
        "stages": {"search": {**TRAINED, **ROUTED, "steps": 120}},
    },
}
"""Recipes of one stage. The page opens with the entry whose name comes last."""


def main() -> None:
    """Train the chosen entries, or all, and write them to the gallery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ENTRIES, []], help="entries; all by default")
    parser.add_argument("--root", type=Path, help="folder that keeps the runs, to continue later")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names or ENTRIES:
            print(name, _make(name, ENTRIES[name], options.root or Path(temporary)))


def _make(name: str, entry: dict[str, Any], root: Path) -> dict[str, Any]:
    run = mc.run_recipe(mc.Recipe.model_validate(entry), root=root)[-1]
    folder = GALLERY / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in (CONFIG_FILE, EVENTS_FILE):
        shutil.copyfile(run.folder / file, folder / file)
    shutil.copyfile(run.folder / RESULT_FOLDER / METRICS_FILE, folder / METRICS_FILE)
    if run.config.stage != "program":  # which leaves all weights but the mixture as they were built
        own = {
            key: tensor.contiguous()
            for key, tensor in run.hybrid().state_dict().items()
            if not key.startswith(COMPONENTS)
        }
        save_file(own, folder / LEARNED_FILE)
    return run.metrics()


if __name__ == "__main__":
    main()
