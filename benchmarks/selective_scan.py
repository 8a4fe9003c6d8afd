"""Claim: our selective scan is at least 150 times as fast as Transformers' on a CPU.

    python -m benchmarks.selective_scan [--rounds 3]

Forward and backward together, batch 4, 512 channels, state 16, against
`mamba_selective_scan` of Transformers (its path without CUDA kernels: a loop over time) in the same
process. The bar is at length 512; both must agree to 1e-4 in values and gradients.
"""

import copy
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from transformers import DynamicCache, MambaConfig, MambaForCausalLM
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

from benchmarks import harness
from manticore.components.mixers.fast import use_fast_mixers
from manticore.ops import scan_backend, selective_scan

BAR_LENGTH, BAR_SPEEDUP, TOLERANCE = 512, 150.0, 1e-4
BATCH, CHANNELS, STATE = 4, 512, 16
LENGTHS = (128, 256, BAR_LENGTH)  # the baseline is quadratic: it takes minutes at 1024
TRANSFORMERS, OURS, LOOP = "Transformers", "ours, compiled", "ours, PyTorch operations"


def _scan_inputs(length: int) -> dict[str, torch.Tensor]:
    """Inputs as a Mamba mixer makes them: step sizes of 0.001 to 0.1, decay rates -1 to -16."""
    generator = torch.Generator().manual_seed(length)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    step = torch.exp(torch.rand(CHANNELS, generator=generator) * 4.6 - 6.9)
    tensors = {
        "u": normal(BATCH, CHANNELS, length),
        "delta": normal(BATCH, CHANNELS, length) * 0.5,
        "A": -torch.arange(1.0, STATE + 1).repeat(CHANNELS, 1),
        "B": normal(BATCH, STATE, length),
        "C": normal(BATCH, STATE, length),
        "D": normal(CHANNELS),
        "z": normal(BATCH, CHANNELS, length),
        "delta_bias": torch.log(torch.expm1(step)),
    }
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def _forward_backward(
    scan: Callable, inputs: dict[str, torch.Tensor], direction: torch.Tensor, **options: str
) -> dict[str, torch.Tensor]:
    """The output y and the gradients of all inputs."""
    u, delta, A, B, C = (inputs[name] for name in ("u", "delta", "A", "B", "C"))
    extra = {name: inputs[name] for name in ("D", "z", "delta_bias")}
    y = scan(u, delta, A, B, C, **extra, delta_softplus=True, **options)
    gradients = torch.autograd.grad(y, list(inputs.values()), direction)
    return {"y": y.detach(), **dict(zip(inputs, gradients, strict=True))}


def _largest_differences(
    expected: dict[str, torch.Tensor], actual: dict[str, torch.Tensor]
) -> dict[str, float]:
    """Per tensor: the largest difference, relative to the tensor's largest value if that is > 1."""
    return {
        name: ((actual[name] - value).abs().max() / value.abs().max().clamp(min=1)).item()
        for name, value in expected.items()
    }


def measure_scan(length: int, rounds: int) -> dict[str, object]:
    """Forward and backward of the scan at one length, and the agreement with Transformers."""
    inputs = _scan_inputs(length)
    direction = torch.randn(
        BATCH, CHANNELS, length, generator=torch.Generator().manual_seed(length + 1)
    )
    calls = {
        TRANSFORMERS: lambda: _forward_backward(mamba_selective_scan, inputs, direction),
        OURS: lambda: _forward_backward(selective_scan, inputs, direction),
        LOOP: lambda: _forward_backward(selective_scan, inputs, direction, backend="torch"),
    }
    expected = calls[TRANSFORMERS]()
    differences = {name: _largest_differences(expected, calls[name]()) for name in (OURS, LOOP)}
    for name, by_tensor in differences.items():
        worst = max(by_tensor, key=by_tensor.get)
        if not by_tensor[worst] <= TOLERANCE:
            raise SystemExit(f"{name}: {worst} differs by {by_tensor[worst]:.2e} > {TOLERANCE}.")
    timings = harness.time_side_by_side(calls, rounds)
    harness.print_timings(f"Scan forward + backward, length {length}", timings)
    return {
        "length": length,
        "timings": harness.as_record(timings),
        "largest_differences": differences,
    }


def _small_models() -> tuple[MambaForCausalLM, MambaForCausalLM]:
    torch.manual_seed(0)
    config = MambaConfig(vocab_size=4096, hidden_size=256, num_hidden_layers=6, state_size=STATE)
    plain = MambaForCausalLM(config)
    fast = copy.deepcopy(plain)
    use_fast_mixers(fast)
    return plain, fast


def measure_training_step(length: int, rounds: int) -> dict[str, object]:
    """Forward and backward of a whole small model: 6 layers of width 256, batch 4."""
    plain, fast = _small_models()
    ids = torch.randint(0, 4096, (BATCH, length), generator=torch.Generator().manual_seed(0))

    def step(model: MambaForCausalLM) -> torch.Tensor:
        model.zero_grad()
        loss = model(ids, labels=ids).loss
        loss.backward()
        return loss.detach()

    difference = abs(step(plain) - step(fast)).item()
    calls = {TRANSFORMERS: lambda: step(plain), OURS: lambda: step(fast)}
    timings = harness.time_side_by_side(calls, rounds)
    harness.print_timings(f"Training step of a small Mamba, length {length}", timings)
    return {
        "length": length,
        "timings": harness.as_record(timings),
        "loss_difference": difference,
    }


@torch.no_grad()
def measure_decoding(rounds: int) -> dict[str, object]:
    """One token through the small model with a cache, batch 1."""
    models = dict(zip((TRANSFORMERS, OURS), _small_models(), strict=True))
    prompt, token = torch.arange(16)[None], torch.tensor([[7]])
    caches = {}
    for name, model in models.items():
        model.eval()
        caches[name] = DynamicCache(config=model.config)
        model(prompt, cache_params=caches[name], use_cache=True)

    def decode(name: str) -> None:
        models[name](token, cache_params=caches[name], use_cache=True)

    calls = {name: lambda name=name: decode(name) for name in models}
    timings = harness.time_side_by_side(calls, rounds=4 * rounds, inner=20)
    harness.print_timings("One decoded token of a small Mamba", timings)
    return {"timings": harness.as_record(timings)}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Timed turns of every alternative.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads for all of them.")] = 2,
) -> None:
    """Measure, compare with the bar, and write results/selective_scan.json."""
    torch.set_num_threads(threads)
    scans = [measure_scan(length, rounds) for length in LENGTHS]
    at_bar = next(scan for scan in scans if scan["length"] == BAR_LENGTH)
    speedup = next(t["speedup"] for t in at_bar["timings"] if t["name"] == OURS)
    path = harness.save_results(
        "selective_scan",
        {
            "claim": f"forward + backward at length {BAR_LENGTH} at least {BAR_SPEEDUP:g} times "
            f"as fast as Transformers, equal to {TOLERANCE:g}",
            "speedup_at_bar": speedup,
            "bar_met": speedup >= BAR_SPEEDUP,
            "backend": scan_backend("cpu"),
            "batch": BATCH,
            "channels": CHANNELS,
            "state": STATE,
            "scan": scans,
            "training_step": [measure_training_step(128, rounds)],
            "decoding": measure_decoding(rounds),
        },
    )
    typer.echo(f"{speedup:.0f} times as fast at length {BAR_LENGTH} (bar: 150). Wrote {path}.")
    if speedup < BAR_SPEEDUP:
        raise typer.Exit(code=1)


if __name__ == "__main__":
    typer.run(main)
