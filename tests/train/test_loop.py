"""The training loop: interrupted and resumed is uninterrupted, whatever the text and the epoch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from manticore.store.events import EventWriter, read_events
from manticore.train.loop import Loop, LoopOptions
from tests.tiny import make_model

N_SEQUENCES, BATCH_SIZE, STEPS = 6, 2, 8  # three steps an epoch: two epochs and some


class _Rows(Dataset):
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.ids = TensorDataset(torch.randint(2, 90, (N_SEQUENCES, 8), generator=generator))

    def __len__(self) -> int:
        return N_SEQUENCES

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        (ids,) = self.ids[index]
        labels = ids.clone()
        labels[: index % 3] = -100  # parts of a step do not ask for equally many tokens
        return {"input_ids": ids, "labels": labels}


class _Streamed(IterableDataset):
    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        rows = _Rows()
        return (rows[index] for index in range(N_SEQUENCES))


class _Empty(IterableDataset):
    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return iter(())


def _train(
    folder: Path,
    dataset: Dataset,
    stop_at: int | None = None,
    watch: Callable[[int], None] = lambda step: None,
    schedule: str = "cosine",
    **changes: float,
) -> list[float]:
    """Train on from what is in the folder, and give every step's loss so far."""
    folder.mkdir(exist_ok=True)
    model = make_model("llama", width=16, layers=2)
    groups = [{"name": "all", "params": list(model.parameters()), "lr": 1e-2, "weight_decay": 0.0}]
    groups[0]["schedule"] = schedule
    values = {"steps": STEPS, "batch_size": BATCH_SIZE, "warmup_steps": 2, "max_grad_norm": 1.0}
    values |= {"watch_every": STEPS, "checkpoint_every": STEPS, "seed": 5, "cpu": True}
    options = LoopOptions(**values | changes)
    done: list[int] = []
    with EventWriter(folder) as events:
        loop = Loop(model, groups, dataset, options, folder, events)
        loop.run(watch, lambda step, loss: done.append(step), lambda: done[-1] == stop_at)
    return [event["loss"] for event in read_events(folder)[0] if event["kind"] == "step"]


@pytest.mark.parametrize("dataset", [_Rows(), _Streamed()], ids=["rows", "streamed"])
@pytest.mark.parametrize("stop_at", [1, 3, 4, 7])
def test_resumed_is_uninterrupted(tmp_path: Path, dataset: Dataset, stop_at: int) -> None:
    whole = _train(tmp_path / "whole", dataset)
    assert len(whole) == STEPS
    assert _train(tmp_path / "parts", dataset, stop_at) == whole[:stop_at]
    assert _train(tmp_path / "parts", dataset) == whole


def test_a_text_without_a_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a single sequence: give more text"):
        _train(tmp_path / "empty", _Empty())


def test_time_spent_watching_is_not_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = {"now": 0.0}

    def read() -> float:
        clock["now"] += 1.0  # between two looks at the clock a second goes by
        return clock["now"]

    def watch(_step: int) -> None:
        clock["now"] += 1000.0

    monkeypatch.setattr("manticore.train.clock.time.perf_counter", read)
    _train(tmp_path, _Rows(), watch=watch)
    steps = [event for event in read_events(tmp_path)[0] if event["kind"] == "step"]
    assert [event["tokens_per_s"] for event in steps] == [16.0] * STEPS
    # A second for each step that is left, and once more such a look.
    left = [STEPS - n + (1001.0 if n < STEPS else 0.0) for n in range(1, STEPS + 1)]
    assert [event["eta_s"] for event in steps] == left


def test_a_step_in_parts_is_the_same_step(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", _Rows())
    parts = _train(tmp_path / "parts", _Rows(), accumulate=2)
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "middle", "last"),
    [("constant", 1.0, 1.0), ("linear", 0.55, 0.25), ("cosine", 0.55, 0.16)],
)
def test_rates_follow_their_schedule(
    tmp_path: Path, schedule: str, middle: float, last: float
) -> None:
    """`lr` of a step's event is what the next step takes: 2 of warm-up, then 6 of the shape."""
    _train(tmp_path, _Rows(), schedule=schedule)
    rates = [e["lr"]["all"] / 1e-2 for e in read_events(tmp_path)[0] if e["kind"] == "step"]
    assert rates[:2] == pytest.approx([0.5, 1.0])
    assert rates[4] == pytest.approx(middle)
    assert rates[6] == pytest.approx(last, abs=0.005)


@pytest.mark.parametrize("most", [0.01, 1e9])
def test_gradients_are_clipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: float
) -> None:
    norms = []
    step = torch.optim.AdamW.step

    def measured(optimizer: torch.optim.AdamW, *arguments: object) -> object:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.stack([grad.norm() for grad in grads]).norm()))
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", measured)
    _train(tmp_path, _Rows(), max_grad_norm=most)
    assert len(norms) == STEPS
    if most < 1:
        assert norms == pytest.approx([most] * STEPS, rel=1e-3)
    else:
        assert min(norms) > 0.1
