"""Two processes on one run do what one process does, and agree on the mixture weights."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from manticore.runs import Run, RunConfig
from manticore.runs.launch import make_run_folder
from tests.tiny import TEXT

# Runs the worker, then leaves what this process found beside the run.
SCRIPT = """
import json, os, sys
from pathlib import Path
from manticore.runs import worker
import manticore.train.training as training

folder, made = Path(sys.argv[1]), []
assemble = training.Assembly

def remember(hybrid, config):
    made.append(hybrid)
    return assemble(hybrid, config)

training.Assembly = remember
status = worker.main([str(folder)])
alpha = made[0].mixture_weights.tolist()
(folder.parent / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(alpha))
sys.exit(status)
"""
STRATEGIES = ["darts", "darts-bilevel", "gaea", "dash", "probe"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_are_one(
    component: Callable[..., str], tmp_path: Path, strategy: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(TEXT * 60))
    search = {"strategy": strategy, "steps": 5, "batch_size": 4, "accumulate": 1}
    search |= {"eval_every": 5, "eval_batches": 1, "checkpoint_every": 5, "sample_prompt": ""}
    if strategy != "probe":
        search["mixture_lr"] = 0.3
    config = RunConfig(
        components=[component("gpt_neox"), component("llama")],
        n_blocks=2,
        projector_init="random",
        data={"source": str(text), "seq_len": 16, "cache_dir": str(tmp_path / "cache")},
        search=search,
        device="cpu",
    )
    script = tmp_path / "work.py"
    script.write_text(SCRIPT)
    runs = {}
    for processes in (1, 2):
        folder = make_run_folder(config, root=tmp_path / str(processes))
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        command += ["--standalone", str(script), str(folder)]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        runs[processes] = Run(folder)
    torch.testing.assert_close(
        torch.tensor(runs[2].losses()[1]), torch.tensor(runs[1].losses()[1]), rtol=0, atol=1e-4
    )
    assert runs[2].status.state == "done"
    ranks = [json.loads((tmp_path / "2" / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0] == ranks[1]
    alpha = runs[2].hybrid().mixture_weights
    torch.testing.assert_close(torch.tensor(ranks[0]), alpha, rtol=0, atol=1e-6)
    torch.testing.assert_close(alpha, runs[1].hybrid().mixture_weights, rtol=0, atol=1e-3)
