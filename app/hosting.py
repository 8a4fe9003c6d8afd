"""Pictures that are ES modules of their own, put into the page."""

from collections.abc import Callable
from typing import Any

import gradio as gr


def hosted(
    module: str, script: str, server: Callable[..., Any] | None = None, **settings: Any
) -> gr.HTML:
    """A place on the page where a module draws.

    Args:
        module: Source of the module.
        script: Body of a function of `mount` and `place`: the module's `mount`, and the element to
            draw into. It sees Gradio's `props`, `watch` and `server`.
        server: What the script may ask the server for, by its name; nothing if None.
        settings: Other arguments of `gr.HTML`, and props for the script.
    """
    loading = """
    const source = new Blob([props.module], { type: "text/javascript" });
    const url = URL.createObjectURL(source);
    import(url).then(({ mount }) => {
      URL.revokeObjectURL(url);
      const place = element.querySelector(".drawn");
    """
    return gr.HTML(
        None,
        html_template='<div class="drawn"></div>',
        js_on_load=f"{loading}{script}}});",
        server_functions=[server] if server else [],
        module=module,
        apply_default_css=False,
        padding=False,
        **settings,
    )
