"""`manticore`: hybrids, runs and the bundled components from a shell.

Every command says with `--help` what it takes. What needs torch is imported inside the commands, so
that help and listings answer at once.
"""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from manticore.runs import Run, RunError, get_run
from manticore.runs import runs as list_runs
from manticore.runs.wording import explain

EXPECTED = (ValueError, LookupError, OSError, RunError)
"""Errors whose message names the value and the remedy: shown without a traceback."""


class _Explaining(TyperGroup):
    """Commands whose expected errors end in one clear line, and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            Console(stderr=True).print(f"[bold red]error:[/] {escape(explain(error))}")
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Explaining,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="Build, search and explore pretrained hybrid language models.",
)
zoo = typer.Typer(cls=_Explaining, no_args_is_help=True, help="The bundled components.")
app.add_typer(zoo, name="zoo")

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, `last` for the newest.")]
Root = Annotated[
    Path | None,
    typer.Option("--runs-root", help="Folder of all runs. [default: $MANTICORE_RUNS, else ./runs]"),
]
Components = Annotated[
    list[str], typer.Argument(help="One to four of: zoo:NAME, a folder, a hub id.")
]
Blocks = Annotated[
    int | None, typer.Option(help="Blocks to cut into. [default: the shallowest depth]")
]
Seed = Annotated[int, typer.Option(help="Decides everything that is random.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 takes the likeliest token.")]
TopP = Annotated[float, typer.Option(min=0.01, max=1, help="Nucleus mass.")]
NewTokens = Annotated[int, typer.Option(min=1, help="Longest continuation, in tokens.")]


@app.callback()
def _configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )


@app.command(name="app")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 7860,
    root: Root = None,
) -> None:
    """Open the explorer as a page for the browser."""
    command = [sys.executable, "-m", "app.main", "--host", host, "--port", str(port)]
    if root is not None:
        command += ["--runs-root", str(root)]
    try:
        raise typer.Exit(subprocess.run(command, check=False).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def demo(
    steps: Annotated[int, typer.Option(min=1, help="Steps of the search.")] = 200,
    seed: Seed = 0,
    root: Root = None,
) -> None:
    """Build a hybrid of two bundled components, search it, and read what it writes."""
    _quiet_progress()
    from manticore.terminal.demo import demo as run_demo

    run_demo(Console(), steps=steps, seed=seed, root=root)


@app.command()
def search(
    components: Components,
    data: Annotated[str, typer.Option(help="Text file, folder, hub/dataset:split, bundled:NAME.")],
    strategy: Annotated[str, typer.Option(help="How mixture weights are searched.")] = "darts",
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 300,
    blocks: Blocks = None,
    projector: Annotated[str, typer.Option(help="linear, identity or mlp.")] = "linear",
    projector_init: Annotated[str, typer.Option(help="aligned, identity or random.")] = "aligned",
    head: Annotated[str, typer.Option(help="mixed or new.")] = "mixed",
    seq_len: Annotated[int, typer.Option(min=2, help="Tokens of a sequence.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Sequences of a step.")] = 8,
    mixture_lr: Annotated[float | None, typer.Option(help="Of the mixture weights.")] = None,
    projector_lr: Annotated[float | None, typer.Option(help="Of projectors; 0 freezes.")] = None,
    component_lr: Annotated[float | None, typer.Option(help="Of components; 0 freezes.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for the run.")] = None,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code from hub repositories.")
    ] = False,
    watching: Annotated[bool, typer.Option("--watch/--no-watch", help="Show it live.")] = True,
    root: Root = None,
) -> None:
    """Search the mixture weights of a hybrid, in the background.

    Ctrl-C ends the watching; the run goes on, and `manticore watch` finds it again.
    """
    _quiet_progress()
    import manticore as mc

    hybrid = mc.build_hybrid(
        components,
        blocks,
        projector=projector,
        projector_init=projector_init,
        head=head,
        trust_remote_code=trust_remote_code,
        seed=seed,
    )
    for component, report in (hybrid.transplants or {}).items():
        share = f"{100 * report.copied_share:.0f}%"
        typer.echo(f"{component}: {share} of the hybrid's vocabulary copied, the rest averaged")
    rates = {
        "mixture_lr": mixture_lr,
        "projector_lr": projector_lr,
        "component_lr": component_lr,
    }
    run = mc.search(
        hybrid,
        mc.load_text(data, tokenizer=hybrid.tokenizer, seq_len=seq_len, seed=seed),
        strategy,
        steps,
        name=name,
        seed=seed,
        device=device,
        dtype=dtype,
        root=root,
        batch_size=batch_size,
        **{key: rate for key, rate in rates.items() if rate is not None},
    )
    typer.echo(run.id)
    if watching:
        _watch(run)


@app.command()
def runs(root: Root = None) -> None:
    """List the runs, the newest first."""
    found = list_runs(root)
    if not found:
        typer.echo("No runs yet: start one with `manticore demo` or `manticore search`.")
        return
    from manticore.terminal.tables import runs_table

    Console().print(runs_table(found))


@app.command()
def watch(run: RunId, root: Root = None) -> None:
    """Show a run's mixture weights, loss and perplexity while they move."""
    _watch(_find(run, root))


@app.command()
def stop(run: RunId, root: Root = None) -> None:
    """Ask a run to save a checkpoint and end."""
    found = _find(run, root)
    if not found.is_alive:
        raise RunError(f"run {found.id} is {found.status.state}: there is nothing to stop")
    found.stop()
    typer.echo(f"{found.id} ends after the step it is in; `manticore resume {found.id}` goes on.")


@app.command()
def resume(
    run: RunId,
    watching: Annotated[bool, typer.Option("--watch/--no-watch", help="Show it live.")] = True,
    root: Root = None,
) -> None:
    """Go on with a run that was stopped, failed or was killed, from its last checkpoint."""
    found = _find(run, root).resume()
    if watching:
        _watch(found)


@app.command()
def chat(
    run: RunId,
    temperature: Temperature = 0.8,
    top_p: TopP = 0.95,
    max_new_tokens: NewTokens = 96,
    root: Root = None,
) -> None:
    """Write with the hybrid that a run has made."""
    _quiet_progress()
    from manticore.terminal.chat import chat as talk

    talk(
        _find(run, root).hybrid(),
        Console(),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
    )


@app.command()
def doctor() -> None:
    """Say what is installed, what will be used, and what would be faster."""
    from manticore.terminal.doctor import examine

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for finding in examine():
        mark = "[yellow]![/]" if finding.advice else "[green]✓[/]"
        found = escape(finding.found)
        if finding.advice:
            found += f"\n[yellow]{escape(finding.advice)}[/]"
        table.add_row(mark, finding.what, found)
    Console().print(table)


@zoo.command(name="list")
def zoo_list() -> None:
    """What is bundled, and how well it does on held-out text."""
    from manticore.terminal.tables import zoo_table
    from manticore.zoo import zoo_card, zoo_names

    Console().print(zoo_table({name: zoo_card(name) for name in zoo_names()}))


@zoo.command(name="train")
def zoo_train(
    name: Annotated[str, typer.Argument(help="A component's name, as `zoo list` shows it.")],
    data: Annotated[Path, typer.Option(help="Folder with the texts that the recipe names.")],
    out: Annotated[Path, typer.Option(help="The component is written to OUT/NAME.")] = Path("zoo"),
    work: Annotated[Path, typer.Option(help="Checkpoints and encoded texts.")] = Path("zoo-work"),
    device: Annotated[str | None, typer.Option(help="cpu or cuda. [default: the best]")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="bf16 or no. [default: bf16 where the hardware has it]")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
) -> None:
    """Train a bundled component from its recipe; the same command again goes on where it ended."""
    from manticore.zoo.train import train_component

    folder = train_component(
        name,
        data_dir=data,
        out_dir=out,
        work_dir=work,
        device=device,
        steps=steps,
        precision=precision,
        checkpoint_every=checkpoint_every,
    )
    typer.echo(f"{name} is in {folder}; MANTICORE_ZOO={out} makes it zoo:{name}.")


def _find(run_id: str, root: Path | None) -> Run:
    """The run of an id, or the newest for `last`."""
    if run_id != "last":
        return get_run(run_id, root)
    newest = list_runs(root)[:1]
    if not newest:
        raise LookupError("there is no run yet: start one with `manticore demo`")
    return newest[0]


def _watch(run: Run) -> None:
    from manticore.terminal.watching import watch as show

    try:
        show(run, Console())
    except KeyboardInterrupt:
        typer.echo(f"The run goes on. Watch it again: manticore watch {run.id}")
        raise typer.Exit(0) from None
    if run.status.state in {"failed", "died"}:
        raise typer.Exit(1)


def _quiet_progress() -> None:
    """No progress bars of loading and saving weights between our own lines."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


if __name__ == "__main__":
    app()
