"""Pictures of runs are made once for all who look, and are small however long a run is."""

import json

from app.diagram import _scene_of
from app.run_panel import picture_of
from app.shared import KEPT, Shared
from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from manticore.store.events import EventWriter
from manticore.store.status import write_status

LARGEST = 100_000
"""Bytes of an update."""


def run_in(root):
    config = RunConfig(components=["zoo:a", "zoo:b"], n_blocks=4, data={"source": "x"})
    folder = make_run_folder(config, root=root)
    write_status(folder, "stopped")
    return Run(folder)


def test_a_picture_is_made_once_while_it_is_fresh(tmp_path):
    run, made = run_in(tmp_path), []

    def make(run, before):
        made.append(before)
        return len(made)

    shared = Shared(make, fresh_for=3600)
    assert [shared.of(run) for _ in range(8)] == [1] * 8
    assert made == [None]
    stale = Shared(make)
    assert [stale.of(run), stale.of(Run(run.folder))] == [2, 3]
    assert made[-1] == 2, "the picture before is at hand"
    for i in range(KEPT):
        shared.of(Run(make_run_folder(run.config.model_copy(update={"seed": i}), root=tmp_path)))
    assert shared.of(run) == len(made), "only so many are kept"


def test_what_is_sent_of_a_long_run_is_small(tmp_path):
    run = run_in(tmp_path)
    lines = [{"kind": "stage", "name": "search", "total_steps": 10_000}]
    for step in range(10_000):
        share = step / 20_000 + 0.01234567890123
        where = {"step": step, "time": 1e9 + step}
        lines.append({"kind": "step", "loss": 3.123456789 - share, "lr": {}, **where})
        weights = [[share, 1 - share]] * 4
        lines.append({"kind": "mixture", "weights": weights, "components": ["a", "b"], **where})
    text = "\n".join(json.dumps({"tokens_per_s": 9.0, "time": 1e9, **line}) for line in lines)
    (run.folder / "events.jsonl").write_text(f"{text}\n")
    picture = picture_of(run)
    sizes = {"words": len(picture.words)}
    for index, update in enumerate(picture.figures):
        value = update["value"]
        sizes[index] = len(value if isinstance(value, str) else value.plot if value else "")
    assert sum(sizes.values()) < LARGEST, sizes
    _, scene = _scene_of(run, None)
    assert len(json.dumps(scene)) < LARGEST
    again = picture_of(run, picture)
    assert again is picture
    with EventWriter(run.folder) as events:
        events.emit("warning", message="Block 2 collapsed")
    assert picture_of(run, picture).warnings == ["Block 2 collapsed"]
