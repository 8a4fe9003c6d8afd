"""Two processes on one run do what one process does, and agree on the mixture weights: each with
all of the weights (DDP), or with half of them (FSDP2)."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from manticore.hybrid import ManticoreForCausalLM
from manticore.runs import Run, RunConfig, start_run, worker
from manticore.runs.launch import make_run_folder
from manticore.store.folder import STOP_FILE
from manticore.train import trainer
from manticore.train.assembly import Assembly
from manticore.train.reporting import Reporter
from tests.forked import run_forked, two_processes
from tests.tiny_runs import do_here, run_config

STEPS = 5


def work_along(folder: str, die_at: int, sharded: bool) -> int:
    """A worker that leaves beside the run what its process found, or dies after a step.

    Accelerate shards only where there are several GPUs, so two CPU processes are passed off as
    such: FSDP2 itself needs none.
    """
    made, assemble, report = [], trainer.Assembly, Reporter.step_done

    def remember(hybrid: ManticoreForCausalLM, config: RunConfig) -> Assembly:
        made.append(hybrid)
        return assemble(hybrid, config)

    def report_or_die(reporter: Reporter, step: int, loss: float) -> None:
        report(reporter, step, loss)
        if step == die_at:
            os._exit(9)

    trainer.Assembly, Reporter.step_done = remember, report_or_die
    if sharded:
        PartialState(cpu=True)
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    status = worker.main([folder])
    if made:  # an evaluation assembles nothing
        found = {"alpha": made[0].mixture_weights.tolist()}
        found["sharded"] = sum(hasattr(p, "device_mesh") for p in made[0].parameters())
        beside = Path(folder).parent / f"rank-{os.environ['RANK']}.json"
        beside.write_text(json.dumps(found))
    return status


FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
}
MOVING = {"mixture_lr": 0.3}
LORA = {"lora": {"rank": 2}, "component_lr": 1e-2}
# What a run does: its stage, and options of it.
WORK = {
    "darts": ("search", {"strategy": "darts", **MOVING}),
    "darts-bilevel": ("search", {"strategy": "darts-bilevel", **MOVING}),
    "gaea": ("search", {"strategy": "gaea", **MOVING}),
    "dash": ("search", {"strategy": "dash", **MOVING}),
    "routed": ("search", {"strategy": "routed", "router": {"fit_steps": 5}}),
    "routed, not fitted": ("search", {"strategy": "routed", "router": {"fit_steps": 0, "lr": 0.1}}),
    "probe": ("search", {"strategy": "probe"}),
    "random": ("search", {"strategy": "random", "candidates": 2}),
    "pretrain-projectors": ("pretrain-projectors", {}),
    "finetune": ("finetune", {"component_lr": 1e-2}),
    "lora": ("finetune", LORA),
    "evaluate": ("evaluate", {}),
}
DDP_WORK = ["darts", "darts-bilevel", "gaea", "dash", "routed", "probe", "finetune", "lora"]
FSDP_WORK = ["darts", "routed, not fitted", "random", "pretrain-projectors", "finetune", "lora"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def config(component: Callable[..., str], folder: Path) -> Callable[[str], RunConfig]:
    def make(work: str) -> RunConfig:
        stage, options = WORK[work]
        if stage != "evaluate":
            options = {"steps": STEPS, "batch_size": 4, "eval_every": STEPS, **options}
            options |= {"checkpoint_every": 2, "sample_tokens": 3}
        options |= {"eval_batches": 1}
        # The head of gpt_neo is its embedding, and it has no dropout.
        parts = [component("gpt_neo", layers=2), component("mamba", width=24, layers=3)]
        return run_config(folder, parts, stage, options, projector_init="random")

    return make


@pytest.fixture(scope="module")
def by_one(config: Callable[[str], RunConfig], folder: Path) -> Callable[[str], Run]:
    """The run of a work that one process has done."""

    @cache
    def done(work: str) -> Run:
        return do_here(start_run(config(work), root=folder / "one" / work, launch=False))

    return done


@pytest.fixture(scope="module")
def by_halves(config: Callable[[str], RunConfig], folder: Path) -> Callable[[str], Run]:
    """The run of a work that two processes have done, each with half of the weights."""

    @cache
    def done(work: str) -> Run:
        return run_it(config(work), folder / "halves" / work, "fsdp")

    return done


def work_on(folder: Path, how: str = "ddp", die_at: int = -1) -> list[int]:
    """Exit status of two processes that work on a run."""
    environments = [
        {**own, "ACCELERATE_USE_CPU": "true", **(FSDP if how == "fsdp" else {})}
        for own in two_processes()
    ]
    output = folder.parent / "output"
    arguments = (str(folder), die_at, how == "fsdp")
    return run_forked(work_along, *arguments, output=output, environments=environments)


def run_it(config: RunConfig, root: Path, how: str = "ddp") -> Run:
    folder = make_run_folder(config, root=root)
    assert work_on(folder, how) == [0, 0], (root / "output").read_text()[-6000:]
    return Run(folder)


def check_alike(run: Run, whole: Run) -> None:
    """Of two processes and of one: losses, mixture weights on each process, and the result."""
    close = {"rtol": 0, "atol": 1e-4}
    assert run.status.state == "done"
    losses = torch.tensor(run.losses()[1])
    torch.testing.assert_close(losses, torch.tensor(whole.losses()[1]), **close)
    ranks = [json.loads((run.folder.parent / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["alpha"] == ranks[1]["alpha"]
    hybrid, other = run.hybrid(), whole.hybrid()
    torch.testing.assert_close(torch.tensor(ranks[0]["alpha"]), hybrid.mixture_weights, **close)
    torch.testing.assert_close(hybrid.mixture_weights, other.mixture_weights, rtol=0, atol=1e-3)
    perplexities = [run.metrics()["perplexity"] for run in (run, whole)]
    assert perplexities[0] == pytest.approx(perplexities[1], rel=1e-3)


def test_two_processes_program_like_one(component: Callable[..., str], tmp_path: Path) -> None:
    tasks = {"memorization": {"vocabulary": 16, "length": 8, "test_examples": 16}}
    tasks["compression"] = {"vocabulary": 4, "length": 4, "train_examples": 64}
    options = {"tasks": list(tasks), "settings": tasks, "steps": STEPS, "batch_size": 4}
    parts = [component("gpt_neo", layers=2), component("mamba", width=24, layers=3)]
    config = run_config(tmp_path, parts, "program", options | MOVING, data={})
    one = do_here(start_run(config, root=tmp_path / "1", launch=False))
    two = run_it(config, tmp_path / "2")
    assert two.status.state == "done"
    close = {"rtol": 0, "atol": 1e-4}
    losses = torch.tensor(two.losses()[1])
    assert len(losses) == 2 * STEPS
    torch.testing.assert_close(losses, torch.tensor(one.losses()[1]), **close)
    for task in tasks:
        found, expected = (run.metrics()["tasks"][task]["mixture_weights"] for run in (two, one))
        torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=0, atol=1e-3)
    ranks = [json.loads((two.folder.parent / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["alpha"] == ranks[1]["alpha"]


def test_an_evaluation_is_done_by_one_of_two(
    config: Callable[[str], RunConfig], by_one: Callable[[str], Run], tmp_path: Path
) -> None:
    run = run_it(config("evaluate"), tmp_path)
    assert run.metrics() == by_one("evaluate").metrics()
    assert [event["kind"] for event in run.events()].count("eval") == 1


def test_a_stopped_run_goes_on_under_accelerate(
    config: Callable[[str], RunConfig], tmp_path: Path
) -> None:
    run = start_run(config("finetune"), root=tmp_path, launch=False)
    # Someone has asked an earlier worker to stop.
    (run.folder / STOP_FILE).touch()
    command = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command += ["-m", "manticore.runs.worker", str(run.folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert run.status.state == "done"
    assert run.losses()[0].tolist() == list(range(1, STEPS + 1))


@pytest.mark.parametrize("work", DDP_WORK)
def test_two_processes_are_one(
    config: Callable[[str], RunConfig], by_one: Callable[[str], Run], tmp_path: Path, work: str
) -> None:
    check_alike(run_it(config(work), tmp_path), by_one(work))


@pytest.mark.parametrize("work", FSDP_WORK)
def test_two_halves_are_one(
    by_halves: Callable[[str], Run], by_one: Callable[[str], Run], work: str
) -> None:
    run = by_halves(work)
    check_alike(run, by_one(work))
    found = json.loads((run.folder.parent / "rank-0.json").read_text())
    assert found["sharded"] > 50
    # The result is an ordinary hybrid, and so is what a checkpoint of the last step gives.
    state = ManticoreForCausalLM.from_pretrained(run.folder / "result" / "hybrid").state_dict()
    saved = load_file(run.folder / "checkpoints" / f"step-{STEPS:08d}" / "model.safetensors")
    name = "projectors.into.0.0.linear.weight"
    assert torch.equal(saved[name], state[name])


@pytest.mark.parametrize("work", ["darts", "finetune"])
def test_two_halves_are_killed_and_resumed(
    config: Callable[[str], RunConfig], by_halves: Callable[[str], Run], tmp_path: Path, work: str
) -> None:
    whole = by_halves(work)
    folder = make_run_folder(config(work), root=tmp_path)
    assert 9 in work_on(folder, "fsdp", die_at=3)
    run = Run(folder)
    assert run.losses()[0].tolist() == [1, 2, 3]
    # Without its result, a sharded run's hybrid is that of its checkpoint.
    assert run.hybrid().mixture_weights.tolist() == pytest.approx(run.mixture_history()[2])
    assert work_on(folder, "fsdp") == [0, 0]
    assert run.losses()[1].tolist() == whole.losses()[1].tolist()
    assert run.mixture_history().tolist() == whole.mixture_history().tolist()
    one, other = whole.hybrid().state_dict(), run.hybrid().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("work", "said"), [("gaea", "run without FSDP"), ("routed", "set router.fit_steps to 0")]
)
def test_a_strategy_that_cannot_be_sharded_says_so(
    config: Callable[[str], RunConfig], tmp_path: Path, work: str, said: str
) -> None:
    folder = make_run_folder(config(work), root=tmp_path)
    assert 1 in work_on(folder, "fsdp")
    assert said in Run(folder).status.message
