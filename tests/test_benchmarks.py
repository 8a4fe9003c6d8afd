"""What benchmarks share: a long one goes on with the cells that it has measured."""

from pathlib import Path

import pytest

from benchmarks import harness
from benchmarks.harness import Cells


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def never() -> float:
    raise AssertionError("measured again")


def test_a_measured_cell_is_known_to_the_next_process(results: Path) -> None:
    assert Cells("table", {"seeds": (0, 1)}).measure("a", lambda: {"perplexity": 2.5})["perplexity"]
    again = Cells("table", {"seeds": (0, 1)})
    assert again.measure("a", never) == {"perplexity": 2.5}
    assert again.measure("b", lambda: 3) == 3
    assert len(again.finish()) == 1
    assert list(results.iterdir()) == []


def test_another_setup_is_measured_anew() -> None:
    Cells("table", {"steps": 1}).measure("a", lambda: 1)
    assert Cells("table", {"steps": 2}).measure("a", lambda: 2) == 2


def test_a_failed_measurement_leaves_the_others(results: Path) -> None:
    cells = Cells("table", {})
    cells.measure("a", lambda: 1)
    with pytest.raises(AssertionError):
        cells.measure("b", never)
    assert Cells("table", {}).measure("a", never) == 1
