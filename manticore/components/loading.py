"""Loading components: bundled ones, folders, GGUF files, hub repositories, and untrained ones."""

import logging
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
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from manticore.components.admission import check_causal, check_kind, check_weights, input_rows
from manticore.components.building import one_at_a_time
from manticore.components.damage import Damage
from manticore.components.facts import Facts
from manticore.components.families import UnknownFamilyError
from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.own_tokenizer import fit_tokenizer, load_tokenizer, wants_trust
from manticore.components.places import (
    ONLY_SAFETENSORS,
    ComponentError,
    Place,
    check_gguf,
    check_hub,
    component_name,
    is_zoo,
    locate,
)
from manticore.components.runner import BlockRunner
from manticore.components.scratch import Scratch, is_scratch, make_scratch
from manticore.components.spec import FamilySpec
from manticore.components.zoo import has_zoo, zoo_names

# Where the tensors of a text model are inside one that also takes images or sound.
_TEXT_PART = {
    r"^language_model\.model\.": "model.",
    r"^model\.language_model\.": "model.",
    r"^language_model\.lm_head": "lm_head",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class Component:
    """One pretrained causal language model with its tokenizer.

    Attributes:
        name: Short name, for labels.
        source: What it was loaded from, such as a hub id, a folder or `zoo:NAME`.
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

    @property
    def facts(self) -> Facts:
        """Its family, shape and size."""
        from manticore.components.examination import facts_of  # it loads components by this module

        return facts_of(self.model, self.spec)

    def __repr__(self) -> str:
        facts = self.facts
        size = f"{facts.parameters:,} parameters, {facts.depth} layers of width {facts.width}"
        return f"Component({self.name!r}, {facts.family}, {size})"

    def _repr_html_(self) -> str:
        from manticore.views.objects_html import component_html  # views stand on the engine

        return component_html(self)


def load_component(
    source: str | Path,
    *,
    dtype: torch.dtype | str = torch.float32,
    trust_remote_code: bool = False,
    revision: str = "main",
) -> Component:
    """Load one component.

    Args:
        source: `zoo:NAME` (`zoo:NAME?damaged=0,2` for a copy with noise in some layers, see
            `manticore.components.damage`), a folder saved by `save_pretrained`, a GGUF file or the
            folder of one (its weights are dequantized), a hub id, a GGUF file of a hub repository
            (`OWNER/NAME/FILE.gguf`), or `scratch:FAMILY` for a small untrained model (see
            `manticore.components.scratch`).
        dtype: Type that its weights get, or its name; `auto` takes the one they were saved in.
        trust_remote_code: Run code that a hub repository brings along. Off unless you turn it on.
        revision: Branch, tag or commit of a hub repository.

    Returns:
        The component. Of a model that also takes images or sound, only the text part is loaded.

    Raises:
        ComponentError: The source does not hold a loadable causal language model.
    """
    source = str(source)
    dtype = _checked_dtype(source, dtype)
    if is_scratch(source):
        return _from_nothing(source, dtype)
    place = locate(source)
    where: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    if place.gguf_file:
        check_gguf(source)
        where["gguf_file"] = place.gguf_file
    family = None
    try:
        if not Path(place.root).is_dir():
            check_hub(source, place.root, revision)
        config = read_config(source, place, where)
        family = config.model_type
        tokenizer = load_tokenizer(source, place, where)
        model = _load_model(source, place, config, dtype, where)
        tokenizer = fit_tokenizer(tokenizer, input_rows(model), source)
        use_fast_mixers(model)
        spec = family_spec(model)
    except ComponentError:
        raise
    except Exception as error:  # A strange configuration can make Transformers raise anything.
        raise ComponentError(explain_failure(source, place, family, error)) from error
    component = Component(component_name(source), source, model, tokenizer, spec)
    _inflict_damage(component)
    return component


def read_config(source: str, place: Place, where: dict[str, Any]) -> PreTrainedConfig:
    """The configuration of a component, or that of its text part where there are others.

    Args:
        source: What was asked for, for errors.
        place: Where its files are.
        where: Other options of `from_pretrained`.

    Raises:
        ComponentError: It is not that of a causal language model.
        Exception: Transformers cannot read it.
    """
    config = _text_config(source, AutoConfig.from_pretrained(place.root, **where))
    check_kind(source, config)
    return config


def _inflict_damage(component: Component) -> None:
    damage = Damage.of(component.source) if is_zoo(component.source) else None
    if damage is not None:
        try:
            damage.inflict(component.runner)
        except ValueError as error:
            raise ComponentError(f"'{component.source}' cannot be damaged so. {error}") from error


@one_at_a_time
def _load_model(
    source: str,
    place: Place,
    config: PreTrainedConfig,
    dtype: torch.dtype | str,
    where: dict[str, Any],
) -> PreTrainedModel:
    # Meant for untrained models, but Transformers 5.23 heeds it on loading too: it would divide
    # output projections that were divided before they were trained.
    if getattr(config, "rescale_prenorm_residual", False):
        config.rescale_prenorm_residual = False  # pyright: ignore[reportAttributeAccessIssue]
    safe: dict[str, Any] = {} if place.gguf_file else {"use_safetensors": True}
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        place.root,
        config=config,
        dtype=dtype,
        ignore_mismatched_sizes=True,  # They are in the report, and refused below.
        output_loading_info=True,
        key_mapping=_TEXT_PART,
        **safe,
        **where,
    )
    model, report = loaded
    model.eval()
    check_causal(source, model)
    check_weights(source, report)
    return model


def _text_config(source: str, config: PreTrainedConfig) -> PreTrainedConfig:
    """The configuration of the text part, where there are others."""
    text = config.get_text_config(decoder=True)
    if text is config or type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return config
    if getattr(config, "is_encoder_decoder", False):
        return config
    logger.warning("only the text part of '%s' is loaded (%s)", source, text.model_type)
    text.tie_word_embeddings = text.tie_word_embeddings or config.tie_word_embeddings
    return text


def _checked_dtype(source: str, dtype: torch.dtype | str) -> torch.dtype | str:
    """The type itself, or `auto`.

    Raises:
        ComponentError: It is not a type that weights can have.
    """
    if dtype == "auto":
        return "auto"
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(chosen, torch.dtype) or not chosen.is_floating_point:
        raise ComponentError(
            f"'{source}' cannot be loaded with weights of the type {dtype!r}: choose float32, "
            "bfloat16, float16 or auto."
        )
    return chosen


def _from_nothing(source: str, dtype: torch.dtype | str) -> Component:
    try:
        scratch = Scratch.parse(source)
    except ValueError as error:
        raise ComponentError(f"'{source}' is not available. {error}") from error
    model, tokenizer = make_scratch(scratch)
    if isinstance(dtype, torch.dtype):
        cast_parameters(model, dtype)
    use_fast_mixers(model)
    return Component(scratch.family, source, model, tokenizer, family_spec(model))


def cast_parameters(module: nn.Module, dtype: torch.dtype) -> None:
    """Cast all weights, in place. Buffers stay: rotary tables need float32.

    Args:
        module: Any module.
        dtype: A floating-point type.
    """
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)


def explain_failure(source: str, place: Place, family: str | None, error: Exception) -> str:
    """Why a component cannot be loaded, and what to do.

    Args:
        source: What was asked for.
        place: Where its files are.
        family: Its family, if that is known.
        error: What went wrong.
    """
    if isinstance(error, UnknownFamilyError):
        return f"'{source}' cannot be cut into blocks. {error}"
    if isinstance(error, SafetensorError):
        return (
            f"A safetensors file of '{source}' is damaged or cut short ({error}): copy or download "
            "it again."
        )
    if wants_trust(error):
        return (
            f"'{source}' brings code of its own, which was not run. Read that code; if you trust "
            "it, pass trust_remote_code=True."
        )
    if isinstance(error, OSError) and "use_safetensors" in str(error):
        return f"'{source}' holds no safetensors weights. {ONLY_SAFETENSORS}"
    if place.gguf_file:
        return (
            f"The GGUF file of '{source}' could not be read: {error}\nEither it is damaged, or "
            "Transformers cannot convert its architecture. Copy it again, or give the same model "
            "as safetensors."
        )
    if family:
        return f"'{source}', of the family '{family}', could not be loaded: {error}"
    bundled = ", ".join(zoo_names()) if has_zoo() else "none are installed"
    return (
        f"'{source}' could not be loaded as a causal language model: {error}\n"
        f"Give zoo:NAME ({bundled}), a folder written by save_pretrained, a GGUF file, or a hub id "
        "that you can reach from this machine."
    )
