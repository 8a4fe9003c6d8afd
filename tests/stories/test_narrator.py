"""Sentences from templates: slots, fresh templates first, and participants drawn when mentioned."""

import math
import random

import pytest

from manticore.stories.grammar import Sampler
from manticore.stories.narrator import Entity, Narrator, compile_rules, compile_template


def test_a_template_is_split_into_its_slots():
    assert compile_template("A [b] {c.d}{e?f/g}.") == (
        ("text", "A "),
        ("rule", "b"),
        ("text", " "),
        ("form", "c", "d"),
        ("gender", "e", "f", "g"),
        ("text", "."),
    )


@pytest.mark.parametrize("template", ["{x}", "[a b]", "{x?m}", "open [", "close }"])
def test_a_malformed_slot_is_refused(template):
    with pytest.raises(ValueError, match="stray bracket"):
        compile_template(template)


def test_templates_come_once_each_before_any_comes_again():
    source = Sampler(random.Random(0))
    narrator = Narrator(source, compile_rules({"count": ("one", "two", "three")}))
    for _ in range(6):
        narrator.say("count")
    said = source.text().split()
    assert {w.lower() for w in said[:3]} == {w.lower() for w in said[3:]} == {"one", "two", "three"}
    # The third of three is no choice: 2 * (log 3 + log 2 + log 1).
    assert source.nats == pytest.approx(2 * math.log(6))


def test_a_participant_is_drawn_only_when_mentioned():
    drawn = []

    def anyone() -> Entity:
        drawn.append(1)
        entity = Entity()
        entity["name"] = "Tom"
        return entity

    rules = compile_rules({"silent": ("Nobody came.",), "loud": ("{x.name} saw {x.name}.",)})
    narrator = Narrator(Sampler(random.Random(0)), rules)
    narrator.say("silent", x=anyone)
    assert not drawn
    narrator.say("loud", x=anyone)
    assert drawn == [1]
