"""Chat with a hybrid in a terminal: it continues what one writes."""

from contextlib import closing
from typing import TYPE_CHECKING

from rich.console import Console

from manticore.hybrid.conversation import conversation_prompt
from manticore.hybrid.generation import tokenizer_of
from manticore.hybrid.streaming import continue_text

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

HOW = (
    "Write a beginning and the hybrid continues it; everything above counts as the text so far. "
    "/new starts a new text, Ctrl-C cuts a continuation short, Ctrl-D leaves."
)


def chat(
    hybrid: "ManticoreForCausalLM",
    console: Console,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
) -> None:
    """Read beginnings and write continuations until the input ends.

    Args:
        hybrid: Hybrid that continues the text, with its tokenizer.
        console: Terminal to write to; beginnings are read from standard input.
        max_new_tokens: Length of the longest continuation, in tokens.
        temperature: Sampling temperature; 0 takes the most likely token every time.
        top_p: Probability mass that is sampled from (nucleus sampling), in (0, 1].
    """
    console.print(HOW, style="dim")
    tokenizer = tokenizer_of(hybrid)
    messages: list[dict[str, str]] = []
    while True:
        try:
            beginning = console.input("[bold]> [/]")
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if beginning.strip() == "/new":
            messages = []
            console.print("A new text.", style="dim")
        elif beginning.strip():
            messages.append({"role": "user", "content": beginning})
            written = ""
            texts = continue_text(
                hybrid,
                conversation_prompt(tokenizer, messages),
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
            )
            with closing(texts):
                try:
                    for text in texts:
                        _print_plain(console, text[len(written) :])
                        written = text
                except KeyboardInterrupt:
                    _print_plain(console, " …")
            messages.append({"role": "assistant", "content": written})
            console.print()


def _print_plain(console: Console, text: str) -> None:
    console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
