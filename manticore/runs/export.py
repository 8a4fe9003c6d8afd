"""A run in one zip file: its hybrid as a Transformers folder, and what was measured."""

import csv
import io
import zipfile
from pathlib import Path

from manticore.runs.run import Run
from manticore.store.folder import CONFIG_FILE
from manticore.store.layout import METRICS_FILE, RESULT_FOLDER

READ_ME = """# {title}

A hybrid made with Manticore of {components}, in {blocks} blocks.

```python
import manticore
from transformers import AutoModelForCausalLM, AutoTokenizer

hybrid = AutoModelForCausalLM.from_pretrained("hybrid")
tokenizer = AutoTokenizer.from_pretrained("hybrid")
```

- `hybrid/`: weights, configuration and tokenizer.
- `run.json`: the configuration of the run. `metrics.json`: what it measured in the end.
- `mixture_weights.csv` and `loss.csv`: how they changed, step by step.
"""


def export_run(run: Run, file: Path) -> Path:
    """Write a run into a zip file.

    Args:
        run: A run that has come to its end.
        file: The zip file; an earlier one is replaced.

    Returns:
        `file`.

    Raises:
        FileNotFoundError: The run has no hybrid yet.
        OSError: The file cannot be written.
    """
    source = run.hybrid_source()
    if not (source / "config.json").is_file():
        raise FileNotFoundError(
            f"Run {run.id} has only checkpoints so far: resume it, and wait for its end."
        )
    config, folder = run.config, f"{run.id}"
    names = " + ".join(config.components)
    about = READ_ME.format(title=config.name or run.id, components=names, blocks=config.n_blocks)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/README.md", about)
        archive.write(run.folder / CONFIG_FILE, f"{folder}/run.json")
        metrics = run.folder / RESULT_FOLDER / METRICS_FILE
        if metrics.is_file():
            archive.write(metrics, f"{folder}/metrics.json")
        archive.writestr(f"{folder}/mixture_weights.csv", _mixtures(run))
        archive.writestr(f"{folder}/loss.csv", _losses(run))
        for part in sorted(path for path in source.iterdir() if path.is_file()):
            # Weights do not get smaller.
            stored = part.suffix == ".safetensors"
            kind = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            archive.write(part, f"{folder}/hybrid/{part.name}", kind)
    return file


def _mixtures(run: Run) -> str:
    """One line per step, block and component."""
    rows: list[tuple] = [("step", "task", "block", "component", "mixture_weight")]
    for event in run.events():
        if event["kind"] == "mixture":
            for block, row in enumerate(event["weights"], 1):
                for name, weight in zip(event["components"], row, strict=True):
                    rows.append((event["step"], event.get("task") or "", block, name, weight))
    return _csv(rows)


def _losses(run: Run) -> str:
    steps, losses = run.losses()
    return _csv([("step", "loss"), *zip(steps.tolist(), losses.tolist(), strict=True)])


def _csv(rows: list[tuple]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
