"""Loading components: from the hub, from a folder, or from the bundled zoo."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from manticore.components.fast_mixers import use_fast_mixers
from manticore.components.inspection import family_spec
from manticore.components.runner import BlockRunner
from manticore.components.spec import FamilySpec
from manticore.zoo import zoo_names, zoo_path

ZOO_PREFIX = "zoo:"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class ComponentError(ValueError):
    """A component that cannot be loaded; the message names it, the cause and the remedy."""


@dataclass(frozen=True)
class Component:
    """One pretrained causal language model with its tokenizer .

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
        source: `zoo:NAME`, a folder saved by `save_pretrained`, or a hub id.
        dtype: The type its weights get.
        trust_remote_code: Run code that a hub repository brings along. Off unless you turn it on.
        revision: Branch, tag or commit of a hub repository.

    Raises:
        ComponentError: The source does not hold a loadable causal language model.
        manticore.zoo.UnknownZooModelError: No bundled component has that name.
    """
    source = str(source)
    where = str(zoo_path(source.removeprefix(ZOO_PREFIX))) if is_zoo(source) else source
    options = {"trust_remote_code": trust_remote_code, "revision": revision}
    if Path(where).is_dir():
        _check_folder(Path(where))
    elif _looks_like_path(where):
        raise ComponentError(f"There is no folder '{where}': give a folder that holds config.json.")
    try:
        config = AutoConfig.from_pretrained(where, **options)
        # Meant for a start from nothing, but Transformers 5.23 heeds it on loading too: it would
        # divide output projections that were divided before they were trained.
        if getattr(config, "rescale_prenorm_residual", False):
            config.rescale_prenorm_residual = False
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
        # A wrong tensor is an error below, so a missing one must be an error too.
        model, report = AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ComponentError(_explain(source, error)) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        raise ComponentError(
            f"The checkpoint of '{source}' lacks {_some(report['missing_keys'])} and has wrong "
            f"shapes for {_some(report['mismatched_keys'])}: it was saved from another model or "
            "cut short. Save it again with save_pretrained."
        )
    use_fast_mixers(model)
    return Component(component_name(source), source, model.eval(), tokenizer, family_spec(model))


def is_zoo(source: str) -> bool:
    """Whether the source names a bundled component."""
    return source.startswith(ZOO_PREFIX)


def component_name(source: str) -> str:
    """A short name for a source: what follows the last slash or colon."""
    return source.rstrip("/").replace(ZOO_PREFIX, "").split("/")[-1]


def _looks_like_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or source.count("/") > 1


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
        raise ComponentError(
            f"The folder '{folder}' holds {held}. Manticore loads safetensors only, because a "
            "pickle can run code: load it with Transformers where you trust it, then "
            "model.save_pretrained(folder), which writes safetensors."
        )


def _explain(source: str, error: Exception) -> str:
    if isinstance(error, SafetensorError):
        return (
            f"A safetensors file of '{source}' is damaged or cut short ({error}): copy or download "
            "it again."
        )
    return (
        f"'{source}' could not be loaded as a causal language model: {error}\n"
        f"Give zoo:NAME ({', '.join(zoo_names())}), a folder written by save_pretrained, or a hub "
        "id that you can reach from this machine."
    )


def _some(keys: object) -> str:
    names = sorted(str(key) for key in keys)
    if not names:
        return "nothing"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
