"""Mixing by hand on the page: what is measured on which text, and the landscape behind it."""

import math
import time
from pathlib import Path

import pytest

from app.diagram import measured
from app.landscapes import Landscapes
from app.measuring import asked_text, prompt_of, text_label
from manticore.evaluate.landscape import EDGE
from manticore.runs import Run, start_run
from tests.tiny_runs import do_here, run_config


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, component) -> Run:
    folder: Path = tmp_path_factory.mktemp("mixing")
    parts = [component("gpt_neox"), component("mamba", width=24)]
    config = run_config(folder, parts, options={"steps": 1, "batch_size": 2, "eval_batches": 1})
    return do_here(start_run(config, root=folder / "runs", launch=False))


def test_a_text_is_one_of_the_list_and_has_a_name(run: Run) -> None:
    assert asked_text({"text": "bundled:stories-en"}) == "bundled:stories-en"
    assert asked_text({}) == ""
    with pytest.raises(ValueError, match="/etc/passwd"):
        asked_text({"text": "/etc/passwd"})
    assert text_label(run, "bundled:stories-es") == "stories in Spanish, held out"
    assert text_label(run, "") == "text.txt, held out"
    assert prompt_of(run, {"prompt": "  "}) == prompt_of(run, {})
    assert prompt_of(run, {"prompt": "A fox"}) == "A fox"


def test_other_texts_and_beginnings_are_measured_when_asked_for(run: Run) -> None:
    own = measured(run, {})
    other = measured(run, {"text": "bundled:stories-es", "prompt": "A fox"})
    assert own["perplexity"] != other["perplexity"]
    assert other["prompt"] == "A fox"
    assert own["compared"][0][0] == "as found"
    assert own["compared"][0][1] == own["perplexity"]


def test_a_landscape_is_measured_in_the_background(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EDGE, 2, 3)
    landscapes = Landscapes()
    deadline = time.monotonic() + 120
    while (scene := landscapes.scene(run, "")).get("measured", 0) < 9:
        assert time.monotonic() < deadline, scene
        time.sleep(0.05)
    assert scene["total"] == 9
    assert scene["id"] == run.id
    points = [point["perplexity"] for chart in scene["charts"] for point in chart["points"]]
    assert all(math.isfinite(value) for value in points)
    # It is remembered: a second look measures nothing.
    monkeypatch.setattr("app.landscapes.held_out", None)
    assert landscapes.scene(run, "") == scene


def test_what_cannot_be_read_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("The text is gone: choose another one.")

    landscapes = Landscapes()
    monkeypatch.setattr("app.landscapes.held_out", broken)
    deadline = time.monotonic() + 120
    while "error" not in (said := landscapes.scene(run, "bundled:stories-en")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "The text is gone" in said["error"]
