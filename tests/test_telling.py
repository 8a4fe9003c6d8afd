"""The line that says in a notebook what takes seconds."""

import sys
from types import SimpleNamespace

import pytest

from manticore import telling as module
from manticore.telling import telling


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What stands in the output of a kernel, as it changes."""
    shown: list[dict] = []

    class Handle:
        def display(self, data: dict, raw: bool) -> None:
            shown.append(data)

        update = display

    shell = SimpleNamespace(kernel=None)
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.DisplayHandle", Handle)
    return shown


def test_the_line_stays_with_its_time(lines, monkeypatch) -> None:
    clock = iter([10.0, 13.2])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with telling("Building"):
        assert lines == [{"text/plain": "Building …"}]
    assert lines[1] == {"text/plain": "Building: 3.2 s"}


def test_nothing_stays_where_nobody_has_waited(lines) -> None:
    with telling("Building"):
        pass
    assert lines[1] == {}


def test_the_line_ends_where_something_fails(lines) -> None:
    with pytest.raises(ValueError, match="no"), telling("Building"):
        raise ValueError("no")
    assert len(lines) == 2


def test_nothing_is_said_elsewhere(lines, monkeypatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    with telling("Building"):
        pass
    monkeypatch.delitem(sys.modules, "IPython")
    with telling("Building"):
        pass
    assert lines == []
