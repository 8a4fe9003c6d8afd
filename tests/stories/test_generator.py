"""The stories: reproducible, unambiguous and grammatical."""

import hashlib
import math
import re
from collections import Counter

import pytest

from manticore.stories import (
    generate_stories,
    sample_stories,
    story_log_probability,
)
from manticore.stories.lexicon import lexicon

LANGUAGES = ("en", "es", "mixed")
DIGESTS = {
    "en": "9fab1bcd16a530954a5cf7be5c980a40",
    "es": "22737eb18e5bd6a68e23ff9d00cf41ed",
    "mixed": "33edd7aa938ce2f0bdaabf849f090976",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_stories_are_those_that_the_bundled_components_learned(language):
    stories = [
        story
        for seed in (0, 1)
        for stream in ("train", "valid")
        for story in generate_stories(language, n_stories=100, seed=seed, stream=stream)
    ]
    digest = hashlib.sha256("\0".join(stories).encode()).hexdigest()
    assert digest[:32] == DIGESTS[language]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_same_arguments_give_the_same_stories(language):
    first = list(generate_stories(language, n_stories=20, seed=3))
    assert first == list(generate_stories(language, n_stories=20, seed=3))
    assert first[:5] == list(generate_stories(language, n_stories=5, seed=3))


@pytest.mark.parametrize("language", LANGUAGES)
def test_seeds_and_streams_are_disjoint(language):
    streams = [
        set(generate_stories(language, n_stories=300, seed=seed, stream=stream))
        for seed in (0, 1)
        for stream in ("train", "valid", "entropy")
    ]
    assert len(set.union(*streams)) == 6 * 300


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_story_has_one_derivation_of_the_reported_probability(language):
    for story in sample_stories(language, n_stories=12, seed=17):
        log_probability, count = story_log_probability(story.text, language)
        assert count == 1
        assert log_probability == pytest.approx(-story.nats)


def test_a_mixed_story_costs_a_coin_more():
    story = next(sample_stories("mixed", n_stories=1, seed=2))
    log_probability, count = story_log_probability(story.text, "mixed")
    assert (log_probability, count) == (pytest.approx(-story.nats), 1)
    spoken = "es" if "¿" in story.text else "en"
    alone, _ = story_log_probability(story.text, spoken)
    assert alone - log_probability == pytest.approx(math.log(2))


def test_other_texts_have_no_probability():
    assert story_log_probability("Call me Ishmael.", "en") == (-math.inf, 0)
    story = next(generate_stories("en", n_stories=1))
    assert story_log_probability(story + " ", "en") == (-math.inf, 0)
    assert story_log_probability(story, "es") == (-math.inf, 0)


@pytest.mark.parametrize("language", ["en", "es"])
def test_stories_have_the_promised_length(language):
    lengths = [len(s.split()) for s in generate_stories(language, n_stories=500, seed=4)]
    assert min(lengths) >= 80
    assert max(lengths) <= 260


@pytest.mark.parametrize("language", ["en", "es"])
def test_stories_are_clean_text(language):
    for story in generate_stories(language, n_stories=300, seed=6):
        assert not re.search(r"[{}\[\]]|  | [.,?!]|\.\.| $", story, re.MULTILINE)
        for sentence in re.split(r"(?<=[.?!])\s+(?!—(?:dijo|\w+ó) )", story):
            assert re.sub(r"^[“—¿¡ ]+", "", sentence)[:1].isupper(), sentence


def test_english_articles_fit_the_next_word():
    for story in generate_stories("en", n_stories=500, seed=7):
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", story):
            vowel = word[0] in "aeiouAEIOU" or word in ("hour", "honest")
            assert (article.lower() == "an") == vowel, f"{article} {word}"


def test_spanish_nouns_articles_and_adjectives_agree():
    words = lexicon("es")
    gender = dict(words.things) | dict(words.animals)
    nouns = "|".join(gender)
    colours = {
        form: i
        for pair in words.words["colors"]
        if "/" in pair
        for i, form in enumerate(pair.split("/"))
    }
    articles = {"el": "m", "un": "m", "al": "m", "del": "m", "la": "f", "una": "f"}
    checked = Counter()
    for story in generate_stories("es", n_stories=500, seed=7):
        assert not re.search(r"\b(a|de) el\b", story)
        for article, noun in re.findall(rf"\b(un|una|el|la|del|al) ({nouns})\b", story.lower()):
            assert articles[article] == gender[noun], f"{article} {noun}"
            checked["article"] += 1
        for noun, adjective in re.findall(rf"\b({nouns})(?: era)? (\w+)", story):
            if adjective in colours:
                assert "mf"[colours[adjective]] == gender[noun], f"{noun} {adjective}"
                checked["adjective"] += 1
        assert story.count("¿") == story.count("?")
        assert story.count("¡") == story.count("!")
    assert checked["article"] > 1000
    assert checked["adjective"] > 500


def test_the_answer_about_a_thing_is_where_it_was_last_put():
    asked = 0
    for story in generate_stories("en", n_stories=400, seed=9):
        *paragraphs, questions = story.split("\n\n")
        for thing, spot in re.findall(r"[Ww]here was (the \w+).*\? The \w+ was (.+)\.", questions):
            told = [p for p in paragraphs if thing in p.lower()][-1]
            assert spot in told
            asked += 1
        for holder in re.findall(r"[Ww]ho had the \w+.*\? (\w+) had", questions):
            assert any(holder in paragraph for paragraph in paragraphs)
    assert asked > 50


def test_a_hidden_thing_that_was_taken_back_has_a_holder():
    taken = re.compile(r"(\w+) came upon (the \w+) and picked it up")
    seen = 0
    for story in generate_stories("en", n_stories=1500, seed=10):
        match = taken.search(story)
        if match:
            seen += 1
            assert f"here was {match[2]}" not in story
    assert seen > 10


@pytest.mark.parametrize("language", ["fr", "", "EN"])
def test_an_unknown_language_is_refused(language):
    with pytest.raises(ValueError, match="Choose from: en, es, mixed"):
        generate_stories(language, n_stories=1)


def test_counts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="n_stories=-1 is negative"):
        generate_stories("en", n_stories=-1)
