"""The files of the languages: read, checked, and enough to tell stories in a new one."""

import math
import random
import re
from importlib import resources

import pytest

from manticore.stories import LANGUAGES
from manticore.stories.grammar import Sampler, derivations
from manticore.stories.lexicon import SPOKEN, agree, lexicon, read_lexicon
from manticore.stories.plot import Plot


def source(language: str) -> str:
    """The file of a language."""
    folder = resources.files("manticore.stories") / "languages"
    return (folder / f"{language}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", SPOKEN)
def test_every_rule_can_be_told(language):
    """All that sentences refer to exists, and no sentence is out of reach."""
    found = lexicon(language)
    reached, todo = set(), {"opening", "owns", "weather", "meets", "invites", "walks", "return"}
    todo |= {"feels", "then", "give", "swap", "hide", "uncover", "find", "animal", "chat", "meal"}
    todo |= {"sight", *(rule for rule in found.rules if rule.startswith(("ask_", "reply_")))}
    while todo:
        reached.add(rule := todo.pop())
        parts = {part for template in found.rules[rule] for part in template}
        todo |= {part[1] for part in parts if part[0] == "rule"} - reached
    assert reached == set(found.rules)


def test_languages_have_names_for_people():
    assert LANGUAGES == {"en": "English", "es": "Spanish", "mixed": "English and Spanish"}


def test_words_agree_by_gender():
    assert agree("cansado/cansada pero feliz", "f") == "cansada pero feliz"
    assert agree("cansado/cansada pero feliz", "") == "cansado pero feliz"


BOX = {"noun": "box", "color": "orange"}
BEAR = {"noun": "oso", "trait": "sabio/sabia"}
GOAT = {"noun": "cabra", "trait": "sabio/sabia"}


@pytest.mark.parametrize(
    ("language", "kind", "gender", "drawn", "forms"),
    [
        ("en", "thing", "", BOX, {"new": "an orange box", "the": "the box"}),
        ("en", "person", "m", {"trait": "honest"}, {"a_trait": "an honest", "trait": "honest"}),
        ("es", "animal", "m", BEAR, {"the": "el oso", "new": "un oso sabio", "of": "del oso"}),
        ("es", "animal", "f", GOAT, {"new": "una cabra sabia", "of": "de la cabra"}),
    ],
)
def test_forms_are_written_from_words(language, kind, gender, drawn, forms):
    written = lexicon(language).forms_of(kind, gender, **drawn)
    assert {form: written[form] for form in forms} == forms


@pytest.mark.parametrize(
    ("language", "at", "to"),
    [
        ("en", "on the hill", "to the hill"),
        ("es", "en el faro", "al faro"),
        ("es", "en la playa", "a la playa"),
    ],
)
def test_a_place_is_written_from_where_one_is(language, at, to):
    preposition, where = at.split(" ", 1)
    forms = lexicon(language).forms_of("place", preposition=preposition, where=where)
    assert forms == {"at": at, "to": to}


def test_a_file_is_all_that_a_language_needs():
    """English of another vocabulary: its stories are told, and have one derivation each."""
    text = re.sub(r"(?<=[ ,\n])(fox|owl|goat),", r"\1ling,", source("en"))
    text = text.replace("Once upon a time", "In olden days").replace("“Are you lost?”", "“Lost?”")
    other = read_lexicon(text, "en-old.toml")
    told = set()
    for seed in range(60):
        sampler = Sampler(random.Random(seed))
        Plot(sampler, other).tell()
        told.add(sampler.text())
        if seed < 3:
            found = list(derivations(lambda s: Plot(s, other).tell(), sampler.text()))
            assert len(found) == 1
            assert found[0].nats == pytest.approx(sampler.nats)
    joined = " ".join(told)
    assert all(word in joined for word in ("In olden days", "foxling"))
    assert "Once upon" not in joined
    assert math.isfinite(sampler.nats)


ANIMALS = re.search(r'animals = """.*?"""', source("en"), re.DOTALL)[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("moods =", "modes =", "it has no entry 'moods'"),
        ("[forms]", "[form]", "it has no entry 'forms'"),
        ("[words]", "words]", "Expected"),
        ("{x.name} was {x.mood}.", "{x.name was {x.mood}.", "has a stray bracket"),
        ("'^a (?=[aeiou]|honest)'", "'^a (?=[aeiou'", "unterminated"),
        (ANIMALS, "animals = 'fox, owl'", "animal has more than the 2 of [words]"),
    ],
)
def test_a_mistake_in_a_file_is_named(old, new, said):
    text = source("en")
    assert old in text
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_lexicon(text.replace(old, new), "en-old.toml")
    assert str(caught.value).startswith("en-old.toml is not the file of a language")
