"""The search stage as a person starts it: a real worker, on bundled text and on a file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import manticore as mc
from manticore.evaluate import perplexity
from manticore.stories import generate_stories
from tests.tiny_runs import do_here


def _search_briefly(hybrid: mc.ManticoreForCausalLM, data: object, root: Path) -> mc.Run:
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
        root=root,
    )
    run.wait(timeout=240)
    n_blocks, n_components = hybrid.mixture_weights.shape
    assert run.mixture_history().shape == (5, n_blocks, n_components)
    weights = run.hybrid().mixture_weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(n_blocks), rtol=0, atol=1e-6)
    assert not torch.equal(weights, hybrid.mixture_weights)
    return run


def _metrics(run: mc.Run) -> dict:
    return json.loads((run.folder / "result" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MANTICORE_CACHE", str(tmp_path / "cache"))


def test_bundled_components_on_bundled_text(tmp_path: Path) -> None:
    # A small text will do to align by.
    stories = "\n\n".join(generate_stories("en", n_stories=20, seed=1))
    parts = ["zoo:tales-neox", "zoo:novelas-mamba"]
    hybrid = mc.build_hybrid(parts, 2, alignment_text=stories)
    source = "bundled:stories-mixed?n_stories=60"
    data = mc.load_text(source, tokenizer=hybrid.tokenizer, seq_len=32)
    # Tokenizers that cannot restore the text have no floor, and would not reach what is tested.
    assert data.floor is not None
    metrics = _metrics(_search_briefly(hybrid, data, tmp_path / "runs"))
    assert metrics["floor"] == pytest.approx(float(data.floor))
    assert set(metrics["components"]) == {"tales-neox", "novelas-mamba"}


def test_tiny_components_on_a_file(component: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "tale.txt"
    text = "The fox had a lantern, and the lantern was bright.\n\n" * 200
    file.write_text(text, encoding="utf-8")
    parts = [component("gpt_neox"), component("mamba", width=48, layers=3)]
    hybrid = mc.build_hybrid(parts, 2, alignment_text=text)
    data = mc.load_text(str(file), tokenizer=hybrid.tokenizer, seq_len=32)
    assert _metrics(_search_briefly(hybrid, data, tmp_path / "runs"))["floor"] is None


@pytest.mark.parametrize("strategy", ["random", "sweep", "darts"])
def test_what_is_reported_last_is_the_hybrid_that_is_left(
    strategy: str, component: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "tale.txt"
    text = "The fox had a lantern, and the lantern was bright.\n\n" * 200
    file.write_text(text, encoding="utf-8")
    parts = [component("gpt_neox"), component("mamba", width=48, layers=3)]
    hybrid = mc.build_hybrid(parts, 2, alignment_text=text)
    data = mc.load_text(str(file), tokenizer=hybrid.tokenizer, seq_len=32)
    options = {"batch_size": 2, "eval_every": 3, "eval_batches": 1, "sample_prompt": ""}
    options |= {"component_lr": 0, "device": "cpu", "root": tmp_path / "runs", "launch": False}
    run = do_here(mc.search(hybrid, data, strategy, 3, **options))
    found = run.hybrid()
    assert run.mixture_history()[-1] == pytest.approx(found.mixture_weights.numpy(), abs=1e-6)
    measured = perplexity(found, data.valid, batch_size=2, max_batches=1)
    said = [event["metrics"] for event in run.events() if event["kind"] == "eval"][-1]
    assert said["perplexity"] == pytest.approx(measured, rel=1e-5)
    assert run.metrics()["perplexity"] == said["perplexity"]
