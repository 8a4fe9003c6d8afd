"""Which families work? Every causal language model that Transformers can make is tried.

Of each family one tiny model is made: four layers, every weight random. It is saved, loaded as a
component, and cut into three blocks, so that layers that take turns are out of step in every slice.
Alone in a hybrid it must give what Transformers gives: logits; logits with a cache that is
continued by one and by several tokens; the rows of a batch with padding on the left; what
`generate` writes; logits after saving and loading; and a sequence that is longer than its table of
positions.

    python -m benchmarks.families              # all of them, in a few minutes on one core
    python -m benchmarks.families bloom mpt    # prints these, saves nothing
"""

import argparse
import logging
import os
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from benchmarks.harness import save_results
from benchmarks.tiny_configurations import LAYERS, LENGTH, VOCABULARY, WIDTH, tiny_configuration
from manticore import ManticoreForCausalLM, build_hybrid
from manticore.components.families import FAMILIES
from manticore.components.scratch import number_tokenizer

N_BLOCKS, SEQ_LEN, PADDING, NOISE = 3, 12, 4, 0.1
PARTS = ((0, 5), (5, 6), (6, SEQ_LEN))
TOLERANCE, RELOADED = 1e-3, 1e-5
"""Largest difference, in units of the logits' spread; of a saved hybrid that is loaded again."""
MOST_PARAMETERS = 40_000_000
TABLE = Path(__file__).parents[1] / "docs" / "families.md"
CHECKS = ("logits", "cache", "left_padding", "generate", "reload", "long")


def main() -> None:
    """Try the families that are asked for; save the results of all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help="families to try; all of them if not given")
    asked = parser.parse_args().families
    _quiet()
    outcomes = {}
    for family in asked or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        outcomes[family] = examine(family)
        print(family, outcomes[family], flush=True)
    counts = Counter(outcome["verdict"] for outcome in outcomes.values())
    print(dict(counts))
    if asked:
        return
    setup = {
        "layers": LAYERS,
        "n_blocks": N_BLOCKS,
        "width": WIDTH,
        "seq_len": SEQ_LEN,
        "noise": NOISE,
        "tolerance": TOLERANCE,
        "transformers": transformers.__version__,
        "seed": 0,
    }
    print(save_results("families", {"setup": setup, "counts": counts, "families": outcomes}))
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table(outcomes), encoding="utf-8")


def _quiet() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)


def examine(family: str) -> dict[str, Any]:
    """What becomes of one family.

    Returns:
        `verdict`: `exact`, `refused` (with the `cause`), `wrong` (with what is `wrong`), or
        `not made` where Transformers makes, saves or loads no such tiny model (with the `cause`).
        Of one that loads also `by` (entry or inspection), `longest` (tokens, None: any number),
        and `transformers`: what is wrong in Transformers by itself.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            plain, changed = _saved(family, folder)
        except Exception as error:  # Transformers raises anything here.
            return {"verdict": "not made", "cause": _short(error)}
        text = " ".join(str(i % VOCABULARY) for i in range(2, 200))
        try:
            hybrid = build_hybrid(
                [folder], N_BLOCKS, projector_init="identity", alignment_text=text
            )
        except ValueError as error:
            named = f"'{plain.config.get_text_config().model_type}'" in str(error)
            outcome = {"verdict": "refused", "cause": _cause(str(error))}
            return outcome if named else outcome | {"verdict": "refused without its name"}
        except Exception as error:  # A crash is a verdict.
            return {"verdict": "wrong", "wrong": {"build": _short(error)}}
        found = {check: _attempt(_CHECKS[check], hybrid, plain, folder) for check in CHECKS}
        wrong = {check: cause for check, cause in found.items() if cause}
        own = {check: _attempt(_PLAIN[check], plain) for check in wrong if check in _PLAIN}
        own |= {"reload": changed} if changed else {}
        model_type = hybrid.components[0].config.model_type
    return {
        "verdict": "wrong" if wrong else "exact",
        **({"wrong": wrong} if wrong else {}),
        **({"transformers": own} if any(own.values()) else {}),
        "by": "entry" if model_type in FAMILIES else "inspection",
        "longest": hybrid.max_length,
    }


def _saved(family: str, folder: Path) -> tuple[PreTrainedModel, str | None]:
    """A tiny model of the family, in a folder, as Transformers loads it from there.

    Returns:
        The model, and how its logits differ from those of the model that was saved, if they do.
    """
    config = tiny_configuration(family)
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"its smallest model has {size:,} parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Rates of decay that are changed at random can make a state explode.
            if parameter.is_floating_point() and "A_log" not in name and "dt_" not in name:
                parameter.add_(NOISE * torch.randn_like(parameter))
    model.save_pretrained(folder)
    number_tokenizer(VOCABULARY).save_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return plain, _differs(plain(_ids()).logits, model(_ids()).logits)


def _ids(length: int = SEQ_LEN) -> torch.Tensor:
    """(2, length) tokens."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(4, VOCABULARY - 4, (2, length), generator=generator)


def _mask() -> torch.Tensor:
    """(2, SEQ_LEN): the second row begins with padding."""
    mask = torch.ones(2, SEQ_LEN, dtype=torch.long)
    mask[1, :PADDING] = 0
    return mask


# Checks: each returns what is wrong, or nothing ---------------------------------------------------


def _differs(got: torch.Tensor, wanted: torch.Tensor, tolerance: float = TOLERANCE) -> str | None:
    off = ((got - wanted).abs().max() / wanted.std()).item()
    return None if off <= tolerance else f"differs by {off:.2g} of the spread"


def _logits(hybrid: ManticoreForCausalLM, plain: PreTrainedModel, folder: Path) -> str | None:
    return _differs(hybrid(_ids()).logits, plain(_ids()).logits)


def _cache(model: PreTrainedModel, plain: PreTrainedModel, folder: Path) -> str | None:
    logits, cache = [], {}
    for start, stop in PARTS:
        output = model(_ids()[:, start:stop], use_cache=True, **cache)
        logits.append(output.logits)
        for name in ("past_key_values", "cache_params"):
            if getattr(output, name, None) is not None:
                cache = {name: getattr(output, name)}
    return _differs(torch.cat(logits, dim=1), plain(_ids()).logits)


def _left_padding(model: PreTrainedModel, plain: PreTrainedModel, folder: Path) -> str | None:
    positions = (_mask().cumsum(-1) - 1).clamp_min(0)
    try:
        together = model(_ids(), attention_mask=_mask(), position_ids=positions)
    except TypeError:  # Counts for itself, or needs no positions.
        together = model(_ids(), attention_mask=_mask())
    return _differs(together.logits[1, PADDING:], plain(_ids()[1:, PADDING:]).logits[0])


def _generate(hybrid: ManticoreForCausalLM, plain: PreTrainedModel, folder: Path) -> str | None:
    options: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    options |= {"attention_mask": torch.ones_like(_ids()), "pad_token_id": 0}
    written, wanted = (model.generate(_ids(), **options) for model in (hybrid, plain))
    return None if torch.equal(written, wanted) else "other tokens"


def _reload(hybrid: ManticoreForCausalLM, plain: PreTrainedModel, folder: Path) -> str | None:
    hybrid.save_pretrained(folder / "hybrid")
    again = ManticoreForCausalLM.from_pretrained(folder / "hybrid").eval()
    # Not bit by bit: products of the same weights at another place in memory may round otherwise.
    return _differs(again(_ids()).logits, hybrid(_ids()).logits, RELOADED)


def _long(hybrid: ManticoreForCausalLM, plain: PreTrainedModel, folder: Path) -> str | None:
    """Beyond the table of positions: as in Transformers, or refused where Transformers fails."""
    ids = _ids(LENGTH + 1)
    try:
        wanted = plain(ids).logits
    except (IndexError, RuntimeError):
        return None if hybrid.max_length == LENGTH else f"no limit of {LENGTH} tokens is known"
    if hybrid.max_length is not None:
        return f"a limit of {hybrid.max_length} tokens, which Transformers does not have"
    return _differs(hybrid(ids).logits, wanted)


_CHECKS: dict[str, Callable[..., str | None]] = {
    "logits": _logits,
    "cache": _cache,
    "left_padding": _left_padding,
    "generate": _generate,
    "reload": _reload,
    "long": _long,
}
_PLAIN: dict[str, Callable[[PreTrainedModel], str | None]] = {
    "cache": lambda plain: _cache(plain, plain, Path()),
    "left_padding": lambda plain: _left_padding(plain, plain, Path()),
}
"""The same of the model as Transformers runs it, where it can fail there too."""


@torch.no_grad()
def _attempt(check: Callable[..., str | None], *models: Any) -> str | None:
    try:
        return check(*models)
    except Exception as error:  # A crash is a verdict.
        return _short(error)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}"


def _cause(message: str) -> str:
    """What a refusal says of the model, without its name and the remedy."""
    for before, after in (
        ("did not help: ", r"\. Choose a model"),
        ("language model: ", r"\. Choose a model"),
        ("could not be loaded: ", "$"),
    ):
        if before in message:
            return re.split(after, message.split(before, 1)[1])[0].replace("\n", " ")
    return message.replace("\n", " ")[:300]


# The table ----------------------------------------------------------------------------------------


def table(outcomes: dict[str, dict[str, Any]]) -> str:
    """`docs/families.md` from the results."""

    def of(*verdicts: str) -> dict[str, dict[str, Any]]:
        return {f: o for f, o in sorted(outcomes.items()) if o["verdict"] in verdicts}

    exact, wrong = of("exact"), of("wrong")
    refused, missing = of("refused", "refused without its name"), of("not made")
    entries = sum(outcome["by"] == "entry" for outcome in exact.values())
    lines = [
        "# Which families work",
        "",
        f"Transformers {transformers.__version__} has {len(outcomes)} families of causal language "
        f"models. {len(exact)} are exact in a hybrid ({entries} by an entry in "
        "`manticore/components/families.py`, the others by inspection of the model), "
        f"{len(refused)} are refused by name when they are loaded, {len(wrong)} are wrong, and of "
        f"{len(missing)} Transformers makes, saves and loads no tiny model here.",
        "",
        "*Exact* means: alone in a hybrid, the component gives what Transformers gives, within "
        f"{TOLERANCE:g} of the spread of the logits: in one pass, with a cache that is continued "
        "by one and by several tokens, in a batch with padding on the left, in `generate`, after "
        "saving and loading, and beyond its table of positions (where it has one, the hybrid says "
        f"that the sequence is too long). The models are random, with {LAYERS} layers in "
        f"{N_BLOCKS} blocks.",
        "",
        "Made by `python -m benchmarks.families`, which also writes "
        "[what it found](../benchmarks/results/families.json). "
        "To add a family, see [CONTRIBUTING](../CONTRIBUTING.md).",
        "",
        "## Exact",
        "",
        "| Family | Found by | Longest sequence | Transformers by itself |",
        "|---|---|---|---|",
        *(
            f"| `{family}` | {outcome['by']} | "
            f"{'any' if outcome['longest'] is None else 'its table of positions'} | "
            f"{_cell(outcome.get('transformers', {})) or 'right'} |"
            for family, outcome in exact.items()
        ),
        "",
    ]
    if wrong:
        lines += [
            "## Wrong",
            "",
            "| Family | What is wrong | Transformers by itself |",
            "|---|---|---|",
        ]
        for family, outcome in wrong.items():
            own = outcome.get("transformers", {})
            lines.append(f"| `{family}` | {_cell(outcome['wrong'])} | {_cell(own) or 'right'} |")
        lines.append("")
    for title, part in (("Refused", refused), ("Not made", missing)):
        lines += [f"## {title}", "", "| Family | Cause |", "|---|---|"]
        lines += [f"| `{family}` | {_escaped(o['cause'])} |" for family, o in part.items()]
        lines.append("")
    return "\n".join(lines)


def _cell(wrong: dict[str, str | None]) -> str:
    return _escaped("; ".join(f"{check}: {cause}" for check, cause in wrong.items() if cause))


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    main()
