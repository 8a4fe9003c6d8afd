"""Bundled runs: whole among the other runs, and as good as they were measured."""

from pathlib import Path

import pytest

from manticore import runs
from manticore.data import TextData
from manticore.evaluate import perplexity
from manticore.names import TASKS
from manticore.runs.gallery import gallery_names, open_gallery, unopened_names
from manticore.runs.programmed import results_of
from manticore.runs.trash import clear_trash, discard


@pytest.mark.parametrize("name", gallery_names())
def test_a_bundled_run_is_as_good_as_it_was_measured(name: str, tmp_path: Path) -> None:
    run = open_gallery(name, tmp_path)
    assert run.status.state == "done"
    assert [run.id for run in runs(tmp_path)] == [run.id]
    kinds = {event["kind"] for event in run.events()}
    assert {"hybrid", "mixture", "eval", "done"} <= kinds
    hybrid = run.hybrid()
    assert hybrid.tokenizer is not None
    metrics = run.metrics()
    if run.config.stage == "program":
        assert hybrid.mixture_weights.tolist() == [
            pytest.approx(row) for row in metrics["mixture_weights"]
        ]
        assert set(results_of(run) or ()) == set(TASKS), "every skill can be played"
    else:
        data = TextData.from_spec(run.config.data, hybrid.tokenizer)
        measured = perplexity(hybrid, data.valid, batch_size=4, max_batches=10)
        assert measured == pytest.approx(metrics["perplexity"], rel=0.05)
    # Fine-tuning starts from it as from any search.
    assert run.hybrid_to_finetune().is_routed == hybrid.is_routed
    # It is made once.
    before = (run.folder / "config.json").stat().st_mtime_ns
    assert open_gallery(name, tmp_path).id == run.id
    assert (run.folder / "config.json").stat().st_mtime_ns == before
    # Who deletes it is not given it again.
    assert name not in unopened_names(tmp_path)
    assert len(unopened_names(tmp_path)) == len(gallery_names()) - 1
    discard(run)
    clear_trash(tmp_path)
    assert name not in unopened_names(tmp_path)


def test_the_page_opens_with_a_search() -> None:
    """A hybrid that writes well; programmed ones have not been trained."""
    assert gallery_names()[0] == "english-and-spanish"
    assert gallery_names() == sorted(gallery_names(), reverse=True)


def test_an_unknown_entry_is_named(tmp_path: Path) -> None:
    assert gallery_names()
    with pytest.raises(LookupError, match=gallery_names()[0]):
        open_gallery("../zoo", tmp_path)
    assert list(tmp_path.iterdir()) == []
