"""The diagram of the hybrid on the page: live while a run works, and mixed by hand."""

from typing import Any

import gradio as gr

from manticore.runs import Run
from manticore.views.diagram import MODULE, scene_of_run
from manticore.views.panels import Snapshot
from manticore.views.wording import explain

from .hosting import hosted
from .measuring import asked_text, compared, held_out, prompt_of, text_label
from .open_runs import hybrid_of
from .page import ALL_AT_ONCE, Page
from .shared import Shared

TICK = 1.0
SOON = (
    "The picture of the hybrid appears here as soon as it is built. At the first visit a finished "
    "one is unpacked, which takes some seconds."
)
_Scene = tuple[tuple[str, str, int], dict[str, Any] | None]
DRAW = """
let drawn = null;
const soon = document.createElement("p");
soon.className = "soon faint";
soon.textContent = props.soon;
const draw = () => {
  const scene = props.value;
  if (!scene) { drawn?.destroy(); drawn = null; place.replaceChildren(soon); return; }
  if (drawn) { drawn.update(scene); return; }
  soon.remove();
  drawn = mount(place, scene, (weights) =>
    server.measure_by_hand({ run: props.value.id, weights, ...props.value.asking }));
};
draw();
watch("value", draw);
"""


def build(page: Page) -> None:
    """Lay the diagram out and wire it.

    Args:
        page: What the tabs share.
    """

    def measure_by_hand(asked: Any) -> dict[str, Any]:
        """What the hybrid of a run does at other mixture weights, or at its own if None.

        Args:
            asked: The id of the `run`, the `weights`, and the `text` and `prompt` to measure on,
                from a browser.
        """
        run_id = asked.get("run") if isinstance(asked, dict) else None
        run = page.runs.find(run_id) if isinstance(run_id, str) else None
        if run is None:
            return {"error": "There is no such run here: choose one from the list."}
        try:
            return measured(run, asked)
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            return {"error": explain(error)}

    shown = hosted(MODULE, DRAW, measure_by_hand, elem_id="diagram", soon=SOON)
    seen = gr.State(None)

    scenes = Shared(_scene_of, fresh_for=TICK)

    def look(run_id: str | None, asking: dict[str, str], before: Any) -> Any:
        run = page.runs.find(run_id)
        if run is None:
            return (gr.skip(), gr.skip()) if before is None else (None, None)
        made_from, scene = scenes.of(run)
        now = (*made_from, asking)
        if scene is None or before == now:
            return gr.skip(), gr.skip()
        return scene | {"asking": asking}, now

    def stamp(run_id: str | None) -> object:
        run = page.runs.find(run_id)
        return None if run is None else scenes.of(run)[0]

    noticed = page.looks.noticed(TICK, stamp, [page.shown])
    for event in (page.shown.change, page.asking.change, noticed):
        event(look, [page.shown, page.asking, seen], [shown, seen], **ALL_AT_ONCE)


def _scene_of(run: Run, before: _Scene | None) -> _Scene:
    """What the diagram of a run is made from, and the diagram; the one before if nothing is new."""
    state, events = run.status.state, Snapshot.of(run)
    now = (run.id, state, events.count)
    if before is not None and before[0] == now:
        return before
    scene = scene_of_run(events, state)
    return now, scene and {**scene, "measured": state == "done"}


def measured(run: Run, asked: dict[str, Any]) -> dict[str, Any]:
    """What the diagram says of mixture weights.

    Args:
        run: The run whose hybrid is mixed.
        asked: (N, K) mixture weights as `weights`, those of the hybrid if None; and the `text` and
            `prompt` to measure on, if others than the run's own. All from a browser.

    Raises:
        FileNotFoundError: The run has not saved a hybrid yet.
        OSError, ValueError, RuntimeError, TypeError: The hybrid cannot be loaded, or the mixture
            weights or the text are none.
    """
    hybrid = hybrid_of(run)
    # Here, because torch takes seconds to import and the page must open at once; and after the
    # hybrid, which one thread at a time imports and loads.
    from manticore.views.diagram.by_hand import answer

    text, prompt = asked_text(asked), prompt_of(run, asked)
    ids, ends = held_out(run.folder, text), compared(run, text)
    about = f"measured on {text_label(run, text)}"
    return answer(hybrid, ids, prompt, asked.get("weights"), ends, about)
