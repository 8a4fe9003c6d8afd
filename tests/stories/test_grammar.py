"""The grammar engine: templates, exact probabilities, and the search for derivations."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.stories.grammar import (
    Entity,
    Narrator,
    Sampler,
    Source,
    compile_rules,
    compile_template,
    derivations,
)

RULES = compile_rules(
    {"greet": ("[hello], {x.name}.", "{x?He/She} said [hello]."), "hello": ("hi", "ho")}
)


def greet(source: Source) -> None:
    narrator = Narrator(source, RULES)

    def name(entity: Entity) -> None:
        entity["gender"] = "mf"[source.pick(2)]
        entity["name"] = {"m": "Tom", "f": "Ann"}[entity["gender"]]

    narrator.say("greet", x=Entity({"gender": name, "name": name}))


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


def test_every_derivation_is_found_and_the_probabilities_sum_to_one():
    texts = set()
    for seed in range(200):
        source = Sampler(random.Random(seed))
        greet(source)
        texts.add(source.text())
    assert texts == {f"{h}, {n}." for h in ("Hi", "Ho") for n in ("Tom", "Ann")} | {
        f"{p} said {h}." for p in ("He", "She") for h in ("hi", "ho")
    }
    total = sum(math.exp(-d.nats) for text in texts for d in derivations(greet, text))
    assert total == pytest.approx(1.0)


def test_an_ambiguous_grammar_is_found_out():
    def tell(source: Source) -> None:
        source.write(("a", "ab")[source.pick(2)])
        source.write(("bc", "c")[source.pick(2)])

    found = list(derivations(tell, "abc"))
    assert [d.path for d in found] == [(0, 0), (1, 1)]
    assert not list(derivations(tell, "acd"))


@settings(max_examples=30)
@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_a_flip_has_the_surprisal_of_its_outcome(probability, seed):
    source = Sampler(random.Random(seed))
    outcome = source.flip(probability)
    assert source.nats == pytest.approx(-math.log(probability if outcome else 1 - probability))


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
