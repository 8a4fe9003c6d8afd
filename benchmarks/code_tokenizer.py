"""Which tokenizer should the bundled component for Python code have?

Three answers: the tokenizer that the other bundled components share; one of its own, with the rows
transplanted onto the shared vocabulary afterwards; or a new shared one, for which all components
would have to be trained again, so that only tokens per byte are measured.

The two small trainings read the same bytes in the same number of steps: rows of the component's own
tokenizer have fewer tokens. Both are of the recipe of `stdlib-llama`, shortened.

    python -m benchmarks.code_tokenizer --folder FOLDER
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    get_wsd_schedule,
    set_seed,
)

from benchmarks.harness import save_results
from manticore.components.tokenizers import transplant
from manticore.components.zoo import zoo_path
from manticore.data.packing import pack
from manticore.data.token_ids import end_of_text_id
from manticore.evaluate.losses import mean_loss
from tools.zoo.blend import TokenBlend, encode_documents, python_modules
from tools.zoo.recipes import get_recipe
from tools.zoo.tokenizer import read_text, spanish_prose, tokenizer_texts, train_tokenizer
from tools.zoo.train import FINAL_LEARNING_RATE, build_model, build_optimizer, next_token_loss

STEPS, ROWS, SEQ_LEN, SEED = 350, 16, 256, 0
RECIPE = get_recipe("stdlib-llama").model_copy(update={"steps": STEPS, "warmup": 50})
TOKENIZERS = ("shared by the other components", "of code alone", "of English, Spanish and code")
MODELS = ("shared tokenizer", "own tokenizer", "own tokenizer, transplanted")


@dataclass(frozen=True)
class Code:
    """Code under one tokenizer, in rows of the same number of bytes for every tokenizer."""

    tokenizer: PreTrainedTokenizerBase
    train: np.ndarray
    valid: np.ndarray
    train_bytes: int
    valid_bytes: int
    seq_len: int

    @classmethod
    def under(cls, tokenizer: PreTrainedTokenizerBase, row_bytes: float | None = None) -> "Code":
        """Encode the standard library; without `row_bytes`, rows have SEQ_LEN tokens."""
        train, valid = (list(python_modules(part)) for part in ("train", "valid"))
        ids = encode_documents(train, tokenizer)
        n_bytes = _n_bytes(train)
        seq_len = SEQ_LEN if row_bytes is None else round(row_bytes * len(ids) / n_bytes)
        held_out = encode_documents(valid, tokenizer)
        return cls(tokenizer, ids, held_out, n_bytes, _n_bytes(valid), seq_len)

    def bits_per_byte(self, model: PreTrainedModel) -> float:
        """Bits per byte of the held-out modules, in windows of one row."""
        windows = list(pack([self.valid], self.seq_len, end_of_text_id(self.tokenizer)))
        nats = mean_loss(model, windows)
        return nats / math.log(2) * len(self.valid) / self.valid_bytes


def main() -> None:
    """Train, measure, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of the English and Spanish")
    folder = parser.parse_args().folder
    shared = AutoTokenizer.from_pretrained(zoo_path("tales-neox"))
    code = list(python_modules("train"))
    tokenizers = [shared, train_tokenizer(code), train_tokenizer([*tokenizer_texts(folder), *code])]
    sizes = [
        {"tokenizer": name, **_tokens_per_byte(tokenizer, folder)}
        for name, tokenizer in zip(TOKENIZERS, tokenizers, strict=True)
    ]
    print(*sizes, sep="\n", flush=True)
    models, copied = _models(*tokenizers[:2])
    print(*models, f"rows copied: {copied:.2f}", sep="\n")
    setup: dict[str, Any] = {"recipe": RECIPE.name, "steps": STEPS, "rows": ROWS, "seed": SEED}
    setup |= {"seq_len": SEQ_LEN, "entries": len(shared), "train_bytes": _n_bytes(code)}
    setup |= {"precision": "bfloat16 autocast", "text": "bundled:python"}
    record = {"setup": setup, "tokens_per_byte": sizes, "models": models, "rows_copied": copied}
    print(save_results("code_tokenizer", record))


def _models(
    shared: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase
) -> tuple[list[dict[str, Any]], float]:
    """Bits per byte of each model, and the share of rows that transplantation copies."""
    with_shared = Code.under(shared)
    row_bytes = SEQ_LEN * with_shared.train_bytes / len(with_shared.train)
    with_own = Code.under(own, row_bytes)
    rows = []
    for name, code in zip(MODELS, (with_shared, with_own), strict=False):
        model, seconds = _trained(code)
        rows.append(
            {
                "model": name,
                "bits_per_byte": code.bits_per_byte(model),
                "tokens_per_row": code.seq_len,
                "seconds": round(seconds),
            }
        )
        print(rows[-1], flush=True)
    report = transplant(model, own, shared)
    after = {"model": MODELS[2], "bits_per_byte": with_shared.bits_per_byte(model)}
    return [*rows, after], report.copied_share


def _trained(code: Code) -> tuple[PreTrainedModel, float]:
    """A component after a short training on code, and the seconds that it took."""
    set_seed(SEED)
    model = build_model(RECIPE)
    optimizer = build_optimizer(model, RECIPE)
    scheduler = get_wsd_schedule(
        optimizer,
        num_warmup_steps=RECIPE.warmup,
        num_decay_steps=round(RECIPE.decay * STEPS),
        num_training_steps=STEPS,
        min_lr_ratio=FINAL_LEARNING_RATE,
    )
    blend = TokenBlend([code.train], [1.0], seq_len=code.seq_len, rows=ROWS, seed=SEED)
    start = time.perf_counter()
    for step in range(STEPS):
        ids = blend.batch(step)
        with torch.autocast("cpu", torch.bfloat16):
            loss = next_token_loss(model(input_ids=ids, use_cache=False).logits, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), RECIPE.clip)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(step, loss.item(), flush=True)
    return model, time.perf_counter() - start


def _tokens_per_byte(tokenizer: PreTrainedTokenizerBase, folder: Path) -> dict[str, float]:
    """Tokens per byte of held-out code, English and Spanish."""
    texts = {
        "code": list(python_modules("valid")),
        "English": [read_text(folder / "tales_en.valid.txt")],
        "Spanish": [spanish_prose(read_text(folder / "novels_es.valid.txt"))],
    }
    return {
        name: len(encode_documents(documents, tokenizer)) / _n_bytes(documents)
        for name, documents in texts.items()
    }


def _n_bytes(documents: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in documents)


if __name__ == "__main__":
    main()
