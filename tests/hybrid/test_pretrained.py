"""What a saved hybrid must be to be loaded, and what survives being saved."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import are_progress_bars_disabled
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig
from transformers.utils import logging

from manticore import ManticoreForCausalLM, build_hybrid
from tests.tiny import FAMILY_NAMES, VOCAB_SIZE, make_tokenizer, save_component

Component = Callable[..., str]

LOADERS = pytest.mark.parametrize("loader", [ManticoreForCausalLM, AutoModelForCausalLM])


def _ids() -> torch.Tensor:
    return torch.randint(2, VOCAB_SIZE, (2, 9), generator=torch.Generator().manual_seed(7))


def _build(folders: list[str | Path], **options: object) -> ManticoreForCausalLM:
    return build_hybrid(folders, 2, projector_init="identity", **options)


# Tensors ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(component: Component, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "hybrid"
    _build([component("mamba"), component("gpt2", width=24)], head="new").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "hybrid"))


def _change(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@LOADERS
@pytest.mark.parametrize(
    "name",
    [
        "components.0.backbone.layers.0.mixer.in_proj.weight",
        "components.1.transformer.wte.weight",
        "projectors.into.0.1.linear.bias",
        "mixture.alpha",
        "new_head.weight",
    ],
)
def test_a_hybrid_that_lacks_a_tensor_is_refused(folder: Path, loader: type, name: str) -> None:
    _change(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(
        ValueError, match=rf"hybrid' does not fit its config\.json: it lacks .*{name}"
    ):
        loader.from_pretrained(folder)


@LOADERS
def test_a_hybrid_with_a_tensor_too_many_is_refused(folder: Path, loader: type) -> None:
    _change(folder, lambda tensors: tensors.update({"components.2.weight": torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"has components\.2\.weight too many"):
        loader.from_pretrained(folder)


@LOADERS
def test_a_hybrid_with_a_tensor_of_another_shape_is_refused(folder: Path, loader: type) -> None:
    _change(folder, lambda tensors: tensors.update({"new_norm.weight": torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"other shapes \(new_norm\.weight \(3,\), not \(32,\)\)"):
        loader.from_pretrained(folder)
    loaded = loader.from_pretrained(folder, ignore_mismatched_sizes=True)
    assert torch.equal(loaded.new_norm.weight, torch.ones(32))


@LOADERS
def test_a_hybrid_in_a_pickle_is_refused(folder: Path, loader: type) -> None:
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="safetensors only, because a pickle can run code"):
        loader.from_pretrained(folder, use_safetensors=False)
    assert torch.equal(loader.from_pretrained(folder).mixture.alpha, tensors["mixture.alpha"])
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"only pickled weights \(pytorch_model\.bin\)"):
        loader.from_pretrained(folder)


def test_tensors_may_be_given_in_place_of_a_file(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    config = AutoConfig.from_pretrained(saved)
    whole = ManticoreForCausalLM.from_pretrained(saved)
    given = ManticoreForCausalLM.from_pretrained(None, config=config, state_dict=dict(tensors))
    with torch.no_grad():
        assert torch.equal(given(_ids()).logits, whole(_ids()).logits)
    tensors.pop("new_head.weight")
    with pytest.raises(ValueError, match=r"lacks new_head\.weight"):
        ManticoreForCausalLM.from_pretrained(None, config=config, state_dict=tensors)


# Buffers that no file holds ---------------------------------------------------------------------

USUAL = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
WITH_CONSTANTS = {
    # Its multipliers are filled in by the backbone, which has no weights of its own.
    "falcon_h1": USUAL
    | {
        "mamba_d_ssm": 64,
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_n_groups": 1,
        "ssm_multipliers": [0.5, 0.25, 2.0, 1.5, 0.75],
    },
    "gemma3_text": USUAL | {"head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 24},
    "gptj": {"n_embd": 32, "n_layer": 4, "n_head": 4, "rotary_dim": 4, "n_positions": 64},
}


def _save_other(folder: Path, family: str) -> Path:
    config = AutoConfig.for_model(
        family, vocab_size=VOCAB_SIZE, bos_token_id=0, eos_token_id=0, **WITH_CONSTANTS[family]
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", [*WITH_CONSTANTS, *FAMILY_NAMES])
@torch.no_grad()
def test_buffers_are_as_they_were(component: Component, family: str, tmp_path: Path) -> None:
    known = family not in WITH_CONSTANTS
    part = component(family) if known else _save_other(tmp_path / family, family)
    hybrid = _build([component("gpt2", width=24), part])
    hybrid.save_pretrained(tmp_path / "hybrid")
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
    held = dict(loaded.named_buffers())
    assert held.keys() == dict(hybrid.named_buffers()).keys()
    for name, buffer in hybrid.named_buffers():
        assert torch.equal(buffer, held[name]), name
    assert torch.equal(loaded(_ids()).logits, hybrid(_ids()).logits)


# Settings for generation ------------------------------------------------------------------------


def _with_settings(folder: Path, family: str, **settings: object) -> Path:
    save_component(folder, family)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def test_the_hybrid_stops_where_its_component_stops(component: Component, tmp_path: Path) -> None:
    ids = _ids()[:1]
    options = {"max_new_tokens": 12, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    endless = AutoModelForCausalLM.from_pretrained(component("llama"))
    third = int(endless.generate(ids, min_new_tokens=12, **options)[0, 9 + 2])
    folder = _with_settings(tmp_path / "llama", "llama", eos_token_id=[0, third], pad_token_id=1)
    alone = AutoModelForCausalLM.from_pretrained(folder)
    wanted = alone.generate(ids, **options)
    assert wanted.shape[1] <= 9 + 3
    for folders in ([folder, component("gpt2", width=24)], [folder]):
        hybrid = _build(folders, mixture_weights=[1.0, 0.0][: len(folders)])
        assert torch.equal(hybrid.generate(ids, **options), wanted)
        hybrid.save_pretrained(tmp_path / "hybrid")
        loaded = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
        assert torch.equal(loaded.generate(ids, **options), wanted)


SETTINGS = {
    "sampling": {"do_sample": True, "temperature": 0.6, "top_p": 0.7, "top_k": 9},
    "a penalty": {"repetition_penalty": 1.3, "max_length": 40},
    # As several published models have it: they contradict each other.
    "sampling that is off": {"do_sample": False, "temperature": 0.6, "top_p": 0.7},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_survive_building_saving_and_loading(
    component: Component, kind: str, tmp_path: Path
) -> None:
    settings = SETTINGS[kind]
    folder = _with_settings(
        tmp_path / "llama", "llama", pad_token_id=None, cache_implementation="hybrid", **settings
    )
    hybrid = _build([component("gpt2", width=24), folder], tokenizer_from=1)
    hybrid.save_pretrained(tmp_path / "hybrid")
    loaded = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
    for config in (hybrid.generation_config, loaded.generation_config):
        assert {name: getattr(config, name) for name in settings} == settings
        assert config.eos_token_id == 0
        assert config.pad_token_id == hybrid.tokenizer.pad_token_id
        # The cache of a hybrid is its own.
        assert config.cache_implementation is None
    assert loaded.generate(_ids()).shape[1] > _ids().shape[1]


def test_settings_come_with_the_tokenizer(component: Component, tmp_path: Path) -> None:
    folder = _with_settings(tmp_path / "llama", "llama", repetition_penalty=1.3)
    hybrid = _build([component("gpt2", width=24), folder])
    default = GenerationConfig().repetition_penalty
    assert hybrid.generation_config.repetition_penalty == default


def test_threads_that_load_at_the_same_time_load_whole_hybrids(
    component: Component, tmp_path: Path
) -> None:
    build_hybrid([component("gpt_neo"), component("mamba")], n_blocks=1).save_pretrained(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        for hybrid in threads.map(ManticoreForCausalLM.from_pretrained, [tmp_path] * 12):
            for model in hybrid.components:
                assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_loading_and_saving_show_no_progress_bars_and_leave_those_of_others(
    component: Component, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.enable_progress_bar()  # a command has turned them off, if one ran in this process
    parts = [component("gpt_neo"), component("mamba")]
    capfd.readouterr()  # what saving these has shown
    _build(parts).save_pretrained(tmp_path)
    ManticoreForCausalLM.from_pretrained(tmp_path)
    assert "it/s" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()
    assert not are_progress_bars_disabled()
