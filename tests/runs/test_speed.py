"""A machine that has done runs is known by them."""

from typing import Any

import pytest

from manticore.components.facts import Facts
from manticore.config.run import RunConfig
from manticore.runs import Run
from manticore.runs.launch import make_run_folder
from manticore.runs.machine import this_machine
from manticore.runs.speed import Speed, estimate_here, speed_of
from manticore.store.events import EventWriter
from manticore.train.estimate import estimate

FACTS = [Facts("gpt2", 5_000_000, 6, 256, 4_096)] * 2


def _config(**changes: Any) -> RunConfig:
    data = {"source": "bundled:stories-en", "seq_len": 128}
    values = {"components": ("a", "b"), "n_blocks": 2, "data": data, "options": {"batch_size": 4}}
    return RunConfig.model_validate({**values, **changes})


def test_the_speed_of_a_run_is_that_of_its_last_steps(tmp_path) -> None:
    run = Run(make_run_folder(_config(), root=tmp_path))
    assert speed_of(run, FACTS) is None, "it has done nothing yet"
    said = estimate(run.config, FACTS).step_s
    with EventWriter(run.folder) as events:
        for step, rate in ((1, 1.0), (2, 10.0), (3, 512 / (3 * said))):
            assert speed_of(run, FACTS) is None, "the first steps compile"
            events.emit("step", step=step, loss=1.0, lr={}, tokens_per_s=rate)
    speed = speed_of(run, FACTS)
    assert speed is not None
    assert speed.slowness == pytest.approx(3)
    here, basis = estimate_here(run.config, FACTS, [speed])
    assert here.step_s == pytest.approx(3 * said)
    assert basis == speed


def test_other_stages_say_nothing(tmp_path) -> None:
    run = Run(make_run_folder(_config(stage="finetune", options={}), root=tmp_path))
    assert speed_of(run, FACTS) is None


def test_the_same_components_count_first_and_then_steps_of_the_same_size() -> None:
    said = estimate(_config(), FACTS)
    same = Speed(frozenset({"b", "a"}), said.step_s * 50, 2.0)
    near, far = (Speed(frozenset({"c"}), said.step_s * by, by) for by in (3.0, 9.0))
    assert estimate_here(_config(), FACTS, [far, near, same])[1] == same
    assert estimate_here(_config(), FACTS, [far, near])[1] == near
    assert estimate_here(_config(), FACTS, []) == (said, None)


def test_this_machine_has_memory() -> None:
    assert this_machine().memory > 1e8
    assert str(this_machine()).startswith("this machine")
