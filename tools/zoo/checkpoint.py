"""Training state in one file, which is replaced as a whole: it is never half-written."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tools.zoo.recipes import ZooRecipe

CHECKPOINT_FILE = "checkpoint.pt"

# May differ between the run that wrote a checkpoint and the one that continues from it: `steps`
# moves only what lies ahead (see ZooRecipe), and texts for people do not change the training.
_FREE_FIELDS = {"steps", "summary", "prompt"}


class RecipeMismatchError(ValueError):
    """A checkpoint was written under another recipe."""


def save_checkpoint(
    folder: Path,
    *,
    recipe: ZooRecipe,
    model: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    step: int,
    seconds: float,
    losses: list[tuple[int, float]],
) -> None:
    """Write everything that the rest of training depends on.

    Batches are a function of the step, so that `step` is the position in the data, too.

    Args:
        folder: Folder of the checkpoint; created if it does not exist.
        recipe: Recipe of the component.
        model: The component in training.
        optimizer: Its optimizer.
        scheduler: Schedule of its learning rate.
        step: Number of steps done.
        seconds: Time trained so far.
        losses: (step, nats per token) so far.
    """
    state = {
        "recipe": recipe.model_dump(mode="json"),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "step": step,
        "seconds": seconds,
        "losses": losses,
    }
    if torch.cuda.is_available():
        state["cuda_rng"] = torch.cuda.get_rng_state_all()
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{CHECKPOINT_FILE}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / CHECKPOINT_FILE)


def load_checkpoint(
    folder: Path,
    *,
    recipe: ZooRecipe,
    model: nn.Module,
    optimizer: Optimizer,
    scheduler: LRScheduler,
) -> dict[str, Any] | None:
    """Load a saved state into model, optimizer and schedule, in place.

    Args:
        folder: Folder of the checkpoint.
        recipe: Recipe of the component.
        model: The component in training.
        optimizer: Its optimizer.
        scheduler: Schedule of its learning rate.

    Returns:
        The state (a caller needs `step`, `seconds`, `losses`), or None if there is none.

    Raises:
        RecipeMismatchError: The checkpoint is of another recipe, or is past a step from which on
            the new number of steps would change the training.
    """
    file = folder / CHECKPOINT_FILE
    if not file.is_file():
        return None
    state = torch.load(file, map_location="cpu", weights_only=True)
    _check_recipe(state["recipe"], recipe, state["step"], file)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    torch.set_rng_state(state["torch_rng"])
    if "cuda_rng" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_rng"])
    return state


def _check_recipe(saved: dict[str, Any], recipe: ZooRecipe, step: int, file: Path) -> None:
    wanted = recipe.model_dump(mode="json")
    changed = sorted(
        key for key in wanted if key not in _FREE_FIELDS and wanted[key] != saved.get(key)
    )
    if changed:
        raise RecipeMismatchError(
            f"{file} was written with another {', '.join(changed)}. Remove the file to start again."
        )
    old = recipe.model_copy(update={"steps": saved["steps"]})
    shared = min(recipe.fixed_until(), old.fixed_until())
    if recipe.steps != old.steps and step > shared:
        raise RecipeMismatchError(
            f"{file} is at step {step} of {old.steps}, and a training of {recipe.steps} steps "
            f"differs from step {shared} on. Keep {old.steps}, or remove the file to start again."
        )
