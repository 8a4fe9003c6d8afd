"""The shipped weights: they load as any checkpoint does, and they have learned their language."""

import math
import re
from collections import Counter
from itertools import islice

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.zoo import zoo_card, zoo_path
from manticore.data.packing import pack
from manticore.evaluate.losses import mean_loss
from manticore.hybrid import build_hybrid
from manticore.stories import generate_stories
from tools.zoo.blend import encode_documents, python_modules
from tools.zoo.recipes import RECIPES

NAMES = sorted(RECIPES)
UNSEEN_SEED = 424_242
OWN_TEXT = {
    "en": "bundled:stories-en, held out",
    "es": "bundled:stories-es, held out",
    "python": "bundled:python, held out",
}
"""By language: the text in the cards that a component of it knows best."""
MOST_OF_UNIGRAM = {"en": 0.25, "es": 0.25, "python": 0.4}
"""By language: loss on unseen text, relative to word counts: code is not generated."""


@pytest.fixture(scope="module", params=NAMES)
def component(request):
    folder = zoo_path(request.param)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    use_fast_mixers(model)
    return request.param, model, AutoTokenizer.from_pretrained(folder)


def unseen(language: str, n: int = 12) -> list[str]:
    """Stories that were not trained on, or held-out modules, shortened, of the standard library."""
    if language == "python":
        return [module[:4000] for module in islice(python_modules("valid"), n)]
    return list(generate_stories(language, n_stories=n, seed=UNSEEN_SEED))


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d]+", text)


def test_weights_are_half_precision_safetensors():
    for name in NAMES:
        model = AutoModelForCausalLM.from_pretrained(zoo_path(name))
        assert {p.dtype for p in model.parameters()} == {torch.float16}
        assert not list(zoo_path(name).glob("*.bin"))


def test_config_is_the_recipes(component):
    name, model, tokenizer = component
    recipe = RECIPES[name]
    assert model.config.model_type == recipe.model_type
    assert model.config.hidden_size == zoo_card(name)["width"]
    assert model.config.num_hidden_layers == zoo_card(name)["depth"]
    assert model.num_parameters() == zoo_card(name)["parameters"]
    assert model.config.vocab_size == len(tokenizer) == 4096
    assert model.config.eos_token_id == tokenizer.eos_token_id == tokenizer.bos_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.padding_side == "left"


def test_unseen_text_is_far_likelier_than_under_word_counts(component):
    name, model, tokenizer = component
    language = RECIPES[name].language
    ids = encode_documents(unseen(language), tokenizer)
    counts = Counter(ids.tolist())
    unigram = -sum(n * math.log(n / len(ids)) for n in counts.values()) / len(ids)
    loss = mean_loss(model, list(pack([ids], 512, tokenizer.pad_token_id)))
    assert loss < MOST_OF_UNIGRAM[language] * unigram


def test_the_card_tells_the_truth(component):
    name, model, tokenizer = component
    language = RECIPES[name].language
    told = zoo_card(name)["perplexity"][OWN_TEXT[language]]
    documents = list(python_modules("valid")) if language == "python" else unseen(language, 40)
    ids = encode_documents(documents, tokenizer)
    windows = list(pack([ids], 512, tokenizer.pad_token_id))
    if language == "python":  # modules are unlike, so that evenly spaced windows of all are read
        windows = windows[:: len(windows) // 60]
    assert mean_loss(model, windows) == pytest.approx(told["nats_per_token"], abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_a_component_is_at_home_in_its_own_language(name):
    measured = zoo_card(name)["perplexity"]
    perplexities = {language: measured[text]["perplexity"] for language, text in OWN_TEXT.items()}
    home = perplexities.pop(RECIPES[name].language)
    assert 20 * home < min(perplexities.values())


def test_sampled_text_is_made_of_known_words(component):
    name, model, tokenizer = component
    language = RECIPES[name].language
    # Code is cut into twice as many tokens, and the head of a module is not code yet.
    is_code = language == "python"
    prompt = RECIPES[name].prompt if is_code else unseen(language, 1)[0][:120]
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=120 if is_code else 60, do_sample=False)
    texts = python_modules("train") if is_code else unseen(language, 400)
    known = {word for text in texts for word in words(text)}
    written = words(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]))[1:-1]
    strange = [word for word in written if word not in known]
    assert len(written) > 5
    assert len(strange) <= 0.15 * len(written), strange


def test_widths_and_depths_are_unlike():
    shapes = {(zoo_card(n)["width"], zoo_card(n)["depth"]) for n in NAMES}
    assert len(shapes) == len(NAMES)


def test_components_of_three_domains_make_a_hybrid():
    names = ["tales-neox", "novelas-mamba", "stdlib-llama"]
    hybrid = build_hybrid([f"zoo:{name}" for name in names], 2)
    assert hybrid.mixture_weights.shape == (2, 3)
    assert hybrid.transplants == {}, "the components share a tokenizer"
    losses = []
    for language in ("en", "es", "python"):
        ids = torch.from_numpy(encode_documents(unseen(language, 1), hybrid.tokenizer)).long()
        ids = ids[None, :256]
        with torch.no_grad():
            rows = [hybrid(ids, mixture_weights=row.expand(2, 3)).logits[0] for row in torch.eye(3)]
        losses.append([float(cross_entropy(row[:-1], ids[0, 1:])) for row in rows])
    # Each text is predicted best by its own component.
    assert torch.tensor(losses).argmin(dim=1).tolist() == [0, 1, 2]
    prompt = hybrid.tokenizer("def read(path", return_tensors="pt", return_token_type_ids=False)
    written = hybrid.generate(**prompt, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert written.shape[1] == prompt["input_ids"].shape[1] + 5
