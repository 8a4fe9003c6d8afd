"""How a hybrid shows itself: in a notebook, in colored words, and as something to touch.

Views stand on the engine, so they are imported here when they are asked for.
"""

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from manticore.data import TextData
    from manticore.hybrid.modeling import ManticoreForCausalLM
    from manticore.views.colored_text import ColoredText


class ShownHybrid:
    """What a hybrid shows of itself."""

    def _repr_html_(self) -> str:
        from manticore.views.hybrid_html import hybrid_html

        return hybrid_html(cast("ManticoreForCausalLM", self))

    def show_text(self, text: str) -> "ColoredText":
        """A text in the colors of the components, as `mc.show_text` has it.

        Args:
            text: Any text.

        Raises:
            ValueError: The hybrid has no tokenizer, or the text is empty.
        """
        from manticore.views.colored_text import show_text

        return show_text(cast("ManticoreForCausalLM", self), text)

    def mix(self, text: "TextData | str | None" = None, prompt: str = "Once upon a time") -> Any:
        """The diagram of this hybrid in a notebook, whose dividers set its mixture weights.

        Args:
            text: What perplexity is measured on, or its source as for `load_text`; the bundled
                stories in English and Spanish if None.
            prompt: Beginning that is continued.

        Returns:
            The widget (`manticore.views.notebook.mixing.HybridWidget`).

        Raises:
            ModuleNotFoundError: The packages for notebooks are not installed.
            ValueError: The hybrid has no tokenizer, or the prompt is empty.
            OSError: The text cannot be read.
        """
        from manticore.views.notebook.mixing import mix

        return mix(cast("ManticoreForCausalLM", self), text, prompt)

    def chat(self, beginning: str = "Once upon a time") -> Any:
        """A chat with this hybrid in a notebook, which also tells who wrote which word.

        Args:
            beginning: What is continued if nothing was written.

        Returns:
            The widget (`manticore.views.notebook.chatting.ChatWidget`).

        Raises:
            ModuleNotFoundError: The packages for notebooks are not installed.
            ValueError: The hybrid has no tokenizer, or the beginning is empty.
        """
        from manticore.views.notebook.chatting import chat

        return chat(cast("ManticoreForCausalLM", self), beginning)
