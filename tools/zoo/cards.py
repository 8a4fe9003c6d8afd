"""Export of a trained component: weights, tokenizer, and a card of its quality."""

import json
import logging
import math
import os
import platform
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from manticore.components.zoo import CARD_FILE
from manticore.data.packing import IGNORED, pack
from manticore.data.token_ids import end_of_text_id
from manticore.evaluate.losses import mean_loss
from manticore.stories.generator import generate_stories
from tools.zoo.blend import encode_documents, python_modules
from tools.zoo.card_page import NOTICE_FILE, WINDOW, render_card
from tools.zoo.recipes import PYTHON_SOURCE, ZooRecipe
from tools.zoo.tokenizer import read_text, spanish_prose

logger = logging.getLogger(__name__)

VALIDATION_TEXTS = ("tales_en.valid.txt", "novels_es.valid.txt")
HELD_OUT_SEED = 90_000
HELD_OUT_STORIES = 100
HELD_OUT_CODE = f"{PYTHON_SOURCE}, held out"
SAMPLE_TOKENS, CODE_SAMPLE_TOKENS = 160, 360
"""Tokens of a card's sample; code has more of them per line than prose."""
PYTHON_NOTICE = Path(__file__).with_name("python_notice.txt")
"""Copyright and license of the standard library, shipped with what was trained on it."""


def export_component(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: ZooRecipe,
    *,
    data_dir: Path,
    folder: Path,
    losses: list[tuple[int, float]],
    seconds: float,
    precision: str,
) -> Path:
    """Measure a trained component and write it as a folder that `from_pretrained` loads.

    The weights are rounded to float16 first, so that the card describes the weights that ship.

    Args:
        model: The trained component.
        tokenizer: Its tokenizer.
        recipe: Its recipe.
        data_dir: Folder with the validation texts.
        folder: Folder to write.
        losses: (step, nats per token) of the training.
        seconds: Time trained.
        precision: Precision of the training, "bf16" or "no".

    Returns:
        The folder.
    """
    model.half().float().eval()
    card = build_card(model, tokenizer, recipe, data_dir=data_dir, losses=losses, seconds=seconds)
    card["training"]["precision"] = "bfloat16 autocast" if precision == "bf16" else "float32"
    # The flag is meant for initialization, but Transformers 5.23 applies it on loading, too: it
    # would divide the trained output projections by the root of the depth.
    if getattr(model.config, "rescale_prenorm_residual", False):
        model.config.rescale_prenorm_residual = False
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "README.md").write_text(render_card(card), encoding="utf-8")
    if recipe.language == "python":
        shutil.copyfile(PYTHON_NOTICE, folder / NOTICE_FILE)
    logger.info("Wrote %s to %s.", recipe.name, folder)
    return folder


def build_card(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    recipe: ZooRecipe,
    *,
    data_dir: Path,
    losses: list[tuple[int, float]],
    seconds: float,
) -> dict[str, Any]:
    """Content of the card, JSON-able; arguments as for `export_component`."""
    tokens, is_code = recipe.tokens_seen(), recipe.language == "python"
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "language": recipe.language,
        "model_type": recipe.model_type,
        "parameters": sum(p.numel() for p in model.parameters()),
        "width": model.config.hidden_size,
        "depth": model.config.num_hidden_layers,
        "data": [
            {"source": s.source, "fraction": s.fraction, "tokens_seen": round(s.fraction * tokens)}
            for s in recipe.data
        ],
        "training": {
            "steps": recipe.steps,
            "tokens_seen": tokens,
            "hours": round(seconds / 3600, 2),
            "final_loss": round(float(np.mean([loss for _, loss in losses[-10:]])), 4),
            "machine": machine(),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            },
            "recipe": recipe.model_dump(mode="json"),
        },
        "perplexity": {
            name: measure_perplexity(model, tokenizer, documents)
            for name, documents in held_out_texts(data_dir).items()
        },
        "sample": {
            "prompt": recipe.prompt,
            "text": sample_text(
                model,
                tokenizer,
                recipe.prompt,
                seed=recipe.seed,
                max_new_tokens=CODE_SAMPLE_TOKENS if is_code else SAMPLE_TOKENS,
            ),
            "settings": "temperature 0.8, top-p 0.95",
        },
    }


def held_out_texts(data_dir: Path) -> dict[str, list[str]]:
    """Documents that no component was trained on, by name.

    Three quarters of the Spanish validation text are an English glossary, so that its prose is
    measured separately, too.

    Args:
        data_dir: Folder with the validation texts.

    Raises:
        FileNotFoundError: A validation text is not in `data_dir`.
    """
    texts = {name: [read_text(data_dir / name)] for name in VALIDATION_TEXTS}
    texts["novels_es.valid.txt, prose only"] = [spanish_prose(texts["novels_es.valid.txt"][0])]
    for language in ("en", "es"):
        stories = generate_stories(language, n_stories=HELD_OUT_STORIES, seed=HELD_OUT_SEED)
        texts[f"bundled:stories-{language}, held out"] = list(stories)
    texts[HELD_OUT_CODE] = list(python_modules("valid"))
    return texts


def measure_perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: list[str]
) -> dict[str, float]:
    """Perplexity of documents in a row, cut into windows; a window's first token is not counted.

    Args:
        model: The component.
        tokenizer: Its tokenizer.
        documents: Texts.

    Returns:
        `tokens` predicted, `nats_per_token`, `perplexity`, and `bits_per_byte`, which can be
        compared between tokenizers.

    Raises:
        ValueError: The documents have fewer than two tokens.
    """
    ids = encode_documents(documents, tokenizer)
    windows = list(pack([ids], WINDOW, end_of_text_id(tokenizer)))
    nats = mean_loss(model, cast("Dataset", windows))  # a list is all that a loader needs
    n_bytes = sum(len(text.encode()) for text in documents)
    return {
        "tokens": sum(int((window["labels"][1:] != IGNORED).sum()) for window in windows),
        "nats_per_token": round(nats, 4),
        "perplexity": round(math.exp(nats), 2),
        "bits_per_byte": round(nats / math.log(2) * len(ids) / n_bytes, 4),
    }


def sample_text(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    *,
    seed: int,
    max_new_tokens: int = SAMPLE_TOKENS,
) -> str:
    """A sampled continuation of a prompt, without the prompt.

    Args:
        model: The component.
        tokenizer: Its tokenizer.
        prompt: Beginning of the text.
        seed: Random seed.
        max_new_tokens: Greatest number of tokens to sample.
    """
    set_seed(seed)
    inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(model.device)
    writer: Any = model  # a causal language model generates, whatever class its type names
    output = writer.generate(
        **inputs,
        do_sample=True,
        temperature=0.8,
        top_p=0.95,
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
    )
    new = output[0, inputs["input_ids"].shape[1] :]
    return cast("str", tokenizer.decode(new, skip_special_tokens=True))


def machine() -> str:
    """Name of the hardware, for a card."""
    if torch.cuda.is_available():
        return f"one {torch.cuda.get_device_name()}"
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or "CPU"
    return f"{name} ({torch.get_num_threads()} of {os.cpu_count()} cores)"
