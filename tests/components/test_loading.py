"""Loading components: the weights are those of the file, and what cannot be loaded says why."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    dynamic_module_utils,
)

from manticore import build_hybrid
from manticore.components.loading import load_component
from manticore.components.places import ComponentError
from manticore.components.zoo import zoo_names
from tests.tiny import VOCAB_SIZE, make_model, make_tokenizer, save_component

SAVE_AGAIN = "Save it again with save_pretrained"
SAFETENSORS = "safetensors only, because a pickle can run code.*save_pretrained"
TOKENIZER = r"tokenizer.save_pretrained\(folder\)"


@pytest.fixture
def folder(component: Callable[..., str], tmp_path: Path) -> Path:
    """A component of one's own, to break."""
    return Path(shutil.copytree(component("llama"), tmp_path / "broken"))


def _refused(source: str | Path, *parts: str) -> None:
    """Loading is refused; the message names the source and holds the patterns, in order."""
    with pytest.raises(ComponentError, match="(?s)" + ".*".join(parts)) as error:
        load_component(source)
    assert str(source) in str(error.value)


def _configure(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize("family", ["mamba", "mamba2", "falcon_mamba"])
def test_projections_that_were_rescaled_once_load_as_they_are(tmp_path: Path, family: str) -> None:
    model = make_model(family)
    # Transformers divides the output projections again when it loads a model with this flag.
    model.config.rescale_prenorm_residual = True
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    loaded = load_component(tmp_path).model.state_dict()
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        assert torch.equal(loaded[name], tensor), name


# What loads ------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_checkpoint_in_shards(component: Callable[..., str], tmp_path: Path) -> None:
    make_model("llama").save_pretrained(tmp_path, max_shard_size="20KB")
    make_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    ids = torch.arange(2, 12)[None]
    whole, shards = (load_component(source).model for source in (component("llama"), tmp_path))
    assert torch.equal(shards(ids).logits, whole(ids).logits)
    lost = sorted(tmp_path.glob("*.safetensors"))[2]
    lost.unlink()
    _refused(tmp_path, lost.name)


@pytest.mark.parametrize("saved", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("asked", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_get_the_type_that_was_asked_for(
    saved: torch.dtype, asked: torch.dtype, tmp_path: Path
) -> None:
    model = make_model("gpt_neox").to(saved)
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    loaded = load_component(tmp_path, dtype=asked).model
    for name, parameter in loaded.named_parameters():
        assert parameter.dtype == asked, name
        assert torch.equal(parameter, model.get_parameter(name).to(asked)), name


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "auto"])
def test_a_type_can_be_given_by_name(name: str, component: Callable[..., str]) -> None:
    expected = torch.float32 if name == "auto" else getattr(torch, name)
    for source in (component("llama"), "scratch:llama?width=32"):
        assert load_component(source, dtype=name).model.dtype == expected


@pytest.mark.parametrize("dtype", ["bf17", "int8", torch.int64, "manual_seed", 32])
@pytest.mark.parametrize("source", ["zoo:tales-neox", "scratch:llama"])
def test_what_is_not_a_type_of_weights(source: str, dtype: object) -> None:
    with pytest.raises(ComponentError, match="choose float32, bfloat16, float16 or auto") as error:
        load_component(source, dtype=dtype)
    assert source in str(error.value)
    assert repr(dtype) in str(error.value)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, Path], Path]:
    """`hub("org/name", folder)`: puts a component where the hub's files are kept, with no network.

    Returns the folder of its files.
    """
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def put(name: str, folder: Path, revision: str = "main") -> Path:
        kept = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        commit = "0123456789abcdef" * 2 + revision[:4].encode().hex()
        (kept / "refs").mkdir(parents=True, exist_ok=True)
        (kept / "refs" / revision).write_text(commit)
        return Path(shutil.copytree(folder, kept / "snapshots" / commit))

    return put


@torch.no_grad()
def test_a_hub_id(hub: Callable, component: Callable[..., str]) -> None:
    hub("org/fox", Path(component("llama")))
    hub("org/fox", Path(component("llama", seed=1)), revision="next")
    loaded = load_component("org/fox")
    assert (loaded.name, loaded.source) == ("fox", "org/fox")
    assert len(loaded.tokenizer) == len(make_tokenizer())
    ids = torch.arange(2, 12)[None]
    for revision, seed in (("main", 0), ("next", 1)):
        ours = load_component("org/fox", revision=revision).model
        assert torch.equal(ours(ids).logits, make_model("llama", seed=seed)(ids).logits)
    hybrid = build_hybrid(["org/fox", component("gpt2")], 2, projector_init="identity")
    assert hybrid.component_names[0] == "fox"


def test_a_folder_in_the_home_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_component("~/broken").name == "broken"


# What does not -----------------------------------------------------------------------------------


def test_an_unknown_bundled_name() -> None:
    _refused("zoo:tales-nex", "Did you mean 'tales-neox'", "Choose from", *zoo_names())


def test_no_bundled_components(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MANTICORE_ZOO", str(tmp_path / "gone"))
    _refused("zoo:tales-neox", "gone", "unset the variable")


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/fox", "~/nowhere", "no/where/fox"])
def test_a_path_that_is_not_there(source: str) -> None:
    _refused(source, "no folder", "give a folder that holds config.json")


def test_a_file_in_place_of_its_folder(folder: Path) -> None:
    _refused(folder / "config.json", "is a file", "give the folder that holds")


@pytest.mark.parametrize("source", ["nobody/fox", "fox"])
def test_a_hub_id_out_of_reach(hub: Callable, source: str) -> None:
    _refused(source, "Give zoo:NAME", zoo_names()[0], "hub id that you can reach")


def test_an_adapter_on_the_hub(hub: Callable, folder: Path) -> None:
    files = hub("org/fox-lora", folder)
    _make_adapter(files)
    _refused("org/fox-lora", "LORA adapter for the model 'org/fox'", "merge_and_unload")


@pytest.mark.parametrize("model_too", [False, True])
def test_an_adapter_in_place_of_a_model(folder: Path, model_too: bool) -> None:
    base = make_model("llama")
    if not model_too:
        (folder / "config.json").unlink()
        (folder / "model.safetensors").unlink()
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], base_model_name_or_path="org/fox")
    peft.get_peft_model(base, lora).save_pretrained(folder)
    merge = "PeftModel.from_pretrained(model, "
    _refused(folder, "LORA adapter", "not a whole model", re.escape(merge), "save_pretrained")


def test_the_remedy_for_an_adapter_works(folder: Path, tmp_path: Path) -> None:
    """What the message says to run, with the names that it gives."""
    base = folder.rename(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base)
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, lora)
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ComponentError) as error:
        load_component(tmp_path / "adapter")
    lines = [line.strip() for line in str(error.value).splitlines() if line.startswith("  ")]
    program = "\n".join(lines).replace("FOLDER", str(tmp_path / "merged"))
    exec(
        program,
        {
            "AutoModelForCausalLM": AutoModelForCausalLM,
            "AutoTokenizer": AutoTokenizer,
            "PeftModel": peft.PeftModel,
        },
    )
    ids = torch.arange(2, 12)[None]
    with torch.no_grad():
        merged = load_component(tmp_path / "merged").model(ids).logits
        torch.testing.assert_close(merged, adapted.eval()(ids).logits)


def _make_adapter(folder: Path) -> None:
    settings = {"peft_type": "LORA", "base_model_name_or_path": "org/fox"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))


def test_a_hub_repository_of_pickles(hub: Callable, folder: Path) -> None:
    files = hub("org/fox", folder)
    torch.save(load_file(files / "model.safetensors"), files / "pytorch_model.bin")
    (files / "model.safetensors").unlink()
    _refused("org/fox", SAFETENSORS)


def test_no_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    _refused(folder, "has no config.json", "written by model.save_pretrained")


@pytest.mark.parametrize("content", [b"{oops", b"", b"\xff\xfe\x00"])
def test_a_configuration_that_is_no_json(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    _refused(folder, "config.json is not valid JSON", "save it again")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "zorro"}, "`zorro`"),
        ({"hidden_size": "wide"}, "'hidden_size'.*'wide'"),
        ({"num_attention_heads": 0}, "zero"),
        ({"num_hidden_layers": 5}, r"lacks model\.layers\.4"),
    ],
)
def test_a_configuration_that_makes_no_model(folder: Path, values: dict, said: str) -> None:
    _configure(folder, **values)
    _refused(folder, said)


def test_no_weights_or_only_pickles(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    _refused(folder, "no weights", SAFETENSORS)
    torch.save(make_model("llama").state_dict(), folder / "pytorch_model.bin")
    _refused(folder, "pytorch_model.bin", SAFETENSORS)


@pytest.mark.parametrize("kept", [0.5, 0.01, 0.0])
def test_weights_cut_short(folder: Path, kept: float) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: int(kept * weights.stat().st_size)])
    _refused(folder, "damaged or cut short", "copy or download it again")


def test_a_missing_tensor_and_a_wrong_shape(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _refused(folder, r"lacks model\.layers\.1\.mlp\.up_proj\.weight", SAVE_AGAIN)
    wrong = "model.layers.2.mlp.up_proj.weight"
    tensors[wrong] = tensors[wrong][:5].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _refused(folder, "lacks", r"layers\.2\.mlp\.up_proj\.weight \(5, 32\), not \(64, 32\)")


# Transformers makes up an empty tokenizer for GPT-2 and Mamba, and fails on Llama.
@pytest.mark.parametrize("family", ["gpt2", "mamba", "llama"])
def test_no_tokenizer(family: str, tmp_path: Path) -> None:
    make_model(family).save_pretrained(tmp_path)
    _refused(tmp_path, "tokenizer", TOKENIZER)


def test_half_a_tokenizer(folder: Path) -> None:
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text()[:100])
    _refused(folder, "tokenizer of", TOKENIZER)


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    save_component(tmp_path, "llama", vocab_size=50)
    needed = len(make_tokenizer())
    _refused(tmp_path, f"50 embeddings, fewer than the {needed} entries", "trained with")


def _save_as(model: torch.nn.Module, folder: Path) -> None:
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("bare", [False, True])
def test_an_encoder(family: str, bare: bool, tmp_path: Path) -> None:
    options = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    if family == "distilbert":
        options = {"dim": 32, "n_layers": 2, "n_heads": 4}
    config = AutoConfig.for_model(family, vocab_size=VOCAB_SIZE, **options)
    model = AutoModelForMaskedLM.from_config(config)
    _save_as(model.base_model if bare else model, tmp_path)
    cause = f"'{family}', is not a causal language model"
    _refused(tmp_path, cause, "Choose a model that continues text", "gpt2")


def test_an_encoder_with_a_decoder(tmp_path: Path) -> None:
    options = {"d_model": 32, "num_layers": 1, "num_heads": 4, "d_kv": 8, "d_ff": 32}
    config = AutoConfig.for_model("t5", vocab_size=VOCAB_SIZE, **options)
    _save_as(AutoModelForSeq2SeqLM.from_config(config), tmp_path)
    _refused(tmp_path, "'t5', is not a causal language model: .* an encoder and a decoder")


@torch.no_grad()
def test_the_text_part_of_a_model_that_takes_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    text = {**sizes, "vocab_size": VOCAB_SIZE, "num_key_value_heads": 2, "head_dim": 8}
    vision = {**sizes, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision)
    torch.manual_seed(0)
    whole = AutoModelForCausalLM.from_config(config).eval()
    _save_as(whole, tmp_path)
    loaded = load_component(tmp_path)
    assert "only the text part" in caplog.text
    assert type(loaded.model).__name__ == "Gemma3ForCausalLM"
    ids = torch.arange(2, 12)[None]
    assert torch.equal(loaded.model(ids).logits, whole(ids).logits)


def test_a_hybrid_in_place_of_a_component(component: Callable[..., str], tmp_path: Path) -> None:
    hybrid = build_hybrid([component("llama")], 2, projector_init="identity")
    hybrid.save_pretrained(tmp_path)
    _refused(tmp_path, "is a hybrid itself", "give its components")


def test_a_family_that_cannot_be_cut(tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        "nanochat",
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    _save_as(AutoModelForCausalLM.from_config(config), tmp_path)
    _refused(tmp_path, "cannot be cut into blocks", "'nanochat'", "families.py")


NOT_RUN = ("brings code of its own, which was not run", "trust_remote_code=True")


def test_code_that_a_model_brings_is_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marker = folder / "executed"
    (folder / "modeling_zorro.py").write_text(f"open({str(marker)!r}, 'w')\n")
    names = {"AutoConfig": "modeling_zorro.Config", "AutoModelForCausalLM": "modeling_zorro.Model"}
    _configure(folder, auto_map=names)
    load_component(folder)  # Transformers has code of its own for Llama.
    _configure(folder, model_type="zorro")
    _refused(folder, *NOT_RUN)
    assert not marker.exists()
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    with pytest.raises(ComponentError):  # The file holds no model; but now it is run.
        load_component(folder, trust_remote_code=True)
    assert marker.exists()


def test_code_that_a_tokenizer_brings_is_not_run(folder: Path) -> None:
    marker = folder / "executed"
    (folder / "tokenization_zorro.py").write_text(f"open({str(marker)!r}, 'w')\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "ZorroTokenizer"
    settings["auto_map"] = {"AutoTokenizer": ["tokenization_zorro.ZorroTokenizer", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    _refused(folder, *NOT_RUN)
    assert not marker.exists()
