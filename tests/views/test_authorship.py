"""Who wrote which word, and continuations side by side, as HTML."""

import re

import pytest

from manticore.evaluate.authorship import WhoWrote, WrittenToken
from manticore.views.authorship import authorship_html
from manticore.views.plots import component_colour
from manticore.views.plots.theme import translucent
from manticore.views.side_by_side import Column, side_by_side_html

NAMES = ["zoo:first", "zoo:<second>"]
EVIL = "<img src=x onerror=alert(1)>"


def token(text, own, components, weights=None, runners_up=()):
    return WrittenToken(text, own, components, runners_up, weights)


def styles(shown):
    return re.findall(r'class="word" tabindex="0" style="([^"]*)"', shown)


def test_a_word_has_the_color_of_the_likelier_component_and_of_its_weights():
    first, second = [[1.0, 0.0]] * 2, [[0.5, 0.5], [0.0, 1.0]]
    tokens = [token("Once", 0.5, [0.6, 0.0], second), token(" upon", 0.1, [0.01, 0.03], first)]
    shown = authorship_html(WhoWrote(tokens, NAMES))
    one, two = styles(shown)
    blue, orange = component_colour(0), component_colour(1)
    assert f"--fill:{translucent(blue, 0.55)};--line:2px solid {blue}" in one
    assert f"--line:2px dashed {orange}" in two
    assert f"--weight-line:2px dashed {orange}" in one
    assert f"--weight-fill:{translucent(blue, 0.55)}" in two
    assert shown.count('type="radio"') == 2


def test_static_mixture_weights_have_no_switch():
    shown = authorship_html(WhoWrote([token("Once", 0.5, [0.0, 0.0])], NAMES))
    assert 'type="radio"' not in shown
    assert "--weight-fill" not in shown.split("</style>")[1]


def test_a_card_tells_all_probabilities_and_the_runners_up():
    written = token(" fox", 0.5, [0.624, 0.0004], [[0.9, 0.1]], [(" wolf", 0.031), ("\n", 0.02)])
    card = authorship_html(WhoWrote([written], NAMES)).split('role="tooltip"')[1]
    for words in ("50%", "62%", "&lt;0.1%", "weight 0.90", "<b>wolf</b> 3.1%", "<b>↵</b> 2.0%"):
        assert words in card


@pytest.mark.parametrize("text", [EVIL, '" onfocus="x', "'><script>"])
def test_no_text_becomes_markup(text):
    found = WhoWrote([token(text, 0.5, [0.5, 0.5], None, [(text, 0.1)])], [text, "b"])
    shown = authorship_html(found) + side_by_side_html([Column(text, text, "done")])
    assert text not in shown


def test_columns_say_who_is_writing():
    columns = [Column("zoo:a", " and so", "writing"), Column("zoo:b")]
    shown = side_by_side_html(columns)
    assert "a alone" in shown
    assert "is writing" in shown.split("b alone")[0]
    assert "waits for its turn" in shown.split("b alone")[1]
    assert "<p>and so</p>" in shown
    for k in range(2):
        assert f"border-top-color:{component_colour(k)}" in shown
