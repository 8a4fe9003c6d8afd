"""A family is one entry, which can also be added from outside the package."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedModel,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.components.families import FAMILIES
from manticore.components.loading import load_component
from manticore.components.places import ComponentError
from manticore.components.spec import FamilySpec
from tests.tiny import FAMILY_CONFIGS, VOCAB_SIZE, make_tokenizer

LOUDNESS = 3.0


class ToyConfig(LlamaConfig):
    model_type = "toy"


class ToyModel(LlamaModel):
    """Multiplies its input by a number of its own, which inspection cannot see."""

    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.loudness = LOUDNESS

    def forward(self, input_ids=None, inputs_embeds=None, **kwargs):
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        return super().forward(inputs_embeds=self.loudness * inputs_embeds, **kwargs)


class ToyForCausalLM(LlamaForCausalLM):
    config_class = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.model = ToyModel(config)
        self.post_init()


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[tuple[PreTrainedModel, Path]]:
    """A model of a family that Transformers was told about, and Manticore was not."""
    AutoConfig.register("toy", ToyConfig)
    AutoModelForCausalLM.register(ToyConfig, ToyForCausalLM)
    torch.manual_seed(0)
    options = FAMILY_CONFIGS["llama"](32, 4)
    model = ToyForCausalLM(ToyConfig(vocab_size=VOCAB_SIZE, **options)).eval()
    model.save_pretrained(tmp_path / "toy")
    make_tokenizer().save_pretrained(tmp_path / "toy")
    yield model, tmp_path / "toy"
    CONFIG_MAPPING._extra_content.pop("toy")
    MODEL_FOR_CAUSAL_LM_MAPPING._extra_content.pop(ToyConfig)


@torch.no_grad()
def test_an_entry_from_outside_makes_a_family_work(
    toy: tuple[PreTrainedModel, Path],
    component: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model, folder = toy
    with pytest.raises(ComponentError, match=r"'toy' has no entry.*known families \(.*llama"):
        load_component(folder)
    monkeypatch.setitem(FAMILIES, "toy", FamilySpec("toy", input_scale="loudness"))
    ids = torch.arange(2, 12)[None]
    hybrid = build_hybrid([folder, component("gpt2")], 3, mixture_weights=[1.0, 0.0])
    assert torch.equal(hybrid(ids).logits, model(ids).logits)
    hybrid.save_pretrained(tmp_path / "hybrid")
    again = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_errors_name_a_family_that_was_added(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(FAMILIES, "toy", FamilySpec("toy"))
    config = AutoConfig.for_model("t5", d_model=32, num_layers=1, num_heads=2, d_kv=8, d_ff=32)
    config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ComponentError, match=r"'t5', is not a causal language.*families .*toy"):
        load_component(tmp_path)


def test_an_entry_says_its_own_name() -> None:
    assert all(name == spec.model_type for name, spec in FAMILIES.items())
