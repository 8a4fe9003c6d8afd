"""The tab for mixing by hand: what it is measured on, and the landscape of the mixture weights."""

from typing import Any

import gradio as gr

from manticore.views.landscape import MODULE
from manticore.views.wording import explain

from .hosting import hosted
from .landscapes import Landscapes
from .measuring import PROMPT, asked_text, text_choices
from .page import ALL_AT_ONCE, QUIETLY, Page

HOW = (
    "Mix by hand: drag below the blocks of the picture above, or click anywhere on a landscape. A "
    "landscape shows the perplexity (lower is better) at every mixture: of all blocks together, "
    "and of one block while the others stay as found."
)
DRAW = """
let drawn = null;
let timer = null;
let visible = false;
let begun = "";
const say = (sentence) => {
  drawn?.destroy();
  drawn = null;
  place.textContent = sentence;
};
const look = async () => {
  clearTimeout(timer);
  const asked = JSON.stringify(props.value);
  if (!visible) return;
  if (!props.value?.run) return say("The landscape of the run that is chosen above appears here.");
  if (begun !== asked) say("The hybrid is loaded …");
  begun = asked;
  const scene = await server.measure_landscape(props.value);
  if (asked !== JSON.stringify(props.value)) return look();
  if (scene.error) return say(scene.error);
  if (scene.waiting) {
    say(scene.waiting);
  } else if (drawn) {
    drawn.update(scene);
  } else {
    place.textContent = "";
    drawn = mount(place, scene);
  }
  if (scene.waiting || scene.measured < scene.total) timer = setTimeout(look, 800);
};
new IntersectionObserver(([entry]) => {
  visible = entry.isIntersecting;
  look();
}).observe(element);
watch("value", look);
"""


def build(page: Page) -> None:
    """Lay the tab out and wire it.

    Args:
        page: What the tabs share.
    """
    landscapes = Landscapes()

    def measure_landscape(asked: Any) -> dict[str, Any]:
        """The landscape of a run as far as it is measured.

        Args:
            asked: The id of the `run` and the `text` to measure on, from a browser.
        """
        run_id = asked.get("run") if isinstance(asked, dict) else None
        run = page.runs.find(run_id) if isinstance(run_id, str) else None
        if run is None:
            return {"error": "There is no such run here: choose one from the list."}
        try:
            return landscapes.scene(run, asked_text(asked))
        except (OSError, ValueError, RuntimeError) as error:
            return {"error": explain(error)}

    gr.Markdown(HOW, elem_classes="how")
    with gr.Row():
        text = gr.Dropdown(
            text_choices(), value="", label="Measured on", elem_id="mix-text", min_width=200
        )
        prompt = gr.Textbox(
            label="Beginning to continue",
            placeholder=PROMPT,
            max_length=400,
            elem_id="mix-prompt",
            min_width=200,
        )
    drawn = hosted(MODULE, DRAW, measure_landscape, elem_id="landscape", min_height=220)

    def ask(text: str, prompt: str) -> dict[str, str]:
        return {"text": text, "prompt": prompt}

    def show(run_id: str | None, asking: dict[str, str]) -> dict[str, str]:
        return {"run": run_id or "", "text": asking["text"]}

    for event in (text.change, prompt.submit, prompt.blur):
        event(ask, [text, prompt], page.asking, **QUIETLY)
    for event in (page.shown.change, page.asking.change):
        event(show, [page.shown, page.asking], drawn, **ALL_AT_ONCE)
