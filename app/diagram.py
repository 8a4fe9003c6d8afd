"""The diagram of the hybrid on the page: live while a run works, and mixed by hand."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from manticore.runs import Run
from manticore.views.diagram import MODULE, scene_of_run
from manticore.views.panels import Snapshot
from manticore.views.plots.theme import short_names
from manticore.views.wording import explain

from .open_runs import hybrid_of
from .page import ALL_AT_ONCE, Page

if TYPE_CHECKING:
    import torch

TICK = 1.0
READ_SEQUENCES, READ_TOKENS = 4, 96
"""Held-out text that perplexity is measured on when somebody mixes by hand, so that it is quick."""
PROMPT = "Once upon a time"

MOUNT = """
const source = new Blob([props.module], { type: "text/javascript" });
const url = URL.createObjectURL(source);
import(url).then(({ mount }) => {
  URL.revokeObjectURL(url);
  const place = element.querySelector(".diagram-place");
  let drawn = null;
  const draw = () => {
    const scene = props.value;
    if (!scene) { drawn?.destroy(); drawn = null; return; }
    if (drawn) { drawn.update(scene); return; }
    drawn = mount(place, scene, (weights) =>
      server.measure_by_hand({ run: props.value.id, weights }));
  };
  draw();
  watch("value", draw);
});
"""


def build(page: Page) -> None:
    """Lay the diagram out and wire it.

    Args:
        page: What the tabs share.
    """

    def measure_by_hand(asked: Any) -> dict[str, Any]:
        """What the hybrid of a run does at other mixture weights, or at its own if None.

        Args:
            asked: The id of the `run` and the `weights`, from a browser.
        """
        run_id = asked.get("run") if isinstance(asked, dict) else None
        run = page.runs.find(run_id) if isinstance(run_id, str) else None
        if run is None:
            return {"error": "There is no such run here: choose one from the list."}
        try:
            return measured(run, asked.get("weights"))
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            return {"error": explain(error)}

    shown = gr.HTML(
        None,
        html_template='<div class="diagram-place"></div>',
        js_on_load=MOUNT,
        server_functions=[measure_by_hand],
        module=MODULE,
        apply_default_css=False,
        elem_id="diagram",
        padding=False,
    )
    seen = gr.State(None)

    def look(run_id: str | None, before: Any) -> Any:
        run = page.runs.find(run_id)
        if run is None:
            return (gr.skip(), gr.skip()) if before is None else (None, None)
        state = run.summary()["state"]
        now = (run.id, state, len(run.events()))
        scene = None if before == now else scene_of_run(Snapshot.of(run), state)
        if scene is None:
            return gr.skip(), gr.skip()
        return scene | {"measured": state == "done"}, now

    for event in (page.shown.change, gr.Timer(TICK).tick):
        event(look, [page.shown, seen], [shown, seen], **ALL_AT_ONCE)


def measured(run: Run, weights: Any) -> dict[str, Any]:
    """What the diagram says of mixture weights.

    Args:
        run: The run whose hybrid is mixed.
        weights: (N, K) mixture weights from the browser; those of the hybrid if None.

    Raises:
        FileNotFoundError: The run has not saved a hybrid yet.
        OSError, ValueError, RuntimeError, TypeError: The hybrid cannot be loaded, or the mixture
            weights are none.
    """
    # Here, because torch takes seconds to import and the page must open at once.
    from manticore.evaluate.by_hand import try_mixture_weights

    hybrid, source = hybrid_of(run), run.hybrid_source()
    ids = _held_out(run.folder)
    prompt = getattr(run.config.options, "sample_prompt", "") or PROMPT
    tried = try_mixture_weights(hybrid, ids, prompt, weights)
    compared = _compared(run.folder, source, source.stat().st_mtime_ns)
    return {
        **asdict(tried),
        "next": [{"text": text, "probability": share} for text, share in tried.next],
        "prompt": prompt,
        "compared": compared,
    }


@lru_cache(maxsize=32)
def _held_out(folder: Path) -> "torch.Tensor":
    """The beginnings of the first held-out sequences of a run's text, (n, T)."""
    import torch

    from manticore.data import TextData

    run = Run(folder)
    tokenizer = hybrid_of(run).tokenizer
    assert tokenizer is not None, "a run saves it with its hybrid"
    valid: Any = TextData.from_spec(run.config.data, tokenizer).valid
    n = min(READ_SEQUENCES, len(valid))
    return torch.stack([valid[i]["input_ids"][:READ_TOKENS] for i in range(n)])


@lru_cache(maxsize=32)
def _compared(folder: Path, _source: Path, _changed: int) -> list[tuple[str, float]]:
    """Perplexity of the hybrid as it was found, and of each component alone, on the same text."""
    from manticore.evaluate.by_hand import perplexity_at

    run = Run(folder)
    hybrid, ids = hybrid_of(run), _held_out(folder)
    names = short_names(hybrid.component_names)
    rows = [("as found", perplexity_at(hybrid, ids))]
    for k, name in enumerate(names):
        alone = [[float(i == k) for i in range(len(names))]] * hybrid.config.n_blocks
        rows.append((f"{name} alone", perplexity_at(hybrid, ids, alone)))
    return rows
