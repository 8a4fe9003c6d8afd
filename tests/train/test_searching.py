"""The search stage as the README starts it: a real worker on bundled text."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import manticore as mc


@pytest.mark.parametrize("source", ["bundled:stories-mixed?n_stories=60", "file"])
def test_search_ends_with_a_hybrid(
    component: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    monkeypatch.setenv("MANTICORE_CACHE", str(tmp_path / "cache"))
    if source == "file":
        source = str(tmp_path / "tale.txt")
        text = "The fox had a lantern, and the lantern was bright.\n\n" * 200
        Path(source).write_text(text, encoding="utf-8")
    hybrid = mc.build_hybrid([component("gpt_neox"), component("mamba", width=48, layers=3)], 2)
    data = mc.load_text(source, tokenizer=hybrid.tokenizer, seq_len=32)
    run = mc.search(
        hybrid,
        data,
        steps=4,
        batch_size=2,
        eval_every=2,
        eval_batches=1,
        checkpoint_every=2,
        sample_tokens=4,
        device="cpu",
        root=tmp_path / "runs",
    )
    run.wait(timeout=240)
    assert run.mixture_history().shape == (5, 2, 2)
    weights = run.hybrid().mixture_weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2), rtol=0, atol=1e-6)
    assert not torch.equal(weights, hybrid.mixture_weights)
    metrics = json.loads((run.folder / "result" / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["components"]) == set(hybrid.component_names)
    if data.floor is None:
        assert metrics["floor"] is None
    else:
        assert metrics["floor"] == pytest.approx(float(data.floor))
