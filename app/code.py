"""Runs as code on the page: what a form would start, and what the shown run did."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from manticore.runs import RunConfig
from manticore.views.as_code import python_of
from manticore.views.wording import explain

from .page import ALL_AT_ONCE, Page


def code_of_form(inputs: list[Component], config_from: Callable[..., RunConfig], name: str) -> None:
    """Lay out the code that does what a form starts, written again when the form changes.

    Args:
        inputs: Inputs of the form, in the order of `config_from`.
        config_from: Makes the configuration; ValueError, LookupError and OSError are shown.
        name: Id of the elements.
    """
    panel, outputs = _lay_out("The same as Python, or as a command", name)

    def write(*values: Any) -> tuple[str, str]:
        try:
            return told(config_from(*values))
        except (ValueError, LookupError, OSError) as error:
            return f"# {explain(error)}", ""

    changes = [event for item in inputs if (event := getattr(item, "change", None))]
    gr.on([panel.expand, *changes], write, inputs, outputs, **ALL_AT_ONCE)


def code_of_run(page: Page, name: str) -> None:
    """Lay out the code that does again what the shown run did.

    Args:
        page: What the tabs share.
        name: Id of the elements.
    """
    panel, outputs = _lay_out("This run as Python, or as a command", name)

    def write(run_id: str | None) -> tuple[str, str]:
        run = page.runs.find(run_id)
        return ("# No run is chosen.", "") if run is None else told(run.config)

    gr.on([panel.expand, page.shown.change], write, page.shown, outputs, **ALL_AT_ONCE)


def told(config: RunConfig) -> tuple[str, str]:
    """Python and a command that start a run; where there is none, why not.

    Args:
        config: The configuration of the run.
    """
    # Here, because the commands import what the page does not need in order to open.
    from manticore.cli.as_command import command_of

    codes = []
    for write in (python_of, command_of):
        try:
            codes.append(write(config))
        except ValueError as error:
            codes.append(f"# {explain(error)}")
    return codes[0], codes[1]


def _lay_out(title: str, name: str) -> tuple[gr.Accordion, list[Component]]:
    with gr.Accordion(title, open=False, elem_id=name) as panel:
        python = gr.Code(
            language="python",
            interactive=False,
            label="Python, for a script or a cell of a notebook",
            elem_id=f"{name}-python",
        )
        command = gr.Code(
            language="shell", interactive=False, label="Command", elem_id=f"{name}-command"
        )
    return panel, [python, command]
