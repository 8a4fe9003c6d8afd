"""A state that claims a process is believed only while that very process exists."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime

import pytest

from manticore.store.events import EventWriter
from manticore.store.files import write_json
from manticore.store.folder import CONFIG_FILE, STATUS_FILE, STOP_FILE
from manticore.store.status import STALE_AFTER, process_started, read_status, write_status


def change(folder, **fields):
    status = read_status(folder)
    write_json(folder / STATUS_FILE, {**status.model_dump(), **fields})


def test_a_living_process_is_running(tmp_path):
    write_status(tmp_path, "running")
    assert read_status(tmp_path).state == "running"
    assert read_status(tmp_path).pid == os.getpid()


def test_a_killed_process_is_died(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_status(tmp_path, "running", pid=process.pid)
    assert read_status(tmp_path).state == "running"
    process.kill()
    while process_started(process.pid) is not None:  # until it is at least a zombie
        time.sleep(0.01)
    assert read_status(tmp_path).state == "died"
    process.communicate()
    assert read_status(tmp_path).state == "died"


def test_another_process_with_the_same_number_is_not_mistaken(tmp_path):
    write_status(tmp_path, "running")
    change(tmp_path, pid_started=time.time() - 86_400 * 365)
    assert read_status(tmp_path).state == "died"


@pytest.mark.parametrize("state", ["stopped", "done", "failed"])
def test_an_end_needs_no_process(tmp_path, state):
    write_status(tmp_path, state, message="why")
    change(tmp_path, pid_started=1.0)
    status = read_status(tmp_path)
    assert status.state == state
    assert status.message == "why"
    assert not status.is_active


def test_a_request_to_stop_shows_while_the_process_lives(tmp_path):
    write_status(tmp_path, "running")
    (tmp_path / STOP_FILE).touch()
    assert read_status(tmp_path).state == "stopping"
    write_status(tmp_path, "stopped")
    assert read_status(tmp_path).state == "stopped"


def test_on_another_machine_the_heartbeat_decides(tmp_path):
    write_status(tmp_path, "running")
    change(tmp_path, host="another", pid=1, pid_started=1.0)
    assert read_status(tmp_path).state == "running"
    change(tmp_path, heartbeat=time.time() - STALE_AFTER - 1)
    assert read_status(tmp_path).state == "died"


DAMAGES = ["", "{", "[]", '{"state": "dancing"}', None]


@pytest.mark.parametrize("content", DAMAGES)
@pytest.mark.parametrize(
    ("kinds", "state"),
    [([], "died"), (["step"], "died"), (["step", "done"], "done"), (["step", "failed"], "failed")],
)
def test_a_lost_status_is_made_up_from_the_events(tmp_path, content, kinds, state):
    (tmp_path / CONFIG_FILE).write_text("{}")
    fields = {"step": {"step": 1, "loss": 2.0, "lr": {}}, "failed": {"cause": "too wide"}}
    with EventWriter(tmp_path) as events:
        for kind in kinds:
            events.emit(kind, **fields.get(kind, {}))
    if content is not None:
        (tmp_path / STATUS_FILE).write_text(content)
    status = read_status(tmp_path)
    assert status.state == state
    assert status.message == ("too wide" if state == "failed" else "")
    assert abs(status.created - time.time()) < 600
    assert not status.is_active


@pytest.mark.parametrize("field", ["created", "heartbeat", "pid_started"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300", "-1", '"soon"'])
def test_a_time_that_no_calendar_has_is_a_damage(tmp_path, field, value):
    status = write_status(tmp_path, "stopped")
    text = status.model_dump() | {field: "TIME"}
    (tmp_path / STATUS_FILE).write_text(json.dumps(text).replace('"TIME"', value))
    assert read_status(tmp_path).state == "died"
    datetime.fromtimestamp(read_status(tmp_path).created)
