"""The stage `search`: mixture weights learned by gradient descent (paper section 3.3)."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.data import TextData
from manticore.evaluate import perplexity
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.search.strategy import STRATEGIES
from manticore.train.devices import use_device
from manticore.train.events import EventWriter, read_events
from manticore.train.layout import (
    CHECKPOINTS_FOLDER,
    HYBRID_FOLDER,
    RESULT_FOLDER,
    START_FOLDER,
)
from manticore.train.loop import Loop, LoopOptions
from manticore.train.sampling import sample_text

if TYPE_CHECKING:
    from manticore.runs.config import RunConfig


COLLAPSED = 0.95


def search(
    folder: Path, config: "RunConfig", events: EventWriter, should_stop: Callable[[], bool]
) -> None:
    """Search mixture weights for a run, resuming from its newest checkpoint.

    Writes `result/hybrid` (the hybrid with its tokenizer) and `result/metrics.json`.

    Args:
        folder: The run's folder.
        config: What to do.
        events: The run's event stream.
        should_stop: Asked after every step.
    """
    options = config.search
    device = use_device(config.device)
    hybrid = starting_hybrid(folder, config)
    if not (folder / START_FOLDER).is_dir():
        # A resumed worker, and whoever loads a checkpoint, need not build and align it again.
        _save_whole(hybrid, folder / START_FOLDER)
    hybrid.to(device)
    data = TextData.from_spec(config.data, hybrid.tokenizer)
    events.emit("stage", name="search", total_steps=options.steps)
    # Before training touches them: what each component can do alone.
    alone = _alone(folder, hybrid, data, options.batch_size, options.eval_batches)
    strategy = STRATEGIES[options.strategy]()
    mixture = strategy.begin(hybrid)
    loop = Loop(
        hybrid,
        _groups(hybrid, mixture, options),
        data.train,
        LoopOptions(
            steps=options.steps,
            batch_size=options.batch_size,
            warmup_steps=options.warmup_steps,
            max_grad_norm=options.max_grad_norm,
            watch_every=options.eval_every,
            checkpoint_every=options.checkpoint_every,
            seed=config.seed,
            mixed_precision=config.mixed_precision,
            cpu=device.type == "cpu",
        ),
        folder / CHECKPOINTS_FOLDER,
        events,
    )
    watcher = _Watcher(hybrid, data, options, events, alone)
    step = loop.run(watcher.watch, watcher.step_done, should_stop)
    if step < options.steps:
        return
    strategy.finish(hybrid)
    _write_result(folder / RESULT_FOLDER, hybrid, watcher.metrics(step))
    watcher.warn()


def starting_hybrid(folder: Path, config: "RunConfig") -> ManticoreForCausalLM:
    """The hybrid that a run starts from: the one it was given, or one built from its components."""
    start = folder / START_FOLDER
    if start.is_dir():
        return ManticoreForCausalLM.from_pretrained(start, dtype="auto")
    return build_hybrid(
        list(config.components),
        config.n_blocks,
        projector=config.projector,
        projector_init=config.projector_init,
        head=config.head,
        mixture_weights=config.mixture_weights,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )


def _groups(hybrid: ManticoreForCausalLM, mixture: list, options: object) -> list[dict]:
    """AdamW groups for mixture weights, projectors (with a new head) and components; a rate of
    zero freezes its group."""
    components = list(hybrid.components.parameters())
    known = {id(parameter) for parameter in components + mixture}
    joints = [parameter for parameter in hybrid.parameters() if id(parameter) not in known]
    groups = []
    for name, parameters, lr, decay in (
        ("mixture", mixture, options.mixture_lr, 0.0),
        ("projectors", joints, options.projector_lr, options.weight_decay),
        ("components", components, options.component_lr, options.weight_decay),
    ):
        for parameter in parameters:
            parameter.requires_grad_(lr > 0)
        if parameters and lr > 0:
            groups.append({"name": name, "params": parameters, "lr": lr, "weight_decay": decay})
    return groups


def _alone(
    folder: Path, hybrid: ManticoreForCausalLM, data: TextData, batch_size: int, batches: int
) -> dict[str, float]:
    """Perplexity of each component as it came, from the run's events if it was measured already."""
    for event in read_events(folder)[0]:
        if event["kind"] == "eval" and event["step"] == 0:
            return event["metrics"]["components"]
    return {
        name: perplexity(model, data.valid, batch_size=batch_size, max_batches=batches)
        for name, model in zip(hybrid.component_names, hybrid.components, strict=True)
    }


class _Watcher:
    """Turns what happens in a search into events."""

    def __init__(
        self,
        hybrid: ManticoreForCausalLM,
        data: TextData,
        options: object,
        events: EventWriter,
        alone: dict[str, float],
    ) -> None:
        self.hybrid, self.data, self.options = hybrid, data, options
        self.events, self.alone = events, alone
        self.perplexity: float | None = None

    def step_done(self, step: int) -> None:
        """Report the mixture weights."""
        self.events.emit(
            "mixture",
            step=step,
            weights=self.hybrid.mixture_weights,
            components=self.hybrid.component_names,
        )

    def watch(self, step: int) -> None:
        """Report held-out perplexity and a sample."""
        if step == 0:
            self.step_done(0)
        self.perplexity = self._measure()
        self.events.emit("eval", step=step, metrics=self.metrics(step))
        prompt = self.options.sample_prompt
        if prompt:
            text = sample_text(self.hybrid, prompt, self.options.sample_tokens)
            self.events.emit("sample", step=step, prompt=prompt, text=text)

    def _measure(self) -> float:
        return perplexity(
            self.hybrid,
            self.data.valid,
            batch_size=self.options.batch_size,
            max_batches=self.options.eval_batches,
        )

    def metrics(self, step: int) -> dict:
        """The held-out perplexity of the hybrid beside each component alone."""
        if self.perplexity is None:
            self.perplexity = self._measure()
        return {
            "step": step,
            "perplexity": self.perplexity,
            "components": self.alone,
            "floor": None if self.data.floor is None else float(self.data.floor),
        }

    def warn(self) -> None:
        """Say so when the search shows a known sign of failure."""
        alpha = self.hybrid.mixture_weights
        for block, row in enumerate(alpha.tolist()):
            if max(row) > COLLAPSED and len(row) > 1:
                name = self.hybrid.component_names[row.index(max(row))]
                self.events.emit(
                    "warning",
                    message=f"Block {block + 1} collapsed to '{name}' ({max(row):.2f}): a lower "
                    "mixture_lr keeps it open for longer.",
                )
        best = min(self.alone, key=self.alone.get)
        if self.perplexity > self.alone[best]:
            self.events.emit(
                "warning",
                message=f"The hybrid's perplexity {self.perplexity:.2f} is worse than that of "
                f"'{best}' alone, {self.alone[best]:.2f}: search for more steps.",
            )


def _save_whole(hybrid: ManticoreForCausalLM, folder: Path) -> None:
    """Save a hybrid so that the folder appears in one rename, never half-written."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    hybrid.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _write_result(folder: Path, hybrid: ManticoreForCausalLM, metrics: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _save_whole(hybrid, folder / HYBRID_FOLDER)
    text = json.dumps({**metrics, "mixture_weights": hybrid.mixture_weights.tolist()}, indent=2)
    (folder / "metrics.json.partial").write_text(text, encoding="utf-8")
    os.replace(folder / "metrics.json.partial", folder / "metrics.json")
