"""Less memory, the same training: bfloat16 arithmetic and gradient checkpointing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore.hybrid import build_hybrid
from manticore.runs import Run
from manticore.runs.launch import make_run_folder
from manticore.train.loop import Loop
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE
from tests.tiny_runs import do_here, run_config

STAGES = {
    "pretrain-projectors": {"projector_lr": 3e-3},
    "search": {"projector_lr": 3e-3, "component_lr": 3e-3},
    "finetune": {"projector_lr": 3e-3, "component_lr": 3e-3},
}


def do(stage: str, dtype: str, parts: list[str], folder: Path, **changes: object) -> Run:
    options = {"steps": 12, "batch_size": 4, "eval_every": 12, "eval_batches": 1, "warmup_steps": 0}
    options |= {"sample_prompt": ""} | STAGES[stage] | changes
    config = run_config(folder, parts, stage, options, dtype=dtype)
    return do_here(Run(make_run_folder(config, root=folder / dtype)))


@pytest.mark.parametrize("stage", STAGES)
def test_bfloat16_learns_like_float32_and_leaves_weights_in_float32(
    component: Callable[..., str], tmp_path: Path, stage: str
) -> None:
    parts = [component("gpt_neox"), component("mamba", width=24)]
    exact, rough = (do(stage, dtype, parts, tmp_path) for dtype in ("float32", "bfloat16"))
    losses = torch.tensor(rough.losses()[1])
    expected = torch.tensor(exact.losses()[1])
    assert not torch.equal(losses, expected)
    torch.testing.assert_close(losses, expected, rtol=0.03, atol=0)
    assert losses[-3:].mean() < losses[:3].mean() - 0.05
    assert {tensor.dtype for tensor in rough.hybrid().parameters()} == {torch.float32}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_gradient_checkpointing_computes_again_and_changes_nothing(
    component: Callable[..., str], family: str
) -> None:
    hybrid = build_hybrid(
        [component(family), component("gpt_neox", width=16)], 2, projector_init="identity"
    ).train()
    ids = torch.randint(2, VOCAB_SIZE, (2, 12), generator=torch.Generator().manual_seed(0))
    kept, losses, gradients = [], [], []
    for checkpointing in (False, True):
        if checkpointing:
            hybrid.gradient_checkpointing_enable()
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, saved=saved: saved.append(tensor.numel()) or tensor,
            lambda tensor: tensor,
        ):
            torch.manual_seed(0)
            loss = hybrid(input_ids=ids, labels=ids).loss
        loss.backward()
        kept.append(sum(saved))
        losses.append(loss.item())
        gradients.append([p.grad.clone() for p in hybrid.parameters() if p.grad is not None])
        hybrid.zero_grad()
    assert losses[0] == losses[1]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
    assert kept[1] < 0.7 * kept[0]


@pytest.mark.parametrize("asked", [True, False])
def test_a_stage_computes_again_where_it_is_asked_to(
    component: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    seen = []
    step = Loop._backward

    def looked_at(loop: Loop, batches: list) -> float:
        modules = loop.accelerator.unwrap_model(loop.model).modules()
        seen.append(any(getattr(module, "gradient_checkpointing", False) for module in modules))
        return step(loop, batches)

    monkeypatch.setattr(Loop, "_backward", looked_at)
    parts = [component("gpt_neox"), component("mamba", width=24)]
    do("finetune", "float32", parts, tmp_path, steps=2, gradient_checkpointing=asked)
    assert seen == [asked] * 2
