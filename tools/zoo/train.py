"""Training of a bundled component: deterministic by seed, and resumable however it ended."""

import logging
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    get_wsd_schedule,
)

from manticore.components.mixers.fast import use_fast_mixers
from tools.zoo.blend import training_phases
from tools.zoo.cards import VALIDATION_TEXTS, export_component
from tools.zoo.checkpoint import load_checkpoint, save_checkpoint
from tools.zoo.recipes import ZooRecipe, get_recipe
from tools.zoo.tokenizer import check_text, shared_tokenizer

logger = logging.getLogger(__name__)

FINAL_LEARNING_RATE = 0.1
"""Learning rate of the last step, relative to the highest one."""


def train_component(
    name: str | ZooRecipe,
    *,
    data_dir: Path,
    out_dir: Path,
    work_dir: Path,
    device: str | None = None,
    steps: int | None = None,
    precision: str | None = None,
    checkpoint_every: int = 200,
    stop_after: int | None = None,
) -> Path | None:
    """Train a bundled component from its recipe and write it where `zoo_path` finds it.

    A second call with the same `work_dir` continues from the last checkpoint. On a CPU in float32 a
    run that was interrupted has the losses and weights of one that was not, bit for bit.

    Args:
        name: Name in RECIPES, or a recipe of your own.
        data_dir: Folder with the texts of the recipe.
        out_dir: Folder; the component is written to `out_dir/NAME`.
        work_dir: Folder for checkpoints, encoded texts and the tokenizer.
        device: "cpu", "cuda" or None for the best one available.
        steps: Number of steps, instead of the recipe's.
        precision: "bf16" (autocast) or "no" (float32); None takes bf16 where the hardware has it.
        checkpoint_every: Number of steps between checkpoints.
        stop_after: Number of steps to stop after, with a checkpoint and without an export.

    Returns:
        The component's folder, or None if `stop_after` ended the run.

    Raises:
        UnknownNameError: No recipe has that name.
        FileNotFoundError: A text is not in `data_dir`.
        RecipeMismatchError: `work_dir` holds a checkpoint of another recipe.
        FloatingPointError: The loss is not finite.
        ValueError: The device is not available, or texts are too short for the recipe's rows.
    """
    recipe = name if isinstance(name, ZooRecipe) else get_recipe(name)
    if steps is not None:
        recipe = ZooRecipe.model_validate({**recipe.model_dump(), "steps": steps})
    # A missing validation text is reported now rather than in hours, when it is read.
    sources = [share.source for share in recipe.data if not share.source.startswith("bundled:")]
    for text in (*sources, *VALIDATION_TEXTS):
        check_text(data_dir / text)
    run = _TrainingRun(
        recipe, data_dir=data_dir, work_dir=work_dir, device=device, precision=precision
    )
    last = recipe.steps if stop_after is None else min(stop_after, recipe.steps)
    run.train(until=last, checkpoint_every=checkpoint_every)
    if last < recipe.steps:
        return None
    return export_component(
        run.accelerator.unwrap_model(run.model),
        run.tokenizer,
        recipe,
        data_dir=data_dir,
        folder=out_dir / recipe.name,
        losses=run.losses,
        seconds=run.seconds,
        precision=run.accelerator.mixed_precision,
    )


class _TrainingRun:
    """Model, optimizer and batches of one recipe, at the step of the last checkpoint."""

    def __init__(
        self,
        recipe: ZooRecipe,
        *,
        data_dir: Path,
        work_dir: Path,
        device: str | None,
        precision: str | None,
    ) -> None:
        self.recipe = recipe
        self.folder = work_dir / recipe.name
        device = choose_device(device)
        self.accelerator = Accelerator(
            cpu=device == "cpu", mixed_precision=precision or best_precision(device)
        )
        self.tokenizer = shared_tokenizer(data_dir=data_dir, work_dir=work_dir)
        self.phases = training_phases(
            recipe, self.tokenizer, data_dir=data_dir, cache=work_dir / "streams"
        )
        set_seed(recipe.seed)
        model = build_model(recipe)
        optimizer = build_optimizer(model, recipe)
        scheduler = get_wsd_schedule(
            optimizer,
            num_warmup_steps=recipe.warmup,
            num_decay_steps=round(recipe.decay * recipe.steps),
            num_training_steps=recipe.steps,
            min_lr_ratio=FINAL_LEARNING_RATE,
        )
        state = load_checkpoint(
            self.folder, recipe=recipe, model=model, optimizer=optimizer, scheduler=scheduler
        )
        self.step = state["step"] if state else 0
        self.seconds = state["seconds"] if state else 0.0
        self.losses = [tuple(pair) for pair in state["losses"]] if state else []
        self.scheduler = scheduler
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        if state:
            logger.info("%s: continuing from step %d.", recipe.name, self.step)

    def train(self, *, until: int, checkpoint_every: int) -> None:
        """Train up to a step, with checkpoints.

        Args:
            until: Step to stop at.
            checkpoint_every: Number of steps between checkpoints; there is one at the end, too.
        """
        self.model.train()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns) as progress:
            task = progress.add_task(
                self.recipe.name, total=self.recipe.steps, completed=self.step, note=""
            )
            started, tokens = time.monotonic(), 0
            while self.step < until:
                loss, n_tokens = self._train_step()
                tokens += n_tokens
                if self.step % 20 == 0 or self.step == self.recipe.steps:
                    self.losses.append((self.step, loss))
                    speed = tokens / (time.monotonic() - started)
                    note = f"loss {loss:.3f}, {speed:,.0f} tokens/s"
                    progress.update(task, completed=self.step, note=note)
                    logger.info(
                        "%s: step %d/%d, %s", self.recipe.name, self.step, self.recipe.steps, note
                    )
                if self.step % checkpoint_every == 0 or self.step == until:
                    self.seconds += time.monotonic() - started
                    started, tokens = time.monotonic(), 0
                    self._save()

    def _train_step(self) -> tuple[float, int]:
        phase, _, since = self.recipe.phase_at(self.step)
        ids = self.phases[phase].batch(since).to(self.accelerator.device)
        loss = next_token_loss(self.model(input_ids=ids, use_cache=False).logits, ids)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        self.step += 1
        value = loss.item()
        if not value < float("inf"):
            raise FloatingPointError(
                f"The loss of {self.recipe.name} is {value} at step {self.step}. Lower the "
                f"learning rate ({self.recipe.learning_rate}) or train in float32 (precision='no')."
            )
        return value, ids.numel()

    def _save(self) -> None:
        save_checkpoint(
            self.folder,
            recipe=self.recipe,
            model=self.accelerator.unwrap_model(self.model),
            optimizer=self.optimizer.optimizer,
            scheduler=self.scheduler,
            step=self.step,
            seconds=self.seconds,
            losses=self.losses,
        )


def choose_device(device: str | None) -> str:
    """Device to train on.

    Args:
        device: "cpu", "cuda", or None for CUDA where it is available.

    Raises:
        ValueError: Any other device, or CUDA where it is not available.
    """
    has_cuda = torch.cuda.is_available()
    if device is None:
        return "cuda" if has_cuda else "cpu"
    if device not in ("cpu", "cuda") or (device == "cuda" and not has_cuda):
        raise ValueError(
            f"device={device!r} is not available for training. Use "
            f"{'cpu or cuda' if has_cuda else 'cpu'}, or leave it out."
        )
    return device


def best_precision(device: str) -> str:
    """Fastest precision on a device: "bf16" where its matrix units support that, otherwise "no".

    On a CPU with AMX tiles, bfloat16 products are several times as fast as float32 ones.

    Args:
        device: "cpu" or "cuda".
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if torch.cpu.get_capabilities().get("amx_bf16") else "no"


def build_model(recipe: ZooRecipe) -> PreTrainedModel:
    """A component with random weights, its Mamba mixers using the fast scan."""
    model = AutoModelForCausalLM.from_config(recipe.config(), dtype=torch.float32)
    use_fast_mixers(model)
    return model


def build_optimizer(model: nn.Module, recipe: ZooRecipe) -> torch.optim.AdamW:
    """AdamW with weight decay for matrices only, not for norms, biases and Mamba's A and D."""
    decayed, free = [], []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.dim() >= 2 and not name.endswith("A_log")
        (decayed if is_matrix else free).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=recipe.betas,
        fused=True,
    )


def next_token_loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats of every token after the first.

    Args:
        logits: Logits, (B, T, V).
        ids: Token ids, (B, T).
    """
    # Targets are shifted rather than logits: slicing the logits would copy all of them.
    targets = torch.roll(ids, -1, dims=1)
    targets[:, -1] = -100
    return nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
