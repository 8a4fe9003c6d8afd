"""A component's own tokenizer: read from what is there, and fitted to the model's rows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import import_utils

from manticore import ManticoreForCausalLM, build_hybrid
from manticore.components import own_tokenizer
from manticore.components.loading import load_component
from manticore.components.own_tokenizer import fit_tokenizer
from manticore.components.places import ComponentError
from manticore.components.scratch import number_tokenizer
from tests.tiny import make_model, make_tokenizer

ROWS = len(make_tokenizer())
TEXT = "Where is the <image> lantern? <pad>"


def _with_tokens(*tokens: str, special: bool = True, **roles: str) -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(list(tokens), special_tokens=special)
    for role, token in roles.items():
        setattr(tokenizer, role, token)
    return tokenizer


WITHOUT_ROWS = {
    "special": _with_tokens("<image>"),
    "ordinary": _with_tokens("<image>", special=False),
    "padding": _with_tokens("<pad>", pad_token="<pad>"),
    "several": _with_tokens("<image>", "<pad>", pad_token="<pad>"),
    "extra": _with_tokens("<image>", extra_special_tokens=["<image>"]),
}


@pytest.mark.parametrize("which", WITHOUT_ROWS)
def test_tokens_without_a_row_are_left_out(which: str, tmp_path: Path) -> None:
    tokenizer, plain = WITHOUT_ROWS[which], make_tokenizer()
    assert len(tokenizer) > ROWS
    fitted = fit_tokenizer(tokenizer, ROWS, "org/fox")
    assert len(tokenizer) > ROWS, "the given tokenizer stays as it is"
    fitted.save_pretrained(tmp_path)
    for one in (fitted, AutoTokenizer.from_pretrained(tmp_path)):
        assert one.get_vocab() == plain.get_vocab()
        assert one(TEXT)["input_ids"] == plain(TEXT)["input_ids"]
        assert one.eos_token_id == plain.eos_token_id
        assert one.pad_token_id in (None, plain.pad_token_id)


def test_a_tokenizer_that_fits_is_the_same_object() -> None:
    tokenizer = make_tokenizer()
    assert fit_tokenizer(tokenizer, ROWS, "org/fox") is tokenizer
    assert fit_tokenizer(tokenizer, ROWS + 30, "org/fox") is tokenizer


def test_tokens_of_ordinary_text_must_have_rows() -> None:
    cause = f"'org/fox' has {ROWS - 5} embeddings, fewer than the {ROWS} entries"
    with pytest.raises(ComponentError, match=rf"{cause}.*resize_token_embeddings\({ROWS}\)"):
        fit_tokenizer(make_tokenizer(), ROWS - 5, "org/fox")


def test_a_token_that_begins_every_text_must_have_a_row() -> None:
    tokenizer = _with_tokens("<s>", bos_token="<s>")
    tokenizer.add_bos_token = True
    assert tokenizer("fox")["input_ids"][0] == ROWS
    with pytest.raises(ComponentError, match="does not match the model"):
        fit_tokenizer(tokenizer, ROWS, "org/fox")


@torch.no_grad()
def test_a_component_whose_tokenizer_lists_a_token_without_a_row(
    component: Callable[..., str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model("llama", vocab_size=ROWS)
    model.save_pretrained(tmp_path / "fox")
    WITHOUT_ROWS["several"].save_pretrained(tmp_path / "fox")
    loaded = load_component(tmp_path / "fox")
    assert "without an embedding, which are left out: <image>, <pad>" in caplog.text
    hybrid = build_hybrid([loaded, component("gpt2")], 2, projector_init="identity")
    hybrid.set_mixture_weights([1.0, 0.0])
    ids = torch.arange(2, 12)[None]
    assert torch.equal(hybrid(ids).logits, model(ids).logits)
    hybrid.save_pretrained(tmp_path / "hybrid")
    again = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
    assert again.tokenizer.get_vocab() == hybrid.tokenizer.get_vocab()


def test_a_class_that_adds_tokens_of_its_own_adds_none_without_a_row(tmp_path: Path) -> None:
    """Qwen's tokenizer has a padding token by default, also for a vocabulary without one."""
    make_model("qwen2", vocab_size=90).save_pretrained(tmp_path / "fox")
    number_tokenizer(90).save_pretrained(tmp_path / "fox")
    assert len(AutoTokenizer.from_pretrained(tmp_path / "fox")) == 91
    hybrid = build_hybrid([tmp_path / "fox"], 2, projector_init="identity")
    hybrid.save_pretrained(tmp_path / "hybrid")
    again = ManticoreForCausalLM.from_pretrained(tmp_path / "hybrid")
    assert len(hybrid.tokenizer) == len(again.tokenizer) == again.config.vocab_size == 90


@pytest.fixture
def sentencepiece_alone(tmp_path: Path) -> Path:
    make_model("llama").save_pretrained(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"\x0a\x05<unk>")
    settings = {"tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path


@pytest.mark.parametrize("installed", [(), ("protobuf",)])
def test_what_a_sentencepiece_model_alone_needs(
    installed: tuple[str, ...], sentencepiece_alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("sentencepiece", "protobuf"):
        name = f"is_{package}_available"
        for module in (import_utils, own_tokenizer):
            monkeypatch.setattr(module, name, lambda package=package: package in installed)
    missing = "sentencepiece" if installed else "sentencepiece protobuf"
    with pytest.raises(ComponentError, match=f"SentencePiece model alone.*pip install {missing}$"):
        load_component(sentencepiece_alone)


def test_a_sentencepiece_model_that_is_cut_short(
    sentencepiece_alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("sentencepiece", "protobuf"):
        monkeypatch.setattr(own_tokenizer, f"is_{package}_available", lambda: True)
    with pytest.raises(ComponentError, match="SentencePiece model alone: check that it is whole"):
        load_component(sentencepiece_alone)


def test_a_package_that_a_tokenizer_needs_is_named(tmp_path: Path) -> None:
    """CPM-Ant's tokenizer needs a word splitter that is not installed with Transformers."""
    pytest.importorskip("transformers.models.cpmant")
    if import_utils.is_rjieba_available():
        pytest.skip("rjieba is installed")
    make_model("llama").save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("fox\n")
    settings = {"tokenizer_class": "CpmAntTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ComponentError, match=r"(?s)rjieba.*Install what this names"):
        load_component(tmp_path)
