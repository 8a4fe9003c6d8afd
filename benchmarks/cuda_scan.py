"""What do the kernels for CUDA bring, in the scan alone and in a whole training step?

Forward and backward of the selective scan in the size that MAD's baseline has, by each backend that
a CUDA machine has, side by side in one process; and a training step of the hybrid of GPT-Neo and
Mamba blocks that the suite trains. Results of the backends must agree.

    python -m benchmarks.cuda_scan
"""

import argparse
import os
from collections.abc import Callable

import torch

from benchmarks.harness import as_record, print_timings, save_results, time_side_by_side
from manticore.ops import selective_scan, usable_backends
from manticore.ops.backends import BACKEND_VARIABLE
from manticore.suite.stacks import build_stack
from manticore.tasks import make_task

BATCH, CHANNELS, STATE = 128, 256, 16
LENGTHS = (128, 512)
TASK, MODEL = "in-context-recall", "gpt_neo+mamba"
TOLERANCE = 1e-4


def main() -> None:
    """Measure, compare, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        raise SystemExit("There is no GPU here: run it on a CUDA machine.")
    backends = sorted(usable_backends("cuda"), key=lambda backend: backend != "torch")
    setup = {"batch": BATCH, "channels": CHANNELS, "state": STATE, "task": TASK, "model": MODEL}
    measured = {
        "setup": setup | {"rounds": rounds, "inner": 5},
        "scan": [_scan(length, backends, rounds) for length in LENGTHS],
        "training_step": _training_step(backends, rounds),
    }
    print(save_results("cuda_scan", measured))


def _scan(length: int, backends: list[str], rounds: int) -> dict[str, object]:
    generator = torch.Generator("cuda").manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device="cuda").requires_grad_()

    def channels_last() -> torch.Tensor:  # as a linear layer leaves it
        return normal(BATCH, length, CHANNELS).transpose(1, 2)

    u, delta, z = channels_last(), channels_last(), channels_last()
    decay = torch.arange(1.0, STATE + 1, device="cuda").repeat(CHANNELS, 1)
    inputs = [u, delta, (-decay).requires_grad_(), normal(BATCH, STATE, length)]
    inputs += [normal(BATCH, STATE, length), normal(CHANNELS), z, normal(CHANNELS)]
    direction = torch.randn(BATCH, CHANNELS, length, generator=generator, device="cuda")

    def call(backend: str) -> list[torch.Tensor]:
        y = selective_scan(*inputs, delta_softplus=True, backend=backend)
        found = [y.detach(), *torch.autograd.grad(y, inputs, direction)]
        torch.cuda.synchronize()
        return found

    expected = call("torch")
    differences = {backend: _difference(expected, call(backend)) for backend in backends}
    for backend, difference in differences.items():
        if not difference <= TOLERANCE:
            raise SystemExit(f"{backend} differs by {difference:.1e}, more than {TOLERANCE}.")
    calls = {backend: lambda backend=backend: call(backend) for backend in backends}
    timings = time_side_by_side(calls, rounds, warm_up=2, inner=5)
    print_timings(f"scan, forward and backward, length {length}", timings)
    return {"length": length, "timings": as_record(timings), "differences": differences}


def _difference(expected: list[torch.Tensor], found: list[torch.Tensor]) -> float:
    """The largest, relative to a tensor's largest value."""
    return max(
        ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, expected, strict=True)
    )


def _training_step(backends: list[str], rounds: int) -> list[dict[str, object]]:
    data = make_task(TASK)
    model = build_stack(MODEL, data).to("cuda").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batch = {name: t[:BATCH].to("cuda") for name, t in vars(data.train).items()}

    def step(backend: str) -> None:
        os.environ[BACKEND_VARIABLE] = backend
        optimizer.zero_grad()
        model(**batch, use_cache=False).loss.backward()
        optimizer.step()
        torch.cuda.synchronize()

    calls: dict[str, Callable[[], object]] = {
        backend: lambda backend=backend: step(backend) for backend in backends
    }
    timings = time_side_by_side(calls, rounds, warm_up=2, inner=5)
    print_timings(f"training step of {MODEL} on {TASK}", timings)
    return as_record(timings)


if __name__ == "__main__":
    main()
