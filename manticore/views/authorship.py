"""Who wrote which word, as HTML: a text in the colors of its components, with each word's numbers.

A word has the color of the component that gave it the highest probability; where mixture weights
are routed, a switch colors it by those that it was written with instead. Pointing at a word, or
moving the focus to it, shows the numbers. No script is needed.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from manticore.views.colored_text import block_mean, fill_and_line, leading, legend_html
from manticore.views.plots.theme import component_colour, short_names

if TYPE_CHECKING:
    from manticore.evaluate.authorship import WhoWrote, WrittenToken

STYLE = """<style>
.mc-authorship { position: relative; --card: var(--background-fill-primary,
  var(--jp-layout-color1, Canvas)); --edge: var(--border-color-primary, #8a94a3); }
.mc-authorship .told { display: flex; flex-wrap: wrap; gap: 2px 10px; font-size: .85em; }
.mc-authorship .told label { cursor: pointer; margin-right: 8px; }
.mc-authorship .told input { margin: 0 4px 0 0; vertical-align: -1px; }
.mc-authorship .hint { opacity: .8; }
.mc-authorship .text { margin: 6px 0; white-space: pre-wrap; overflow-wrap: anywhere;
  line-height: 1.85; }
.mc-authorship .word { background: var(--fill); border-bottom: var(--line); cursor: default; }
.mc-authorship:has(.by-weights:checked) .word { background: var(--weight-fill, var(--fill));
  border-bottom: var(--weight-line, var(--line)); }
.mc-authorship .word:hover, .mc-authorship .word:focus { outline: 2px solid currentColor;
  outline-offset: 1px; border-radius: 2px; }
.mc-authorship .card { display: none; position: absolute; left: 0; z-index: 5; width: 33em;
  max-width: 100%; margin-top: 2px; padding: 7px 11px; box-sizing: border-box; font-size: .85em;
  line-height: 1.5; white-space: normal; pointer-events: none; background: var(--card);
  border: 1px solid var(--edge); border-radius: 8px; box-shadow: 0 4px 14px rgba(0, 0, 0, .18); }
.mc-authorship .word:hover > .card { display: block; z-index: 6; }
.mc-authorship .word:focus > .card { display: block; }
.mc-authorship .row { display: grid; grid-template-columns: 9em 1fr 3.2em 5.4em;
  gap: 10px; align-items: center; font-variant-numeric: tabular-nums; }
.mc-authorship .bar { height: 7px; border-radius: 4px; overflow: hidden;
  background: rgba(128, 138, 152, .25); }
.mc-authorship .bar i { display: block; height: 100%; }
.mc-authorship .number { text-align: right; white-space: nowrap; }
.mc-authorship .weight { white-space: nowrap; }
.mc-authorship .others { margin-top: 4px; opacity: .85; }
.mc-authorship .others b { font-weight: 600; white-space: nowrap; }
</style>"""
PROBABILITY = "The stronger the color, the further ahead the component's probability"
WEIGHTS = "mixture weights"


def authorship_html(found: "WhoWrote") -> str:
    """A text in the colors of the components that wrote it, for light and dark pages.

    Args:
        found: What `manticore.evaluate.who_wrote` found.
    """
    names = short_names(found.components)
    # Several texts may stand on one page.
    prefix = f"mc-{crc32(''.join(token.text for token in found.tokens).encode()):x}"
    words = "".join(
        _word_html(token, names, f"{prefix}-{index}")
        for index, token in enumerate(found.tokens)
        if token.text
    )
    switch = _switch_html(prefix) if found.is_routed else ""
    return (
        f'{STYLE}<div class="mc-authorship"><div class="told">{switch}'
        f'<span>{legend_html(names)}</span><span class="hint">{PROBABILITY}; point at a word, or '
        f'press Tab, for the numbers.</span></div><p class="text">{words}</p></div>'
    )


def _switch_html(name: str) -> str:
    """Two radio buttons: what the words are colored by."""
    choices = [("probability", "by-probability", " checked"), (WEIGHTS, "by-weights", "")]
    buttons = "".join(
        f'<label><input type="radio" name="{name}" class="{kind}"{checked}>{label}</label>'
        for label, kind, checked in choices
    )
    return f'<span role="radiogroup" aria-label="Color words by">Color by: {buttons}</span>'


def _word_html(token: "WrittenToken", names: Sequence[str], card_id: str) -> str:
    total = sum(token.components)
    shares = [share / total for share in token.components] if total else [1.0] * len(names)
    fill, line = fill_and_line(*leading(shares))
    style = f"--fill:{fill};--line:{line}"
    if token.weights is not None:
        fill, line = fill_and_line(*leading(block_mean(token.weights)))
        style += f";--weight-fill:{fill};--weight-line:{line}"
    return (
        f'<span class="word" tabindex="0" style="{style}" aria-describedby="{card_id}">'
        f"{_escaped(token.text)}{_card_html(token, names, card_id)}</span>"
    )


def _card_html(token: "WrittenToken", names: Sequence[str], card_id: str) -> str:
    """What is known of a word: everybody's probability of it, and what might have stood there."""
    weights = [None] * len(names) if token.weights is None else block_mean(token.weights)
    rows = _row_html("Hybrid", token.probability, "currentColor", None) + "".join(
        _row_html(_escaped(name), share, component_colour(k), weight)
        for k, (name, share, weight) in enumerate(
            zip(names, token.components, weights, strict=True)
        )
    )
    others = " · ".join(
        f"<b>{_escaped(_visible(text))}</b> {_percent(share)}" for text, share in token.runners_up
    )
    return (
        f'<span class="card" role="tooltip" id="{card_id}">{rows}'
        f'<span class="others">Other likely words of the hybrid: {others}</span></span>'
    )


def _row_html(name: str, share: float, color: str, weight: float | None) -> str:
    """One row of a card; the name is HTML already."""
    weighed = "" if weight is None else f"weight {weight:.2f}"
    return (
        f'<span class="row"><span>{name}</span><span class="bar"><i style="width:{share:.1%};'
        f'background:{color}"></i></span><span class="number">{_percent(share)}</span>'
        f'<span class="weight">{weighed}</span></span>'
    )


def _percent(share: float) -> str:
    """A probability for readers, such as 62%, 0.4% or <0.1%."""
    if share >= 0.1:
        return f"{share:.0%}"
    return f"{share:.1%}" if share >= 0.001 else "&lt;0.1%"


def _visible(text: str) -> str:
    """A word by itself, in which one sees also what is blank."""
    return text.strip() or text.replace("\n", "↵").replace(" ", "␣")


def _escaped(text: str) -> str:
    return html.escape(text)
