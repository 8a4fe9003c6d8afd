"""How do time and memory of a training step grow with components, blocks, tokens and sequences?

One forward and backward pass of a hybrid of bundled components, beside those of its components one
after the other. From a middle (two components, four blocks, 128 tokens, four sequences) one setting
is varied at a time. Time: side by side in one process, on one thread, medians of seconds of the
wall. Memory: what all tensors of the step hold at their most, in MiB.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --draw    # what was measured, as a picture
"""

import argparse
import base64
import json
from typing import Any

import torch
from plotly.subplots import make_subplots

import manticore as mc
from benchmarks.harness import RESULTS, save_results, time_side_by_side
from benchmarks.overhead import backward, one_after_the_other, peak_mib
from manticore.components.loading import load_component
from manticore.views.plots.theme import TEMPLATE, component_colour
from tools.notebooks import pictures

COMPONENTS = ("tales-neox", "tales-mamba", "novelas-mamba", "stdlib-llama")
MIDDLE = {"components": 2, "blocks": 4, "tokens": 128, "sequences": 4}
VARIED = {
    "components": (1, 2, 3, 4),
    "blocks": (1, 2, 3, 4, 5, 6),
    "tokens": (128, 256, 512, 1024, 2048, 4096, 8192),
    "sequences": (1, 2, 4, 8, 16, 32),
}
WORK = 40_000
"""Tokens that a model sees in all rounds together: fewer rounds where there are more tokens."""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(VARIED))
    parser.add_argument("--draw", action="store_true")
    options = parser.parse_args()
    if options.draw:
        _draw(json.loads((RESULTS / "scaling.json").read_text())["found"])
        return
    only = options.only
    torch.set_num_threads(1)
    found = {}
    for varied, values in VARIED.items():
        if only in (None, varied):
            found[varied] = [_measure({**MIDDLE, varied: value}, varied) for value in values]
    if only is None:
        setup = {"components": COMPONENTS, "middle": MIDDLE}
        print(save_results("scaling", {"setup": setup, "found": found}))


def _measure(setting: dict[str, int], varied: str) -> dict[str, Any]:
    sources = [f"zoo:{name}" for name in COMPONENTS[: setting["components"]]]
    hybrid = mc.build_hybrid(sources, setting["blocks"])
    components = [load_component(source).model for source in sources]
    shape = (setting["sequences"], setting["tokens"])
    ids = torch.randint(2, 4000, shape, generator=torch.Generator().manual_seed(0))
    if varied == "tokens" and setting["tokens"] > 512:
        # As many tokens in all: otherwise a machine of 24 GB would be too small.
        ids = ids[:1]
    calls = {
        "parts": one_after_the_other([backward(model, ids) for model in components]),
        "hybrid": backward(hybrid, ids),
    }
    parts, own = time_side_by_side(calls, max(3, min(15, WORK // ids.numel())))
    memory = peak_mib(hybrid, ids)
    of_parts = sum(peak_mib(model, ids) for model in components)
    found = {
        varied: setting[varied],
        "sequences": len(ids),
        "hybrid_s": own.median_s,
        "parts_s": parts.median_s,
        "time_ratio": 1 / own.speedup,
        "hybrid_mib": memory,
        "parts_mib": of_parts,
        "memory_ratio": memory / of_parts,
    }
    found = {
        key: value if isinstance(value, int) else float(f"{value:.3g}")
        for key, value in found.items()
    }
    print(found, flush=True)
    return found


def _draw(found: dict[str, list[dict[str, float]]]) -> None:
    """Seconds per step of the hybrid, beside those of its parts: the growth that is expected."""
    n = len(found)
    figure = make_subplots(rows=1, cols=n, subplot_titles=list(found), horizontal_spacing=0.07)
    for column, (varied, rows) in enumerate(found.items(), start=1):
        x = [row[varied] for row in rows]
        for name, key, dash in (("hybrid", "hybrid_s", "solid"), ("its parts", "parts_s", "dot")):
            figure.add_scatter(
                x=x,
                # Long texts were measured with fewer sequences.
                y=[row[key] / row["sequences"] * rows[0]["sequences"] for row in rows]
                if varied == "tokens"
                else [row[key] for row in rows],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": component_colour(0 if key == "hybrid_s" else 1), "dash": dash},
                row=1,
                col=column,
            )
        if varied in ("tokens", "sequences"):
            shown = x[::2]
            figure.update_xaxes(type="log", tickvals=shown, ticktext=shown, col=column)
            figure.update_yaxes(type="log", dtick=1, col=column)
        else:
            figure.update_xaxes(dtick=1, col=column)
            figure.update_yaxes(rangemode="tozero", col=column)
    figure.update_yaxes(title="seconds per step", col=1)
    figure.update_layout(template=TEMPLATE, height=300, legend={"orientation": "h", "y": -0.2})
    (image,) = pictures([figure.to_plotly_json()])
    path = RESULTS.parents[1] / "docs" / "results" / "scaling.png"
    path.write_bytes(base64.b64decode(image))
    print(path)


if __name__ == "__main__":
    main()
