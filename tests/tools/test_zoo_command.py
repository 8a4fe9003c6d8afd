"""`python -m tools.zoo train`."""

import pytest
from typer.testing import CliRunner

from tools.zoo.__main__ import commands


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tales-nex", "--data", "."], "Did you mean"),
        (["tales-neox", "--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_ends_in_one_clear_line(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(commands, ["train", *arguments])
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
