"""Loading components: from the hub, from a folder, from the bundled zoo, or from nothing."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from manticore.components.families import FAMILIES, UnknownFamilyError
from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.runner import BlockRunner
from manticore.components.scratch import Scratch, is_scratch, make_scratch
from manticore.components.spec import FamilySpec
from manticore.components.tokenizers import special_ids
from manticore.components.zoo import has_zoo, zoo_names, zoo_path
from manticore.data.token_ids import vocabulary_size
from manticore.names import UnknownNameError
from manticore.paths import expanded

ZOO_PREFIX = "zoo:"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_ONLY_SAFETENSORS = (
    "Manticore loads safetensors only, because a pickle can run code: load it with Transformers "
    "where you trust it, then model.save_pretrained(folder), which writes safetensors."
)


class ComponentError(ValueError):
    """A component that cannot be loaded; the message names it, the cause and the remedy."""


@dataclass(frozen=True)
class Component:
    """One pretrained causal language model with its tokenizer.

    Attributes:
        name: Short name, for labels.
        source: What it was loaded from: a hub id, a folder or `zoo:NAME`.
        model: The causal language model, in evaluation mode.
        tokenizer: Its own tokenizer.
        spec: Where the parts of its family are.
    """

    name: str
    source: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: FamilySpec

    @property
    def runner(self) -> BlockRunner:
        """Runs this component's parts."""
        return BlockRunner(self.model, self.spec)


def load_component(
    source: str | Path,
    *,
    dtype: torch.dtype | str = torch.float32,
    trust_remote_code: bool = False,
    revision: str = "main",
) -> Component:
    """Load one component.

    Args:
        source: `zoo:NAME`, a folder saved by `save_pretrained`, a hub id, or `scratch:FAMILY` for
            a small model without training (see `manticore.components.scratch`).
        dtype: The type its weights get, or its name; `auto` takes the one they were saved in.
        trust_remote_code: Run code that a hub repository brings along. Off unless you turn it on.
        revision: Branch, tag or commit of a hub repository.

    Raises:
        ComponentError: The source does not hold a loadable causal language model.
    """
    source = str(source)
    if is_scratch(source):
        return _from_nothing(source, dtype)
    where = _locate(source)
    options = {"trust_remote_code": trust_remote_code, "revision": revision}
    try:
        config = AutoConfig.from_pretrained(where, **options)
        _check_kind(source, config)
        # Meant for a start from nothing, but Transformers 5.23 heeds it on loading too: it would
        # divide output projections that were divided before they were trained.
        if getattr(config, "rescale_prenorm_residual", False):
            config.rescale_prenorm_residual = False
        tokenizer = _load_tokenizer(source, where, options)
        model, report = AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # They are in the report, and refused below.
            output_loading_info=True,
            **options,
        )
        model.eval()
        _check_causal(source, model)
        _check_weights(source, report)
        _check_embeddings(source, model, tokenizer)
        use_fast_mixers(model)
        spec = family_spec(model)
    except ComponentError:
        raise
    except UnknownFamilyError as error:
        raise ComponentError(f"'{source}' cannot be cut into blocks. {error}") from error
    except Exception as error:  # A strange configuration can make Transformers raise anything.
        raise ComponentError(_explain(source, error)) from error
    return Component(component_name(source), source, model, tokenizer, spec)


def _from_nothing(source: str, dtype: torch.dtype | str) -> Component:
    try:
        scratch = Scratch.parse(source)
    except ValueError as error:
        raise ComponentError(str(error)) from error
    chosen = torch.float32 if dtype == "auto" else dtype
    if isinstance(chosen, str):
        chosen = getattr(torch, chosen, None)
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise ComponentError(
            f"{dtype!r} is no type of weights: choose float32, bfloat16, float16 or auto."
        )
    model, tokenizer = make_scratch(scratch)
    cast_parameters(model, chosen)
    use_fast_mixers(model)
    return Component(scratch.family, source, model, tokenizer, family_spec(model))


def cast_parameters(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast all weights. Buffers stay: rotary tables want float32."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)


def is_zoo(source: str) -> bool:
    """Whether the source names a bundled component."""
    return source.startswith(ZOO_PREFIX)


def component_name(source: str) -> str:
    """A short name for a source: what follows the last slash or colon."""
    return source.rstrip("/").replace(ZOO_PREFIX, "").split("/")[-1]


def _locate(source: str) -> str:
    """What to give Transformers: a folder that was looked into, or a hub id."""
    if is_zoo(source):
        try:
            where = zoo_path(source)
        except (UnknownNameError, FileNotFoundError) as error:
            raise ComponentError(f"'{source}': {error}") from error
    else:
        try:
            where = expanded(source)
        except ValueError as error:
            raise ComponentError(str(error)) from error
    if where.is_dir():
        _check_folder(where)
        return str(where)
    if where.is_file():
        raise ComponentError(f"'{source}' is a file: give the folder that holds config.json.")
    if source.startswith((".", "/", "~")) or source.count("/") > 1:  # A hub id is OWNER/NAME.
        raise ComponentError(
            f"There is no folder '{source}': give a folder that holds config.json."
        )
    return source


def files_of(source: str) -> dict[str, tuple[int, int]] | None:
    """Size and time of change (ns) of a local component's files: another component has others.

    None where there is no folder: of a hub id and of a component from nothing, the name says all,
    and what cannot be found is said where it is loaded.
    """
    if is_scratch(source):
        return None
    try:
        folder = Path(_locate(source))
    except ComponentError:
        return None
    if not folder.is_dir():
        return None
    stats = {path.name: path.stat() for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: (found.st_size, found.st_mtime_ns) for name, found in stats.items()}


def _check_folder(folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise ComponentError(
            f"The folder '{folder}' has no config.json: point to a folder that was written by "
            "save_pretrained."
        )
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ComponentError(f"{config} is not valid JSON ({error}): save it again.") from error
    if not list(folder.glob("*.safetensors")):
        pickled = [path.name for pattern in _PICKLED for path in folder.glob(pattern)]
        held = f"only pickle files ({', '.join(pickled)})" if pickled else "no weights"
        raise ComponentError(f"The folder '{folder}' holds {held}. {_ONLY_SAFETENSORS}")


def _check_kind(source: str, config: PreTrainedConfig) -> None:
    """Refuse what is no causal language model before its weights are read."""
    kind = config.model_type
    if kind == "manticore":
        raise ComponentError(f"'{source}' is a hybrid itself: give its components instead.")
    if config.is_encoder_decoder:
        why = f"its family '{kind}' has an encoder and a decoder"
    elif type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING and not hasattr(config, "auto_map"):
        why = f"Transformers knows none of its family '{kind}'"
    else:
        return
    raise ComponentError(_not_causal(source, why))


def _not_causal(source: str, why: str) -> str:
    return (
        f"'{source}' is no causal language model: {why}. Choose a model that continues text, such "
        f"as one of the families {', '.join(sorted(FAMILIES))}."
    )


def _load_tokenizer(source: str, where: str, options: dict[str, Any]) -> PreTrainedTokenizerBase:
    remedy = (
        "A component needs the tokenizer that it was trained with: "
        "tokenizer.save_pretrained(folder) writes it beside the model."
    )
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # Half a tokenizer, too, can make Transformers raise anything.
        if _wants_trust(error):
            raise
        raise ComponentError(
            f"The tokenizer of '{source}' could not be loaded: {error}\n{remedy}"
        ) from error
    # Transformers makes up an empty tokenizer for some families when there are no files.
    if set(tokenizer.get_vocab().values()) <= special_ids(tokenizer):
        raise ComponentError(f"'{source}' comes without a tokenizer. {remedy}")
    return tokenizer


@torch.no_grad()
def _check_causal(source: str, model: PreTrainedModel) -> None:
    """A family that Manticore does not know may be an encoder: look whether it sees ahead."""
    if model.config.model_type in FAMILIES:
        return
    ids = torch.tensor([[2, 3, 4, 5], [2, 3, 4, 6]], device=model.device)  # (2, 4)
    first, second = model(ids % model.config.vocab_size, use_cache=False).logits[:, :-1].float()
    if (first - second).abs().max() > 1e-3 * first.std():
        raise ComponentError(
            _not_causal(source, "what it says of one token depends on the tokens that follow")
        )


def _check_weights(source: str, report: dict[str, Any]) -> None:
    wrong = []
    if report["missing_keys"]:
        wrong.append(f"lacks {_some(report['missing_keys'])}")
    if report["mismatched_keys"]:
        found = (
            f"{name} {tuple(has)}, not {tuple(wants)}"
            for name, has, wants in report["mismatched_keys"]
        )
        wrong.append(f"has other shapes than its config.json says ({_some(found)})")
    if wrong:
        raise ComponentError(
            f"The checkpoint of '{source}' {' and '.join(wrong)}: it was saved from another model "
            "or cut short. Save it again with save_pretrained."
        )


def _check_embeddings(
    source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    rows, needed = model.get_input_embeddings().weight.shape[0], vocabulary_size(tokenizer)
    if rows < needed:
        raise ComponentError(
            f"'{source}' has {rows} embeddings, fewer than the {needed} entries of its own "
            "tokenizer: the tokenizer does not match the model. Give the tokenizer that it was "
            "trained with."
        )


def _wants_trust(error: Exception) -> bool:
    return "trust_remote_code" in str(error)


def _explain(source: str, error: Exception) -> str:
    if isinstance(error, SafetensorError):
        return (
            f"A safetensors file of '{source}' is damaged or cut short ({error}): copy or download "
            "it again."
        )
    if _wants_trust(error):
        return (
            f"'{source}' brings code of its own, which was not run. Read that code; if you trust "
            "it, pass trust_remote_code=True."
        )
    if isinstance(error, OSError) and "use_safetensors" in str(error):
        return f"'{source}' holds no safetensors weights. {_ONLY_SAFETENSORS}"
    bundled = ", ".join(zoo_names()) if has_zoo() else "none are installed"
    return (
        f"'{source}' could not be loaded as a causal language model: {error}\n"
        f"Give zoo:NAME ({bundled}), a folder written by save_pretrained, or a hub id that you can "
        "reach from this machine."
    )


def _some(keys: object) -> str:
    names = sorted(str(key) for key in keys)
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
