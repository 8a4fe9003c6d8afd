"""The two texts of an export: the model card of its hybrid, and what is in the zip file."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from manticore.archive.layout import (
    CONFIG_NAME,
    FIGURES_FILE,
    FIGURES_FOLDER,
    HYBRID_PART,
    NOTEBOOK_FILE,
    START_PART,
)
from manticore.archive.tables import TABLES
from manticore.config.run import RunConfig
from manticore.names import STAGES
from manticore.runs import Run
from manticore.views.plots import perplexity_label, short_names

CARD = """---
{header}
---

# {title}

A hybrid language model made with Manticore: {components}, mixed block by block in {blocks} blocks.
{how}{note}

## How to load it

```python
import manticore  # pip install manticore-hybrids
from transformers import AutoModelForCausalLM, AutoTokenizer

hybrid = AutoModelForCausalLM.from_pretrained("hybrid")  # this folder, or its id on the hub
tokenizer = AutoTokenizer.from_pretrained("hybrid")
inputs = tokenizer("Once upon a time", return_tensors="pt")
print(tokenizer.decode(hybrid.generate(**inputs, max_new_tokens=40)[0]))
```

## Components

{parts}

The licenses of the components apply to the hybrid too: see where each of them comes from.

## Mixture weights

{mixture}

## Results

{results}
"""

READ_ME = """# {title}

The run `{id}`, exported by Manticore.
To have it among other runs again, with its figures and its chat, import the zip file on the tab
Runs, or with `manticore import FILE`.

```python
import manticore
from transformers import AutoModelForCausalLM, AutoTokenizer

hybrid = AutoModelForCausalLM.from_pretrained("hybrid")
tokenizer = AutoTokenizer.from_pretrained("hybrid")
```

{files}

{png}
"""
_HUB_ID = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)(/.+\.gguf)?", re.ASCII)


def card_of(run: Run, source: Path) -> str:
    """The model card of a run's hybrid, with the header that the Hugging Face hub reads.

    Args:
        run: A run that is done.
        source: Folder of its hybrid.
    """
    config, metrics = run.config, run.metrics()
    names = short_names(config.components)
    families = [
        str(part.get("model_type", ""))
        for part in json.loads((source / "config.json").read_bytes())["components"]
    ]
    return CARD.format(
        header=_header(run, metrics).to_yaml().strip(),
        title=_plain(run.name or f"{' + '.join(names)}, {config.stage}"),
        components=", ".join(map(_code, names)),
        blocks=config.n_blocks,
        how=_how(config),
        note=f"\n\n{_quoted(run.note)}" if run.note else "",
        parts=_table(
            ("component", "family", "source"),
            [
                (_code(name), _code(family), _code(_public(source)))
                for name, family, source in zip(names, families, config.components, strict=True)
            ],
        ),
        mixture=_mixture(run, names),
        results=_results(config, metrics),
    )


def read_me(run: Run, files: Sequence[str], no_png: str) -> str:
    """What is in the zip file, in words.

    Args:
        run: The run.
        files: Files and folders that are in it.
        no_png: Why there are no PNG files, and what to do; "" if there are.
    """
    what = {
        f"{HYBRID_PART}/": "the hybrid as a Transformers folder, with its model card",
        f"{START_PART}/": "the hybrid as it was before the run, which fine-tuning starts from",
        CONFIG_NAME: "the configuration of the run",
        "events.jsonl": "everything that happened, one event in a line",
        "metrics.json": "what was measured in the end",
        "label.json": "the name and the note",
        FIGURES_FILE: "the figures, which can be zoomed; it needs no network",
        f"{FIGURES_FOLDER}/": "the figures as PNG",
        NOTEBOOK_FILE: "a notebook that does the run again",
        **{name: about for name, (_, about) in TABLES.items()},
    }
    listed = "\n".join(f"- `{name}`: {about}." for name, about in what.items() if name in files)
    about = READ_ME.format(title=_plain(run.name or run.id), id=run.id, files=listed, png=no_png)
    return about.rstrip() + "\n"


def _header(run: Run, metrics: Mapping[str, Any]) -> ModelCardData:
    config, title = run.config, run.name or run.id
    matches = [match for name in config.components if (match := _HUB_ID.fullmatch(name))]
    perplexity, text = metrics.get("perplexity"), _text(config)
    results = None
    if isinstance(perplexity, float) and text:
        measured = {"metric_type": "perplexity", "metric_value": round(perplexity, 4)}
        about = {"dataset_type": text, "dataset_name": f"{text}, held out"}
        results = [EvalResult(task_type="text-generation", **about, **measured)]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["manticore", "hybrid", config.stage],
        base_model=[match[1] for match in matches] or None,
        base_model_relation="merge" if matches else None,
        model_name=title if results else None,
        eval_results=results,
    )


def _how(config: RunConfig) -> str:
    """What the run did, in a sentence."""
    options = config.options
    strategy = getattr(options, "strategy", None)
    with_it = f" with the strategy {_code(strategy)}" if strategy else ""
    steps = getattr(options, "steps", None)
    length = f" of {steps} steps" if steps else ""
    text = f" on the text {_code(_text(config))}" if _text(config) else ""
    return f"It comes from a run of {_code(config.stage)}{length}{with_it}{text}."


def _mixture(run: Run, names: Sequence[str]) -> str:
    history = run.mixture_history()
    if not len(history):
        return "The run did not record them; they are in `config.json` and the weights."
    rows = [
        (f"block {block}", *(f"{weight:.3f}" for weight in row))
        for block, row in enumerate(history[-1].tolist(), 1)
    ]
    routed = getattr(run.config.options, "strategy", "") == "routed"
    about = (
        "Every token has mixture weights of its own; these are their means.\n\n" if routed else ""
    )
    return about + _table(("", *map(_code, names)), rows)


def _results(config: RunConfig, metrics: Mapping[str, Any]) -> str:
    tasks = metrics.get("tasks")
    if tasks:
        rows = [
            (_code(name), *(_share(found.get(key)) for key in ("accuracy", "guessing")))
            for name, found in tasks.items()
        ]
        return "Accuracy on each task after its search:\n\n" + _table(
            ("task", "accuracy", "chance"), rows
        )
    if "perplexity" not in metrics:
        return "They are in `metrics.json` of the export."
    alone = metrics.get("components") or {}
    names = short_names(list(alone))
    rows = [("**hybrid**", perplexity_label(metrics["perplexity"]))]
    rows += [
        (f"{_code(name)} alone", perplexity_label(value))
        for name, value in zip(names, alone.values(), strict=True)
    ]
    return f"On the held-out part of {_code(_text(config))}:\n\n" + _table(("", "perplexity"), rows)


def _text(config: RunConfig) -> str:
    """The name of the text; "" for a stage without one."""
    source = config.data.get("source") if STAGES[config.stage].needs_text else None
    return _public(str(source)) if source else ""


def _public(source: str) -> str:
    """A source without the folders of this machine."""
    return Path(source).name if Path(source).is_absolute() else source


def _share(value: Any) -> str:
    return f"{value:.1%}" if isinstance(value, float | int) else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(text: object) -> str:
    """A text that is not to be read as Markdown."""
    plain = " ".join(str(text).split()).replace("`", "'").replace("|", "/")
    return f"`{plain}`" if plain else ""


def _plain(text: str) -> str:
    """A text in a line of Markdown, without any markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", " ".join(text.split()))


def _quoted(text: str) -> str:
    return "\n".join(f"> {_plain(line)}" for line in text.splitlines())
