"""What is known of a component before its weights are loaded is what loading it finds."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoConfig, BertConfig

from manticore.components.examination import examine
from manticore.components.facts import zoo_facts
from manticore.components.loading import load_component
from manticore.components.places import ComponentError
from tests.tiny import FAMILY_CONFIGS, VOCAB_SIZE, make_model, make_tokenizer

FAMILIES = ["gpt2", "gpt_neox", "opt", "xglm", "bloom", "mamba2", "recurrent_gemma"]


@pytest.mark.parametrize("family", FAMILIES)
def test_facts_are_those_of_the_loaded_component(
    component: Callable[..., str], family: str
) -> None:
    examined = examine(component(family))
    loaded = load_component(component(family))
    facts, model = examined.facts, loaded.model
    assert facts.family == family
    assert facts.parameters == sum(weight.numel() for weight in model.parameters())
    assert (facts.depth, facts.width) == (loaded.runner.depth, model.config.hidden_size)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    assert facts.tied == (head.weight is embedding.weight)
    assert facts.vocabulary == embedding.weight.shape[0]
    assert examined.tokenizer is not None
    assert examined.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    unlimited = {"bloom", "mamba2", "recurrent_gemma"}
    assert (facts.context is None) == (family in unlimited)


def test_bundled_components_have_the_same_facts_on_their_cards() -> None:
    assert zoo_facts("zoo:tales-neox") == examine("zoo:tales-neox").facts


def test_untrained_components_are_known_too() -> None:
    facts = examine("scratch:llama?width=64&layers=3&vocabulary=20").facts
    assert (facts.family, facts.depth, facts.width, facts.vocabulary) == ("llama", 3, 64, 20)
    with pytest.raises(ComponentError, match="is not available"):
        examine("scratch:llama?depth=3")


def test_of_the_hub_a_configuration_is_enough(tmp_path: Path) -> None:
    config = AutoConfig.for_model("llama", vocab_size=96, **FAMILY_CONFIGS["llama"](32, 4))
    config.save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("---\nlanguage: [en, es]\n---\n# A model\n")
    examined = examine("owner/name", tmp_path)
    assert examined.facts.languages == ("en", "es")
    assert examined.facts.parameters == sum(w.numel() for w in make_model("llama").parameters())
    assert examined.tokenizer is None
    make_tokenizer().save_pretrained(tmp_path)
    assert len(examine("owner/name", tmp_path).tokenizer or ()) <= VOCAB_SIZE
    (tmp_path / "README.md").write_text("---\nlanguage: {en\n---\n")
    assert examine("owner/name", tmp_path).facts.languages == ()


def test_what_cannot_be_loaded_is_refused_with_the_same_words(
    component: Callable[..., str], tmp_path: Path
) -> None:
    AutoConfig.for_model("t5", d_model=32, num_layers=1, d_kv=8, d_ff=32).save_pretrained(tmp_path)
    with pytest.raises(ComponentError, match="'a/t5', of the family 't5', is not a causal"):
        examine("a/t5", tmp_path)
    BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(ComponentError, match=r"cut into blocks.*Choose a model of one of"):
        examine("a/bert", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such"}))
    with pytest.raises(ComponentError, match="could not be loaded as a causal language model"):
        examine("a/b", tmp_path)
    bare = Path(shutil.copytree(component("llama"), tmp_path / "bare"))
    for file in bare.glob("token*"):
        file.unlink()
    with pytest.raises(ComponentError, match="the tokenizer that it was trained with"):
        examine(str(bare))
