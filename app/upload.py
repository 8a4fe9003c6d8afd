"""The button that uploads a text of a visitor's own."""

from pathlib import Path
from typing import Any

import gradio as gr

from .page import QUIETLY, warn
from .uploads import KINDS, Uploads


def upload_button(uploads: Uploads, text: gr.Dropdown, elem_id: str = "upload") -> gr.UploadButton:
    """Lay out a button that uploads a text and chooses it.

    Args:
        uploads: Where texts are kept.
        text: Choice of the text.
        elem_id: Id of the button.
    """
    button = gr.UploadButton("Upload a text", file_types=list(KINDS), size="sm", elem_id=elem_id)
    offered = gr.State([(label, value) for label, value in text.choices])

    def take(file: str, choices: list[Any]) -> Any:
        path = Path(file)
        try:
            source = uploads.add(path, path.name)
        except (ValueError, LookupError, OSError) as error:
            warn(error, "Not uploaded")
            return gr.skip(), gr.skip()
        choices = [*choices, (f"{path.name} (uploaded)", source)]
        return gr.Dropdown(choices=choices, value=source), choices

    button.upload(take, [button, offered], [text, offered], **QUIETLY)
    return button
