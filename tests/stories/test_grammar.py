"""The grammar engine: exact probabilities, and the search for derivations."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manticore.stories.grammar import Sampler, Source, derivations
from manticore.stories.narrator import Entity, Narrator, compile_rules

RULES = compile_rules(
    {"greet": ("[hello], {x.name}.", "{x?He/She} said [hello]."), "hello": ("hi", "ho")}
)


def greet(source: Source) -> None:
    narrator = Narrator(source, RULES)

    def name(entity: Entity) -> None:
        entity["gender"] = "mf"[source.pick(2)]
        entity["name"] = {"m": "Tom", "f": "Ann"}[entity["gender"]]

    narrator.say("greet", x=Entity({"gender": name, "name": name}))


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
