"""The whole way in one command: build a hybrid, search its mixture weights, read what it writes."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedModel

from manticore.api import search
from manticore.data import load_text
from manticore.hybrid import ManticoreForCausalLM, build_hybrid
from manticore.hybrid.generation import sample_text as sampled
from manticore.runs import Run
from manticore.views.plots import component_colour
from manticore.views.terminal.panel import sample_text
from manticore.views.terminal.watching import watch

COMPONENTS = ("zoo:tales-neox", "zoo:novelas-mamba")
TEXT = "bundled:stories-mixed"
PROMPTS = ("Once upon a time", "Había una vez")
SEQ_LEN = 128
BATCH_SIZE = 4
SAMPLE_TOKENS = 80


def demo(
    console: Console,
    *,
    components: Sequence[str] = COMPONENTS,
    n_blocks: int = 4,
    text: str = TEXT,
    steps: int = 200,
    seed: int = 0,
    root: Path | None = None,
) -> Run:
    """Build, search, compare and sample, with everything shown as it happens.

    Args:
        console: Terminal to write to.
        components: Components to mix: zoo names, hub ids or folders.
        n_blocks: Number of blocks of the hybrid.
        text: Text to search on, as for `load_text`.
        steps: Steps of the search.
        seed: Random seed of the search and the samples.
        root: Folder of runs; `$MANTICORE_RUNS` or `./runs` if not given.

    Returns:
        The run that made the hybrid; it is still running after Ctrl-C.
    """
    console.rule("[bold]1  Build", align="left")
    hybrid = build_hybrid(list(components), n_blocks)
    console.print(components_table(hybrid))
    assert hybrid.tokenizer is not None, "build_hybrid gives it one"
    data = load_text(text, tokenizer=hybrid.tokenizer, seq_len=SEQ_LEN)
    console.print(data, highlight=False)

    console.rule("[bold]2  Search the mixture weights", align="left")
    run = search(
        hybrid,
        data,
        steps=steps,
        batch_size=BATCH_SIZE,
        eval_batches=8,
        sample_prompt="",
        name="demo",
        seed=seed,
        root=root,
    )
    if not watch(run, console):
        return run
    run.wait()

    console.rule("[bold]3  What the hybrid writes", align="left")
    found = run.hybrid()
    for prompt in PROMPTS:
        written = sampled(found, prompt, SAMPLE_TOKENS, seed=seed)
        console.print(Padding(sample_text({"prompt": prompt, "text": written}), (0, 0, 1, 0)))
    console.print(f"Chat with it:  manticore chat {run.id}", highlight=False)
    console.print("or in a browser:  manticore app", highlight=False)
    return run


def components_table(hybrid: ManticoreForCausalLM) -> Table:
    """What a hybrid is made of: family, size, shape and cuts of each component."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("component", "family"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters", "width", "layers"):
        table.add_column(column, justify="right")
    table.add_column("layers of each block")
    models = cast("list[PreTrainedModel]", list(hybrid.components))
    for k, (name, model) in enumerate(zip(hybrid.component_names, models, strict=True)):
        cuts = hybrid.cuts[k]
        sizes = [stop - start for start, stop in pairwise(cuts)]
        table.add_row(
            Text(name, component_colour(k)),
            model.config.model_type,
            f"{model.num_parameters() / 1e6:.1f} M",
            str(hybrid.widths[k]),
            str(cuts[-1]),
            " + ".join(map(str, sizes)),
        )
    projectors = sum(parameter.numel() for parameter in hybrid.projectors.parameters())
    whole = f"{hybrid.num_parameters() / 1e6:.1f} M"
    note = f"projectors {projectors / 1e6:.1f} M, aligned in closed form"
    table.add_row("the hybrid", "", whole, str(hybrid.width), "", note)
    return table
