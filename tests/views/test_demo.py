"""The demonstration with tiny components: every part of it is a run, and Ctrl-C leaves one."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from manticore.runs import Run, runs
from manticore.views.terminal import demo as story
from tests.tiny_runs import write_text


@pytest.fixture
def told(
    component: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[Run, str]]:
    """Runs it, and gives the run that it ends with and what it has written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = str(write_text(tmp_path))
    monkeypatch.setattr(story, "TEXTS", (text, text))
    monkeypatch.setattr(story, "BOTH", text)
    monkeypatch.setattr(story, "SEQ_LEN", 16)
    monkeypatch.setattr(story, "SAMPLE_TOKENS", 4)
    monkeypatch.setattr(story, "PROMPTS", ("Once", "the fox"))
    components = [component("gpt_neox"), component("mamba", width=24)]

    def tell() -> tuple[Run, str]:
        screen = io.StringIO()
        console = Console(file=screen, width=120, color_system=None)
        root = tmp_path / "runs"
        run = story.demo(console, components=components, n_blocks=2, steps=3, root=root)
        return run, screen.getvalue()

    return tell


def test_it_compares_static_and_routed_mixture_weights(
    told: Callable[[], tuple[Run, str]], tmp_path: Path
) -> None:
    last, text = told()
    made = list(reversed(runs(tmp_path / "runs")))
    assert [(run.config.options.strategy, run.config.options.steps) for run in made] == [
        ("routed", 3),
        ("probe", 3),
        ("probe", 3),
        ("probe", 3),
    ]
    assert {run.status.state for run in made} == {"done"}
    assert last.id == made[0].id
    assert last.hybrid().is_routed
    before, after = text.split("4  What the hybrid writes")
    assert "router fitted" in before
    assert "Once" in after
    for name in ("even mixture weights", "fitted router", "static mixture", "routed mixture"):
        assert name in after
    assert f"{last.metrics()['perplexity']:.2f}" in after
    assert f"manticore chat {last.id} --runs-root" in after


def test_ctrl_c_leaves_the_run_that_was_shown_and_starts_no_other(
    told: Callable[[], tuple[Run, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "watch", lambda *_: False)
    left, text = told()
    assert [run.id for run in runs(tmp_path / "runs")] == [left.id]
    assert "Static mixture weights" not in text
    left.wait(timeout=120)
