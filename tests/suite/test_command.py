"""`manticore mad`: what it prints, what it leaves, and what it says of bad input."""

import json

import pytest
from typer.testing import CliRunner

from manticore.cli import app
from manticore.config.setting import PRESETS
from tests.suite.test_suite import COMPRESSION, RECALL


def mad(*arguments):
    return CliRunner().invoke(app, ["mad", *map(str, arguments)], env={"COLUMNS": "120"})


def test_the_suite_from_the_shell(tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "quick", lambda: [RECALL, COMPRESSION])
    result = mad(
        *("--model", "gpt_neox", "--model", "mamba", "--task", "in-context-recall"),
        *("--seeds", 2, "--epochs", 1, "--folder", tmp_path, "--device", "cpu"),
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["trial"]["model"], line["trial"]["seed"]) for line in lines] == [
        ("gpt_neox", 0),
        ("mamba", 0),
        ("gpt_neox", 1),
        ("mamba", 1),
    ]
    # As many as were asked for, and not the preset's least: 64 examples in batches of 32.
    assert {(line["trial"]["epochs"], line["step"]) for line in lines} == {(1, 2)}
    finished = [line for line in result.output.splitlines() if "/4 " in line]
    assert [line.split()[:2] for line in finished] == [
        ["1/4", "gpt_neox,"],
        ["2/4", "mamba,"],
        ["3/4", "gpt_neox,"],
        ["4/4", "mamba,"],
    ]
    header, neox, _ = (
        line for line in result.output.splitlines() if "M " in line or "mean" in line
    )
    assert header.split() == ["model", "size", "recall", "mean"]
    score = 50 * (lines[0]["accuracy"] + lines[2]["accuracy"])
    assert neox.split()[:4] == [
        "gpt_neox",
        f"{lines[0]['parameters'] / 1e6:.2f}M",
        f"{score:.1f}",
        "±",
    ]
    assert str(tmp_path / "results.jsonl") in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "gpt_nox"], "Did you mean 'gpt_neox'"),
        (["--task", "recal"], "Unknown MAD task 'recal'"),
        (["--preset", "slow"], "Unknown preset 'slow'"),
        (["--device", "cuda:77", "--task", "memorization"], "no device 'cuda:77'"),
        (["--device", "gpu", "--task", "memorization"], "'gpu' is not a device"),
        (["--dtype", "float8"], "dtype"),
    ],
)
def test_bad_input_gets_one_clear_line(tmp_path, arguments, says):
    result = mad("--folder", tmp_path, *arguments)
    assert result.exit_code == 1
    assert "error:" in result.output
    assert says in " ".join(result.output.split())
    assert "Traceback" not in result.output
