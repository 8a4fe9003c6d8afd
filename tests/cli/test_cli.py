"""The `manticore` command: its real way from search to chat, and what it says of bad input."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner

import manticore as mc
from manticore.cli import app
from manticore.hybrid import ManticoreForCausalLM
from manticore.runs import RunError, get_run, runs
from manticore.views.plots.perplexity import perplexity_label
from manticore.views.wording import lead_in_words
from tests.app.zoo import use_tiny_zoo
from tests.tiny import TEXT, make_tokenizer, save_component

EXAMPLE = Path(__file__).parents[2] / "assets/recipes/bilingual.yaml"
TINY = ["zoo:tiny-neox", "zoo:tiny-mamba"]
PATIENCE = 240.0


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A folder with tiny components as the zoo, a text, and runs that are killed afterwards."""
    use_tiny_zoo(tmp_path, monkeypatch)
    yield tmp_path
    for run in runs(tmp_path / "runs"):
        run.kill()


def manticore(*arguments, **options):
    return CliRunner().invoke(app, list(map(str, arguments)), **options)


def search(at, *more, steps=8, components=TINY):
    return manticore(
        *("search", *components, "--data", at / "text.txt", "--steps", steps, "--seq-len", 16),
        *("--batch-size", 2, "--blocks", 2, "--projector-init", "identity", *more),
    )


def test_search_watch_list_and_chat(at):
    result = search(at)
    assert result.exit_code == 0, result.output
    (run,) = runs()
    assert run.status.state == "done"
    assert "done  step 8 of 8" in result.output
    assert run.mixture_history().shape == (9, 2, 2)

    listed = manticore("runs")
    assert run.id in listed.output
    assert "8/8" in listed.output
    assert manticore("watch", "last").output.count("held-out perplexity") >= 2

    colored = manticore("show", "last", "Once upon a time")
    assert colored.exit_code == 0, colored.output
    assert "Once upon a time" in colored.output

    assert manticore("rename", "last", "A fox", "--note", "first try").exit_code == 0
    assert (run.name, run.note) == ("A fox", "first try")
    assert "A fox" in manticore("runs").output
    assert "Nothing is given" in manticore("rename", "last").output
    packed = manticore("export", "last", at / "run.zip")
    assert packed.exit_code == 0, packed.output
    taken = manticore("import", at / "run.zip", "--runs-root", at / "elsewhere")
    assert taken.exit_code == 0, taken.output
    assert get_run(run.id, at / "elsewhere").note == "first try"

    talked = manticore("chat", run.id, "--max-new-tokens", 4, input="Once upon a time\n")
    assert talked.exit_code == 0, talked.output
    assert ">" in talked.output


def test_options_reach_the_run(at):
    result = search(
        at,
        *("--no-watch", "--mixture-lr", 0.125, "--projector-lr", 0.25, "--component-lr", 0),
        *("--name", "Mine", "--seed", 3, "--device", "cpu", "--projector", "mlp"),
        *("--track", "tensorboard"),
    )
    assert result.exit_code == 0, result.output
    run = get_run(result.output.split()[-1])
    options = run.config.options
    assert (options.mixture_lr, options.projector_lr, options.component_lr) == (0.125, 0.25, 0)
    assert (options.steps, options.batch_size) == (8, 2)
    config = run.config
    assert (config.name, config.seed, config.device) == ("Mine", 3, "cpu")
    assert (config.projector, config.n_blocks, config.data["seq_len"]) == ("mlp", 2, 16)
    assert (config.data["seed"], config.head, config.dtype) == (0, "mixed", "float32")
    assert config.trackers == ("tensorboard",)


def test_a_foreign_tokenizer_is_transplanted_and_said(at):
    folder = at / "foreign"
    save_component(folder, "gpt2", width=32, layers=4)
    make_tokenizer(TEXT[:1], vocab_size=80).save_pretrained(folder)
    result = search(at, "--no-watch", components=[TINY[0], folder])
    assert result.exit_code == 0, result.output
    assert re.search(r"foreign: [0-9]+% of the hybrid's vocabulary was copied", result.output)


def test_the_stages_after_a_search(at):
    assert search(at, "--set", "tied=true", "--mixture-lr", "0.5").exit_code == 0
    found = runs()[0]
    history = found.mixture_history()
    assert (history[:, 0] == history[:, 1]).all()
    text = ("--data", at / "text.txt", "--seq-len", 16, "--batch-size", 2)
    tuned = manticore("finetune", "last", *text, "--steps", 2, "--lora-rank", 2)
    assert tuned.exit_code == 0, tuned.output
    assert runs()[0].config.options.lora.rank == 2
    assert runs()[0].mixture_history()[-1] == pytest.approx(history[-1], abs=1e-6)
    measured = manticore("evaluate", "last", *text, "--batches", 2)
    assert measured.exit_code == 0, measured.output
    assert "held-out perplexity" in measured.output
    assert set(runs()[0].metrics()["components"]) == {"tiny-neox", "tiny-mamba"}


def test_projectors_are_pretrained(at):
    result = manticore(
        *("pretrain-projectors", *TINY, "--data", at / "text.txt", "--steps", 2, "--blocks", 2),
        *("--seq-len", 16, "--batch-size", 2, "--projector-init", "random"),
    )
    assert result.exit_code == 0, result.output
    pretrained = runs()[0]
    assert pretrained.config.stage == "pretrain-projectors"
    assert pretrained.status.state == "done"
    text = ("--data", at / "text.txt", "--seq-len", 16, "--batch-size", 2, "--steps", 2)
    refused = manticore("search", "last", *text, "--projector", "mlp", "--blocks", 2)
    assert refused.exit_code == 1
    assert "leave out --blocks, --projector" in " ".join(refused.output.split())
    searched = manticore("search", pretrained.id, *text)
    assert searched.exit_code == 0, searched.output
    start = ManticoreForCausalLM.from_pretrained(runs()[0].folder / "start")
    for name, weight in pretrained.hybrid().state_dict().items():
        assert torch.equal(start.state_dict()[name], weight), name


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        (["=2"], "neither NAME nor NAME=NUMBER"),
        (["memorization="], "neither NAME nor NAME=NUMBER"),
        (["in_context_recall", "in-context-recall=2"], "gives in-context-recall twice"),
        (["memorization=much"], "memorization"),
        (["recall"], "tasks.recall: Unknown MAD task 'recall'. Did you mean"),
    ],
)
def test_impossible_task_weights_are_refused_before_anything_is_built(tasks, says):
    named = [argument for task in tasks for argument in ("--task", task)]
    result = manticore("program", "zoo:not-there", *named)
    assert result.exit_code == 1
    assert says in " ".join(result.output.split())
    assert "not-there" not in result.output


@pytest.mark.parametrize(
    ("command", "flag", "option"),
    [
        ("search", ("--steps", 5), "steps=5"),
        ("search", ("--mixture-lr", 0.1), "mixture-lr=0.1"),
        ("finetune", ("--lora-rank", 2), "lora={rank: 2}"),
        ("program", ("--task", "memorization"), "tasks=[memorization]"),
        ("program", ("--length", 8), "lengths=[8, 16]"),
    ],
)
def test_an_option_is_given_once(command, flag, option):
    text = () if command == "program" else ("--data", "text.txt")
    result = manticore(command, "zoo:not-there", *text, *flag, "--set", option)
    assert result.exit_code == 1
    assert "is given by its flag and by --set" in " ".join(result.output.split())


def test_a_seed_changes_no_held_out_text(at):
    assert search(at, "--seed", 1, steps=2).exit_code == 0
    text = ("--data", at / "text.txt", "--seq-len", 16, "--batch-size", 2)
    assert manticore("finetune", "last", *text, "--steps", 2, "--seed", 2).exit_code == 0
    options = ("--batches", 1, "--set", "alignment_sequences=2")
    assert manticore("evaluate", "last", *text, *options).exit_code == 0
    assert [run.config.seed for run in runs()] == [0, 2, 1]
    assert {run.config.data["seed"] for run in runs()} == {0}
    assert runs()[0].config.options.alignment_sequences == 2


def test_a_run_is_made_and_not_started(at):
    made = search(at, "--no-launch")
    assert made.exit_code == 0
    (run,) = runs()
    assert f"manticore resume {run.id}" in " ".join(made.output.split())
    assert run.status.state == "stopped"


def test_options_are_checked_before_anything_is_built():
    for command in ("search", "pretrain-projectors"):
        options = ("--data", "text.txt", "--set", "max_grad_norm=-1")
        result = manticore(command, "zoo:not-there", *options)
        assert result.exit_code == 1
        assert "max_grad_norm" in result.output
        assert "not-there" not in result.output
    result = manticore("finetune", "not-there", "--data", "text.txt", "--set", "stepps=1")
    assert "stepps" in result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "text.txt", "--device", "cuda:99"], "There is no device 'cuda:99'"),
        (["--data", "no-such.txt"], "There is no file no-such.txt"),
        (["--data", "bundled:stories-e"], "Did you mean 'stories-es'?"),
        (["--data", "text.txt", "--track", "trackio"], "The tracker trackio is not installed"),
    ],
)
def test_what_this_machine_lacks_is_said_before_anything_is_built(
    tmp_path, monkeypatch, arguments, says
):
    (tmp_path / "text.txt").touch()
    monkeypatch.chdir(tmp_path)
    result = manticore("search", "zoo:not-there", *arguments)
    assert result.exit_code == 1
    assert says in " ".join(result.output.split())


def test_programming_then_finetuning(at):
    tiny = '{"memorization": {"vocabulary": 16, "length": 8, "test_examples": 16}}'
    result = manticore(
        *("program", *TINY, "--task", "memorization=0.5", "--steps", 2, "--blocks", 2),
        *("--batch-size", 4, "--combine", "best", "--set", f"settings={tiny}"),
    )
    assert result.exit_code == 0, result.output
    run = runs()[0]
    options = run.config.options
    assert (options.tasks, options.combine) == ({"memorization": 0.5}, "best")
    assert options.searches()[0].setting.vocabulary == 16
    refused = manticore("trust", "last", "--data", at / "text.txt")
    assert "with two tasks or more" in " ".join(refused.output.split())
    text = ("--data", at / "text.txt", "--seq-len", 16, "--batch-size", 2, "--steps", 2)
    tuned = manticore("finetune", "last", *text)
    assert tuned.exit_code == 0, tuned.output
    assert runs()[0].mixture_history()[-1] == pytest.approx(run.mixture_history()[-1], abs=1e-6)
    by_length = manticore(
        *("program", *TINY, "--task", "memorization", "--steps", 1, "--blocks", 2),
        *("--batch-size", 4, "--length", 4, "--length", 8, "--target-length", 100),
    )
    assert by_length.exit_code == 0, by_length.output
    assert set(runs()[0].metrics()["lengths"]) == {"4", "8"}


def test_trust_in_what_was_programmed(at):
    result = manticore(
        *("program", *TINY, "--task", "memorization", "--task", "in-context-recall"),
        *("--steps", 1, "--blocks", 2, "--batch-size", 4),
    )
    assert result.exit_code == 0, result.output
    run = runs()[0]
    assert -1 <= run.metrics()["agreement"] <= 1
    told = manticore("trust", "last", "--data", at / "text.txt", "--seq-len", 16)
    assert told.exit_code == 0, told.output
    text = mc.load_text(at / "text.txt", tokenizer=run.hybrid().tokenizer, seq_len=16, seed=0)
    found = mc.trust(run, text)
    alone = [mc.perplexity(one, text.valid) for one in run.hybrid().components]
    assert list(found.alone.values()) == pytest.approx(alone, rel=1e-5)
    best = alone.index(min(alone))
    share = run.hybrid().mixture_weights.mean(dim=0)[best].item()
    assert found.lead == pytest.approx(share - 0.5, abs=1e-6)
    for name, measured in found.alone.items():
        row = next(line for line in told.output.splitlines() if line.startswith(name))
        assert row.split()[1:] == [f"{found.shares[name]:.2f}", perplexity_label(measured)]
    assert lead_in_words(found) in " ".join(told.output.split())
    assert f"Agreement: {found.agreement:.2f} " in told.output
    said = " ".join(told.output.split())
    assert f"Of all orders of the blocks {found.by_chance:.0%} agree as well." in said
    row = next(line for line in told.output.splitlines() if line.startswith("memorization"))
    done = run.metrics()["tasks"]["memorization"]
    shares = (found.skills["memorization"], done["accuracy"], done["guessing"])
    assert row.split()[1:] == [f"{share:.0%}" for share in shares]
    tuned = mc.finetune(run, text, 1, launch=False)
    assert mc.trust(tuned, text) == found
    other = mc.search(mc.build_hybrid(TINY, 2), text, launch=False)
    refused = manticore("trust", other.id, "--data", at / "text.txt")
    assert "no programming came before it" in " ".join(refused.output.split())


def test_stop_and_resume(at):
    search(at, "--no-watch", steps=4000)
    (run,) = runs()
    while not run.losses()[0].size:
        assert run.is_alive
        time.sleep(0.05)
    stopped = manticore("stop", "last")
    assert stopped.exit_code == 0, stopped.output
    run.wait(PATIENCE)
    assert run.status.state == "stopped"
    assert manticore("stop", "last").exit_code == 1
    resumed = manticore("resume", run.id, "--no-watch")
    assert resumed.exit_code == 0, resumed.output
    assert run.is_alive
    assert manticore("resume", run.id).exit_code == 1
    refused = manticore("finetune", run.id, "--data", at / "text.txt")
    assert "is still at work: wait for its end" in " ".join(refused.output.split())
    ended = manticore("stop", "--now", run.id)
    assert ended.exit_code == 0, ended.output
    with pytest.raises(RunError, match="was killed"):
        run.wait(PATIENCE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "zoo:tiny-nox", "--data", "text.txt"], "Did you mean 'tiny-neox'"),
        (["search", *TINY, "--data", "no-such.txt"], "no-such.txt"),
        (["search", *TINY, "--data", "text.txt", "--blocks", "9"], "n_blocks=9"),
        (["search", *TINY, "--data", "text.txt", "--strategy", "dart"], "strategy"),
        (["search", *TINY, "--data", "text.txt", "--device", "tpu"], "device"),
        (
            ["search", *TINY, "--data", "text.txt", "--mixture-lr", "0"],
            "mixture_lr is 0.0: it should",
        ),
        (["search", *TINY, "--data", "text.txt", "--name", "x" * 121], "at most 120 characters."),
        (["search", *"abcde", "--data", "text.txt"], "at most 4"),
        (["runs", "--runs-root", "text.txt"], "is a file and cannot hold runs"),
        (["demo", "--runs-root", "~nosuchuser/x"], "home folder that is not known"),
        (["search", *TINY, "--data", "text.txt", "--set", "tied"], "not a NAME=VALUE pair"),
        (["search", *TINY, "--data", "text.txt", "--set", "teid=1"], "teid"),
        (["finetune", "last", "--data", "text.txt"], "There is no run yet"),
        (["recipe", "no.yaml"], "There is no recipe"),
        (["recipe", str(EXAMPLE), "--set", "search.stepz=1"], "Did you mean 'steps'"),
        (["sweep", str(EXAMPLE), "--vary", "search.stepz=1"], "Did you mean 'steps'"),
        (["sweep", str(EXAMPLE), "--vary", "search.steps=0"], "give 1 or more"),
        (["sweep", str(EXAMPLE), "--seeds", "[1"], "is not a list of values"),
        (["reproduce", "bilingul"], "choose one of"),
        (["reproduce", "no/config.json"], "There is no"),
        (["reproduce", "20990101-000000000-x"], "no run"),
        (["watch", "last"], "There is no run yet"),
        (["watch", "../elsewhere"], "is not a run id"),
        (["chat", "20990101-000000000-x"], "no run"),
    ],
)
def test_bad_input_ends_in_one_clear_line(at, monkeypatch, arguments, says):
    monkeypatch.chdir(at)
    result = manticore(*arguments)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_a_run_that_fails_is_said_in_the_exit_status(at):
    search(at, "--no-launch", steps=2)
    (run,) = runs()
    config = json.loads((run.folder / "config.json").read_text())
    config["data"]["source"] = str(at / "gone.txt")
    (run.folder / "config.json").write_text(json.dumps(config))
    result = manticore("resume", run.id)
    assert result.exit_code == 1
    assert "gone.txt" in "".join(result.output.split())


def test_the_example_recipe_with_few_steps_and_small_components(at):
    small = ["components=[zoo:tiny-neox, zoo:tiny-mamba]", "n_blocks=2", "device=cpu"]
    small += [f"data.source={at / 'text.txt'}", "data.seq-len=16", "evaluate.eval-batches=1"]
    for stage in ("pretrain-projectors", "search", "finetune"):
        small += [f"{stage}.steps=2", f"{stage}.eval-batches=1", f"{stage}.batch-size=2"]
    settings = [word for each in small for word in ("--set", each)]
    result = manticore("recipe", EXAMPLE, *settings)
    assert result.exit_code == 0, result.output
    made = runs()[::-1]
    stages = ["pretrain-projectors", "search", "finetune", "evaluate"]
    assert [run.config.stage for run in made] == stages
    closing = result.output.split("done")[-1]
    for run in made:
        assert re.search(rf"{run.id} +[0-9.]+", closing)
    # Nothing is left to do, and every run is shown again.
    again = manticore("recipe", EXAMPLE, *settings)
    assert again.output.split("done")[-1] == closing
    assert len(runs()) == 4


def test_a_run_is_reproduced(at):
    search(at, steps=2)
    (run,) = runs()
    again = manticore("reproduce", run.id)
    assert again.exit_code == 0, again.output
    assert (runs()[0].losses()[1] == run.losses()[1]).all()
    assert runs()[0].id != run.id


def test_a_sweep_is_shown_and_kept(at):
    (at / "r.yaml").write_text(
        "components: [zoo:tiny-neox]\nprojector_init: identity\ndevice: cpu\n"
        "data: {source: text.txt, seq_len: 16}\nstages: {evaluate: {eval_batches: 1}}\n"
    )
    # Its only trial is done before: Ray takes long to start, and has tests of its own.
    trial = mc.Recipe.from_yaml(at / "r.yaml").with_options({"evaluate.batch_size": 2, "seed": 0})
    mc.run_recipe(trial)
    sweep = ("sweep", at / "r.yaml", "--vary", "evaluate.batch-size=2", "--seeds", "0")
    result = manticore(*sweep)
    assert result.exit_code == 0, result.output
    assert re.search(r"2 +[0-9.]+ +1\n", result.output)
    (path,) = (at / "runs").glob("sweep-*.json")
    assert path.name in result.output
    assert len(json.loads(path.read_text())["trials"]) == len(runs()) == 1


def test_tables_are_listed():
    listed = manticore("reproduce", "tables").output.split()
    assert {"bilingual", "planted"} <= set(listed)
    assert "harness" not in listed


def test_zoo_is_listed(at):
    result = manticore("zoo", "list")
    assert "tiny-mamba" in result.output
    assert "95.00" in result.output


def test_doctor_finds_what_is_here(at):
    result = manticore("doctor")
    assert result.exit_code == 0, result.output
    assert "tiny-neox" in result.output
    assert "numba" in result.output


def test_doctor_advises_where_something_is_missing(at, monkeypatch):
    monkeypatch.setenv("MANTICORE_ZOO", str(at / "nowhere"))
    result = manticore("doctor")
    marks = {line[3:23].strip(): line[0] for line in result.output.splitlines() if line[0] != " "}
    assert marks["bundled components"] == "!"
    assert marks["Python"] == "✓"
    assert "reinstall the package" in " ".join(result.output.split())


def test_an_unknown_command_gets_the_nearest():
    result = manticore("serch")
    assert result.exit_code == 2
    assert "Did you mean 'search'?" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["runs"]])
def test_help_and_listings_need_no_torch(arguments, tmp_path):
    code = (
        "import sys, manticore.cli\n"
        f"try: manticore.cli.app({arguments})\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path)
    assert ended.returncode == 0


COMMANDS = get_command(app).list_commands(None)


@pytest.mark.parametrize("command", [*(name for name in COMMANDS if name != "zoo"), "zoo list"])
def test_help_of_every_command(command):
    result = manticore(*command.split(), "--help")
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert f"Usage: manticore {command}" in words or f"Usage: root {command}" in words
