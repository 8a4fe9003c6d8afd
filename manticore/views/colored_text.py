"""A text whose tokens are colored by their mixture weights, for terminals, notebooks and the page.

A token has the color of the component with the greatest mixture weight, the mean over the blocks;
the greater that weight, the stronger the color.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from manticore.views.plots.theme import MUTED, component_colour, short_names, translucent

if TYPE_CHECKING:
    from manticore.hybrid import ManticoreForCausalLM

STRONGER = "The stronger the color, the greater the mixture weight"
# Black reads on every mixture of these two, and the text of a page on every opacity.
_PALE = "#d5d9df"
_OPACITY = (0.10, 0.55)
_UNDERLINES = ("solid", "dashed", "dotted", "double")


@dataclass(frozen=True)
class Piece:
    """What one token adds to a text.

    Attributes:
        text: Its characters.
        component: Index of the component with the greatest mixture weight.
        strength: 0 where all components have the same weight, 1 where one has all of it.
        weights: (N, K) its mixture weights.
    """

    text: str
    component: int
    strength: float
    weights: Sequence[Sequence[float]]


def pieces_of(
    tokens: Sequence[str], weights: Sequence[Sequence[Sequence[float]]]
) -> Iterator[Piece]:
    """Tokens as colored pieces; those that add no character are left out.

    Args:
        tokens: Text of each of T tokens.
        weights: (T, N, K) mixture weights.
    """
    for text, rows in zip(tokens, weights, strict=True):
        if text:
            yield Piece(text, *leading(block_mean(rows)), rows)


def block_mean(rows: Sequence[Sequence[float]]) -> list[float]:
    """(K,) the mean of (N, K) mixture weights over the blocks."""
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def leading(shares: Sequence[float]) -> tuple[int, float]:
    """The component with the greatest share, and by how much: 0 where all are even, 1 for all.

    Args:
        shares: (K,) shares of the components, which sum to 1.
    """
    component = max(range(len(shares)), key=shares.__getitem__)
    even = 1 / len(shares)
    strength = (shares[component] - even) / (1 - even) if len(shares) > 1 else 1.0
    return component, min(1.0, max(0.0, strength))


@dataclass(frozen=True, repr=False)
class ColoredText:
    """Passages of text with a color for each token. It shows itself wherever it is the result.

    Attributes:
        passages: The pieces of each passage.
        components: Names of the K components.
    """

    passages: Sequence[Sequence[Piece]]
    components: Sequence[str]

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "ColoredText":
        """The text of a `probe` event.

        Args:
            event: Its tokens, mixture weights and components, and where its passages start.
        """
        tokens, weights = event["tokens"], event["weights"]
        cuts = [*(event.get("starts") or [0]), len(tokens)]
        passages = [list(pieces_of(tokens[a:b], weights[a:b])) for a, b in pairwise(cuts)]
        return cls(passages, event["components"])

    def text(self) -> Text:
        """The passages for a terminal with colors."""
        return Text(" …\n").join(
            Text.assemble(*((text, _style(piece)) for text, piece in shown), overflow="fold")
            for shown in map(_shown, self.passages)
        )

    def marked(self) -> Text:
        """The passages for a terminal without colors: names stand where the component changes."""
        names, lines = short_names(self.components), []
        for passage in self.passages:
            stretches = groupby(_words(passage), key=lambda word: word[1])
            joined = ((names[k], "".join(text for text, _ in same)) for k, same in stretches)
            told = (f"[{name}] {_close(text.strip())}" for name, text in joined)
            lines.append(Text("\n".join(told), overflow="fold"))
        return Text(" …\n").join(lines)

    def legend(self) -> Text:
        """Which color is which component's."""
        named = enumerate(short_names(self.components))
        parts = [Text.assemble(("■ ", component_colour(k)), name) for k, name in named]
        return Text("  ").join([*parts, Text(f" {STRONGER}.", "dim")])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The text with its legend, as rich draws it."""
        colored = console.color_system is not None and not console.no_color
        yield from (self.text(), self.legend()) if colored else (self.marked(),)

    def to_html(self) -> str:
        """The text with its legend as HTML, for light and dark pages."""
        names = short_names(self.components)
        passages = "".join(
            f'<p style="margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.75">'
            f"{''.join(_span(text, piece, names) for text, piece in shown)}</p>"
            for shown in map(_shown, self.passages)
        )
        hint = f'<span style="{MUTED}">{STRONGER}; point at a word for the numbers.</span>'
        legend = f'<div style="font-size:0.85em">{legend_html(names)}{hint}</div>'
        return f'<div class="colored-text">{legend}{passages}</div>'

    _repr_html_ = to_html

    def __repr__(self) -> str:
        # Colored where standard output is a terminal, as it is in Python's prompt.
        console = Console(force_jupyter=False)
        with console.capture() as captured:
            console.print(self)
        return captured.get().rstrip("\n")


def show_text(hybrid: "ManticoreForCausalLM", text: str) -> ColoredText:
    """A text whose tokens are colored by the mixture weights that a hybrid gives them.

    In a notebook or at Python's prompt the result shows itself; elsewhere `print` does. Tokens of a
    hybrid with static mixture weights all have the same color.

    Args:
        hybrid: Hybrid with its tokenizer.
        text: Any text.

    Raises:
        ValueError: The hybrid has no tokenizer, or the text is empty.
    """
    # Here, because it needs torch, which takes seconds to import; watching a run does not.
    from manticore.components.tokenizers import token_texts

    if hybrid.tokenizer is None:
        raise ValueError("The hybrid has no tokenizer, so it cannot read a text: set one.")
    ids = hybrid.tokenizer(text, verbose=False)["input_ids"]
    if not ids:
        raise ValueError("The text is empty: there is nothing to color.")
    weights = hybrid.mixture_of(text).tolist()
    tokens = token_texts(hybrid.tokenizer, ids)
    return ColoredText([list(pieces_of(tokens, weights))], hybrid.component_names)


def _words(passage: Sequence[Piece]) -> Iterator[tuple[str, int]]:
    """Whole words, each with the component of its longest piece."""
    words: list[list[Piece]] = []
    for piece in passage:
        if not words or piece.text[0].isspace() or words[-1][-1].text[-1].isspace():
            words.append([])
        words[-1].append(piece)
    for word in words:
        longest = max(word, key=lambda piece: len(piece.text))
        yield "".join(piece.text for piece in word), longest.component


def _shown(passage: Sequence[Piece]) -> Iterator[tuple[str, Piece]]:
    """Pieces with what is shown of them: a passage begins without a space."""
    for index, piece in enumerate(passage):
        yield _close(piece.text if index else piece.text.lstrip()), piece


def _close(text: str) -> str:
    """A text without empty lines, for which there is no room."""
    return re.sub(r"\n\s*\n", "\n", text)


def _style(piece: Piece) -> str:
    """The color of a piece as rich names it: black on the component's color, or a paler one."""
    channels = [(1, 3), (3, 5), (5, 7)]
    full, pale = component_colour(piece.component), _PALE
    mixed = (
        round(piece.strength * int(full[a:b], 16) + (1 - piece.strength) * int(pale[a:b], 16))
        for a, b in channels
    )
    return "#000000 on #" + "".join(f"{value:02x}" for value in mixed)


def legend_html(names: Sequence[str]) -> str:
    """Which color is which component's, as HTML.

    Args:
        names: Short names of the components.
    """
    return "".join(
        f'<span style="margin-right:14px"><span style="{_css(k, 1.0)}">&emsp;</span> '
        f"{html.escape(name)}</span>"
        for k, name in enumerate(names)
    )


def fill_and_line(component: int, strength: float) -> tuple[str, str]:
    """The background of a piece, and a line below it that tells components apart in print, as CSS.

    Args:
        component: Index of the component.
        strength: How strong the color is, 0 to 1.
    """
    color, (least, most) = component_colour(component), _OPACITY
    line = _UNDERLINES[component % len(_UNDERLINES)]
    opacity = round(least + (most - least) * strength, 2)
    return translucent(color, opacity), f"2px {line} {color}"


def _css(component: int, strength: float) -> str:
    """The color of a piece in HTML."""
    fill, line = fill_and_line(component, strength)
    return f"background:{fill};border-bottom:{line}"


def _span(text: str, piece: Piece, names: Sequence[str]) -> str:
    """A piece in HTML; pointing at it shows its mixture weights in each block."""
    rows = [" · ".join(f"{weight:.2f}" for weight in row) for row in piece.weights]
    alike = len(set(rows)) == 1
    told = (
        [f"all blocks: {rows[0]}"]
        if alike
        else [f"block {b}: {row}" for b, row in enumerate(rows, 1)]
    )
    title = html.escape("\n".join([" · ".join(names), *told])).replace("\n", "&#10;")
    return (
        f'<span style="{_css(piece.component, piece.strength)}" title="{title}">'
        f"{html.escape(text)}</span>"
    )
