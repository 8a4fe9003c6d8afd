"""What to do with a programmed hybrid: does it suit a text, and fine-tuning it on one."""

import html
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from manticore.runs import Run, RunError
from manticore.views import catalogue
from manticore.views.skills import trust_html
from manticore.views.wording import explain

from .open_runs import hybrid_of
from .page import ALL_AT_ONCE, QUIETLY, Page, user_of, warn
from .status import continuing_html

if TYPE_CHECKING:
    from manticore.data import TextData

SEQ_LEN = 128
TUNING = {"steps": 100, "batch_size": 4, "eval_every": 20, "eval_batches": 8}
"""Options of fine-tuning: about two minutes of one core for the bundled components."""
SHOW_TAB = """
(shown) => {
  const tabs = [...document.querySelectorAll('button[role="tab"]')];
  if (shown) tabs.find((tab) => tab.textContent.trim() === shown.tab)?.click();
}
"""


def lay_out(page: Page) -> tuple[gr.Column, gr.HTML, gr.Dropdown]:
    """Lay the block out and wire its buttons.

    Args:
        page: What the tabs share.

    Returns:
        The block, hidden until there is a programmed hybrid, and what `show` updates.
    """
    with gr.Column(visible=False, elem_id="program-next") as block:
        words = gr.HTML(elem_id="program-words", padding=False)
        with gr.Row(equal_height=True):
            text = gr.Dropdown(catalogue.TEXTS, label="Text", min_width=240, elem_id="next-text")
            ask = gr.Button("Does it suit this text?", min_width=160, elem_id="ask-trust")
            tune = gr.Button(
                "Fine-tune it on this text", variant="primary", min_width=180, elem_id="finetune"
            )
        answer = gr.HTML(elem_id="trust", padding=False)
    # Scripts see the values of components, and not those of states.
    tab = gr.JSON(visible=False)

    def judge(run_id: str | None, source: str) -> Any:
        run = page.runs.find(run_id)
        if run is None:
            return ""
        try:
            trust = _trusted(run.folder, page.texts.source(source))
        except (OSError, ValueError, LookupError) as error:
            return f'<p class="faint">{html.escape(explain(error))}</p>'
        return trust_html(trust, run.config.options.tasks, _in_words(source))

    def start(run_id: str | None, source: str, request: gr.Request) -> Any:
        run = page.runs.find(run_id)
        try:
            if run is None:
                raise LookupError("Choose a programming run that is done first.")
            made = finetune(run, page.texts.source(source), user_of(request), page.at_once)
        except (RunError, LookupError, ValueError, OSError) as error:
            warn(error, "Not started")
            return gr.skip(), None
        choices = gr.Dropdown(choices=page.runs.choices(), value=made.id)
        return choices, {"tab": page.tab_of("finetune")}

    ask.click(judge, [page.shown, text], answer, api_visibility="private")
    tune.click(start, [page.shown, text], [page.shown, tab], api_visibility="private").then(
        None, tab, None, js=SHOW_TAB, **QUIETLY
    )
    text.change(lambda: "", None, answer, **ALL_AT_ONCE)
    page.shown.change(lambda: "", None, answer, **ALL_AT_ONCE)
    return block, words, text


def show(run: Run | None) -> list[Any]:
    """Updates of the block, its words and its text for a run.

    Args:
        run: The run that is shown, if it is one of programming.
    """
    words = "" if run is None else continuing_html(run)
    if run is None or not words:
        return [gr.Column(visible=False), "", gr.skip()]
    return [gr.Column(visible=True), words, catalogue.text_for(run.config.components)]


def finetune(run: Run, source: str, owner: str | None = None, at_once: int | None = None) -> Run:
    """Start fine-tuning a hybrid at its mixture weights, as `continue_with` does any stage."""
    return continue_with("finetune", TUNING, run, source, owner, at_once)


def continue_with(
    stage: str,
    options: Mapping[str, Any],
    run: Run,
    source: str,
    owner: str | None = None,
    at_once: int | None = None,
) -> Run:
    """Start the next stage of a run, on a text.

    Args:
        stage: Name of the stage.
        options: Its options.
        run: A finished run.
        source: The text, as `load_text` takes it.
        owner: Name of the user whom the new run belongs to.
        at_once: Wait until fewer runs than this work, as `start_run` has it.

    Raises:
        RunError, KeyError: The hybrid that the run started from is not to be had.
        ValueError, OSError: The text cannot be read, or the run cannot be written.
        ModuleNotFoundError: The stage needs a package that is not installed.
    """
    # Here, because it needs torch, which takes seconds to import.
    from manticore.runs.from_hybrid import start_stage

    own = run.name if run.name != run.config.stage else None
    made = start_stage(
        stage,
        run,
        _text(run.folder, source),
        options,
        run.folder.parent,
        launch=False,
        name=own and f"{own[:100]} {stage}",
        owner=owner,
    )
    return made.resume(at_once)


@lru_cache(maxsize=8)
def _text(folder: Path, source: str) -> "TextData":
    """A text in the tokens of a run's hybrid."""
    from manticore.data import load_text

    tokenizer = hybrid_of(Run(folder)).tokenizer
    assert tokenizer is not None, "a run saves it with its hybrid"
    return load_text(source, tokenizer=tokenizer, seq_len=SEQ_LEN)


@lru_cache(maxsize=32)
def _trusted(folder: Path, source: str) -> Any:
    from manticore.api import trust

    return trust(Run(folder), _text(folder, source))


def _in_words(source: str) -> str:
    """A text as a sentence names it."""
    label = next((label for label, value in catalogue.TEXTS if value == source), source)
    return label[0].lower() + label[1:]
