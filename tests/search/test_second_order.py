"""The look-ahead of two-level DARTS is the gradient through one step of the other weights."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.func import functional_call

from manticore import build_hybrid
from manticore.names import STRATEGIES
from manticore.search import SearchConfig
from manticore.search.held_out import hold_out
from manticore.store.events import EventWriter
from manticore.train.groups import parameter_groups
from manticore.train.loop import Loop, LoopOptions
from tests.tiny import VOCAB_SIZE

RATE = 0.05
PARTS = (slice(0, 1), slice(1, 4))


@pytest.mark.parametrize("second_order", [False, True])
def test_the_gradient_of_the_logits(
    component: Callable[..., str], tmp_path: Path, second_order: bool
) -> None:
    parts = [component("gpt_neox"), component("llama")]
    hybrid = build_hybrid(parts, 2, projector_init="random", mixture_weights=[0.6, 0.4])
    hybrid.set_attn_implementation("eager")
    rows = torch.randint(2, VOCAB_SIZE, (16, 12), generator=torch.Generator().manual_seed(0))
    items = [{"input_ids": row, "labels": row.clone()} for row in rows]
    options = SearchConfig(
        strategy="darts-bilevel",
        second_order=second_order,
        component_lr=RATE,
        projector_lr=RATE,
        component_schedule="constant",
        projector_schedule="constant",
        warmup_steps=0,
    )
    strategy = STRATEGIES.load("darts-bilevel")(options)
    strategy.begin(hybrid)
    text, held_out = hold_out(items, 0.5, seed=0, at_least=4)
    loop_options = LoopOptions(
        steps=5,
        batch_size=4,
        warmup_steps=0,
        max_grad_norm=1.0,
        watch_every=9,
        checkpoint_every=9,
        seed=0,
        cpu=True,
    )
    with EventWriter(tmp_path) as events:
        groups = parameter_groups(hybrid, options, strategy.shared_groups())
        loop = Loop(hybrid, groups, text, loop_options, tmp_path, events, strategy, held_out)
    train, (valid,) = next(loop.batches.after(0)), loop.held_out_parts(held_out, 0)

    names = [name for name, p in hybrid.named_parameters() if p.requires_grad]
    weights = {name: hybrid.get_parameter(name) for name in names if name != "mixture.row"}
    row = strategy.mixture.row
    before = {name: weight.detach().clone() for name, weight in weights.items()}

    def loss(batch: dict[str, torch.Tensor], values: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(hybrid, values, args=(), kwargs=batch).loss

    ahead = weights
    if second_order:
        inner = torch.autograd.grad(loss(train, weights), list(weights.values()), create_graph=True)
        moved = zip(weights.items(), inner, strict=True)
        ahead = {name: weight - RATE * slope for (name, weight), slope in moved}
    (exact,) = torch.autograd.grad(loss(valid, ahead), row)

    # Whatever dropout draws, it draws alike in all passes over a batch.
    drawn = torch.get_rng_state()
    for module in hybrid.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.3
    one, other = (strategy._gradients([train]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(torch.get_rng_state(), drawn)
    for module in hybrid.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    strategy._forget()

    captured = []
    strategy.optimizer.step = lambda: captured.append(row.grad.clone())
    # The training batch may come in parts, which need not be alike in length.
    parts = [{name: tensor[part] for name, tensor in train.items()} for part in PARTS]
    strategy.before_step(0, parts)
    torch.testing.assert_close(captured[0], exact, rtol=0.03, atol=0.03 * float(exact.abs().max()))
    assert all(torch.equal(weights[name], before[name]) for name in weights)
