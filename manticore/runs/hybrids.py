"""A run's hybrid, loaded from its result or rebuilt from one of its checkpoints."""

from pathlib import Path

from safetensors.torch import load_model

from manticore.hybrid import ManticoreForCausalLM
from manticore.runs.config import RunConfig
from manticore.train.assembly import Assembly
from manticore.train.layout import CHECKPOINTS_FOLDER, START_FOLDER

WEIGHTS_FILE = "model.safetensors"


def load_hybrid(folder: Path, config: RunConfig, source: Path) -> ManticoreForCausalLM:
    """The hybrid in `source`, in evaluation mode.

    Args:
        folder: the run's folder.
        config: the run's configuration.
        source: `result/hybrid` or a checkpoint of the run, as `Run.hybrid_source` gives it.

    Raises:
        OSError: `source` is not complete, or has gone since (a running search keeps only its newest
            checkpoints): ask for the newest again.
    """
    if source.parent.name != CHECKPOINTS_FOLDER:
        return ManticoreForCausalLM.from_pretrained(source).eval()
    # A checkpoint holds weights alone; the shape around them comes from where the run started.
    hybrid = ManticoreForCausalLM.from_pretrained(folder / START_FOLDER, dtype="auto")
    assembly = Assembly(hybrid, config)
    load_model(hybrid, source / WEIGHTS_FILE)
    assembly.dissolve()
    return hybrid.eval()
