"""A run's hybrid, loaded from its result or rebuilt from one of its checkpoints."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_model

from manticore.config.run import RunConfig
from manticore.hybrid import ManticoreForCausalLM
from manticore.store.layout import CHECKPOINTS_FOLDER, START_FOLDER
from manticore.train.assembly import Assembly

WEIGHTS_FILE = "model.safetensors"


def load_hybrid(folder: Path, config: RunConfig, source: Path) -> ManticoreForCausalLM:
    """The hybrid of a run, in evaluation mode.

    Args:
        folder: Folder of the run.
        config: Configuration of the run.
        source: `result/hybrid` or a checkpoint of the run, as `Run.hybrid_source` gives it.

    Raises:
        OSError: `source` is not complete, or has gone since: a running search keeps only its newest
            checkpoints.
    """
    if source.parent.name != CHECKPOINTS_FOLDER:
        return ManticoreForCausalLM.from_pretrained(source).eval()
    # A checkpoint holds weights alone; the shape around them comes from where the run started.
    hybrid = ManticoreForCausalLM.from_pretrained(folder / START_FOLDER, dtype="auto")
    assembly = Assembly(hybrid, config)
    load_model(hybrid, source / WEIGHTS_FILE)
    assembly.dissolve()
    return hybrid.eval()


def weights_digest(hybrid: ManticoreForCausalLM) -> str:
    """SHA-256 of all weights with their names, types and shapes.

    Args:
        hybrid: Any hybrid.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(hybrid.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
