"""From names of components to a hybrid."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard, get_args

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from manticore.components.loading import Component, cast_parameters, load_component
from manticore.components.runner import cut_points
from manticore.components.scratch import is_scratch
from manticore.components.tokenizers import TransplantReport, same_vocabulary, transplant
from manticore.config.run import MAX_COMPONENTS, ProjectorInit
from manticore.hybrid.alignment import align_projectors, boundary_states, set_scales
from manticore.hybrid.configuration import GateKind, HeadKind, ManticoreConfig
from manticore.hybrid.modeling import ManticoreForCausalLM
from manticore.names import PROJECTORS, choose
from manticore.stories import generate_stories
from manticore.telling import telling

ALIGNMENT_TOKENS = 4096
_ALIGNMENT_LENGTH = 128
_ALIGNMENT_STORIES = 40
_LARGEST_SHARE = 0.5
"""Share of one token above which a text tells nothing about the others: often the unknown token."""


@telling("Building the hybrid: loading components, aligning projectors")
def build_hybrid(
    components: Sequence[str | Path | Component],
    n_blocks: int | None = None,
    *,
    projector: str = "linear",
    projector_init: str = "aligned",
    head: str = "mixed",
    gate: str = "paper",
    mixture_weights: torch.Tensor | Sequence | None = None,
    tokenizer_from: int = 0,
    alignment_text: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    trust_remote_code: bool = False,
    seed: int = 0,
) -> ManticoreForCausalLM:
    """Cut pretrained components into blocks and join them into one hybrid (paper section 3).

    Args:
        components: One to four of: `zoo:NAME`, a folder, a hub id, or a loaded `Component`, which
            is copied and stays as it is.
        n_blocks: Blocks B per component; the depth of the shallowest component if not given.
        projector: Kind of projector: `linear`, `identity`, `mlp` or `low-rank`.
        projector_init: `aligned` (closed form, on text), `identity` or `random`.
        head: `mixed` (the logits of the components' own heads, mixed), `mixture` (their
            probabilities, mixed) or `new`.
        gate: `paper` (a projector is passed by to the extent of the mixture weight) or `flat` (of a
            high power of it).
        mixture_weights: (N, K) or (K,); uniform if not given.
        tokenizer_from: Index of the component whose tokenizer and generation settings the hybrid
            uses. Components with another vocabulary are transplanted onto it;
            `hybrid.transplants` reports how well.
        alignment_text: Text on which hidden states are measured, for their scales and for
            `aligned`. If not given, stories of the bundled generator; untrained components, which
            know no words, are measured on random tokens. A single component needs none.
        dtype: Type of the weights.
        device: Where the hybrid lives.
        trust_remote_code: Run code from hub repositories. Off unless you turn it on.
        seed: Random seed for projectors and heads that start at random.

    Returns:
        The hybrid, in evaluation mode, with its `tokenizer`.

    Raises:
        TypeError: An argument of another type.
        ValueError: A number of components or blocks, or another value, that does not work; or a
            component with weights that are not finite.
        ComponentError: A component that cannot be loaded.
    """
    _check_components(components)
    _check_options(n_blocks, projector, projector_init, head, gate, alignment_text, dtype, seed)
    _check_index(tokenizer_from, len(components))
    device = _checked_device(device)
    loaded = [
        replace(component, model=copy.deepcopy(component.model))
        if isinstance(component, Component)
        else load_component(component, dtype=dtype, trust_remote_code=trust_remote_code)
        for component in components
    ]
    names = _unique([component.name for component in loaded])
    for name, component in zip(names, loaded, strict=True):
        _check_finite(name, component)
    tokenizer = copy.deepcopy(loaded[tokenizer_from].tokenizer)
    # Prompts of unlike length in one batch must end together.
    tokenizer.padding_side = "left"
    generation_config = _generation_config(loaded[tokenizer_from], tokenizer)
    transplants = _share_vocabulary(loaded, names, tokenizer)
    shallowest = min(range(len(loaded)), key=lambda k: loaded[k].runner.depth)
    depth = loaded[shallowest].runner.depth
    if n_blocks is None:
        n_blocks = depth
    cut_points(depth, n_blocks, f"'{names[shallowest]}'")  # Refuses more blocks than layers.
    config = ManticoreConfig(
        components=[component.model.config.to_dict() for component in loaded],
        component_names=names,
        component_sources=[component.source for component in loaded],
        n_blocks=n_blocks,
        projector=projector,
        head=head,
        gate=gate,
        vocab_size=min(component.model.config.vocab_size for component in loaded),
        dtype=dtype,
        **_special_ids(tokenizer),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hybrid = ManticoreForCausalLM(config, [component.model for component in loaded])
        if projector_init == "random":
            for projecting in hybrid.projectors.each():
                projecting.reset("random")
    hybrid.generation_config = generation_config
    _cast_parameters(hybrid, dtype)
    hybrid.to(device).eval()
    hybrid.tokenizer = tokenizer
    hybrid.transplants = transplants
    if mixture_weights is not None:
        hybrid.set_mixture_weights(mixture_weights)
    # One component alone uses no projector, and its own head undoes any scale.
    if len(loaded) > 1 or head == "new":
        length = min(_ALIGNMENT_LENGTH, hybrid.max_length or _ALIGNMENT_LENGTH)
        if alignment_text is None and all(is_scratch(component.source) for component in loaded):
            ids = _random_ids(config.vocab_size, length, seed)
        else:
            ids = _alignment_ids(tokenizer, alignment_text, length, names[tokenizer_from])
        ids = ids.to(device)
        states = boundary_states(hybrid, ids)
        set_scales(hybrid, states)
        if projector_init == "aligned" and len(loaded) > 1:
            align_projectors(hybrid, ids, states)
    if alignment_text is None:
        hybrid.origin["built"] = {
            "projector_init": projector_init,
            "tokenizer_from": tokenizer_from,
            "dtype": str(dtype).removeprefix("torch."),
            "trust_remote_code": trust_remote_code,
            "seed": seed,
        }
    return hybrid


# Arguments ----------------------------------------------------------------------------------------


def _check_components(components: object) -> None:
    if isinstance(components, str | Path | Component):
        one = components.source if isinstance(components, Component) else str(components)
        raise ValueError(f"Give a list of components, one alone too: build_hybrid(['{one}']).")
    if not isinstance(components, list | tuple):
        raise TypeError(
            f"components must be a list, as their order counts, and not {components!r}."
        )
    for component in components:
        if not isinstance(component, str | Path | Component):
            raise TypeError(
                f"{component!r} is not a component: give zoo:NAME, a folder, a hub id, or what "
                "load_component returns."
            )
    if not 1 <= len(components) <= MAX_COMPONENTS:
        raise ValueError(f"A hybrid takes 1 to {MAX_COMPONENTS} components, not {len(components)}.")


def _check_options(
    n_blocks: object,
    projector: object,
    projector_init: object,
    head: object,
    gate: object,
    alignment_text: object,
    dtype: object,
    seed: object,
) -> None:
    PROJECTORS.find(projector)
    choose(projector_init, get_args(ProjectorInit), "projector_init")
    choose(head, get_args(HeadKind), "head")
    choose(gate, get_args(GateKind), "gate")
    if n_blocks is not None and not _is_whole(n_blocks):
        raise TypeError(f"n_blocks={n_blocks!r} is not a whole number: give 2, say, or None.")
    if not _is_whole(seed):
        raise TypeError(f"seed={seed!r} is not a whole number: give 0, say.")
    if alignment_text is not None and not isinstance(alignment_text, str):
        raise TypeError(
            f"alignment_text={alignment_text!r} is not a text: give a string, or None for the "
            "bundled stories."
        )
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(
            f"dtype={dtype!r} is not a type of weights: give torch.float32, torch.bfloat16 or "
            "torch.float16."
        )


def _check_index(tokenizer_from: object, n_components: int) -> None:
    if not _is_whole(tokenizer_from) or not 0 <= tokenizer_from < n_components:
        raise (ValueError if _is_whole(tokenizer_from) else TypeError)(
            f"tokenizer_from={tokenizer_from!r} names none of the {n_components} components: "
            f"choose 0 to {n_components - 1}."
        )


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked_device(device: object) -> torch.device:
    remedy = "choose cpu, or cuda or cuda:N on a machine that has that GPU"
    if not isinstance(device, str | torch.device):
        raise TypeError(f"device={device!r} is not a device: {remedy}.")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # The second: torch without CUDA.
        raise ValueError(f"There is no device {str(device)!r} here: {remedy}.") from error
    if found.type == "meta":
        raise ValueError(f"The device 'meta' holds no weights: {remedy}.")
    return found


# Components ---------------------------------------------------------------------------------------


def _check_finite(name: str, component: Component) -> None:
    """Refuse weights that are not numbers: merged checkpoints hold them now and then."""
    bad = [
        f"{key} ({tensor.dtype})".replace("torch.", "")
        for key, tensor in component.model.state_dict().items()
        if tensor.is_floating_point() and tensor.numel() and not _is_finite(tensor)
    ]
    if bad:
        more = f" and {len(bad) - 3} more tensors" if len(bad) > 3 else ""
        raise ValueError(
            f"The component '{name}' has weights that are not finite (NaN or infinite) in "
            f"{', '.join(bad[:3])}{more}: choose another checkpoint, or dtype=torch.float32 if "
            "these values are too large for the type given."
        )


def _is_finite(tensor: torch.Tensor) -> bool:
    # Without a table of booleans as large as the tensor; NaN goes through to both.
    return bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


def _cast_parameters(hybrid: ManticoreForCausalLM, dtype: torch.dtype) -> None:
    """Cast all weights but those of the mixture."""
    for part in hybrid.children():
        if part is not hybrid.mixture:
            cast_parameters(part, dtype)


def _generation_config(
    component: Component, tokenizer: PreTrainedTokenizerBase
) -> GenerationConfig:
    """The component's own settings for writing: its end tokens, how it samples, and so on."""
    settings = component.model.generation_config
    config = GenerationConfig() if settings is None else copy.deepcopy(settings)
    for name, id_ in _special_ids(tokenizer).items():
        if getattr(config, name, None) is None:
            setattr(config, name, id_)
    # A hybrid has a cache of its own.
    for name in ("cache_implementation", "cache_config", "max_cache_len"):
        setattr(config, name, None)
    # Transformers saves settings that contradict each other as long as nobody changed them since
    # they were loaded, and many published ones do.
    config._original_object_hash = hash(config)
    return config


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The ids that configurations hold, by the names that they have there."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {name: getattr(tokenizer, name) for name in names}


def _share_vocabulary(
    components: list[Component], names: list[str], tokenizer: PreTrainedTokenizerBase
) -> dict[str, TransplantReport]:
    reports = {}
    for name, component in zip(names, components, strict=True):
        if not same_vocabulary(component.tokenizer, tokenizer):
            reports[name] = transplant(component.model, component.tokenizer, tokenizer)
        elif component.model.config.vocab_size < len(tokenizer):
            raise ValueError(
                f"The component '{name}' has {component.model.config.vocab_size} "
                f"embeddings, fewer than the {len(tokenizer)} entries of its own tokenizer: the "
                "tokenizer does not match the model. Load the tokenizer it was trained with."
            )
    return reports


def _unique(names: list[str]) -> list[str]:
    """The names, with a number after those that another component has too."""
    unique: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in unique or (names.count(name) > 1 and candidate in names):
            candidate = f"{name}-{number}"
            number += 1
        unique.append(candidate)
    return unique


# Text for alignment -------------------------------------------------------------------------------


def _random_ids(vocabulary: int, length: int, seed: int) -> torch.Tensor:
    """(n, T) tokens, all equally likely."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (ALIGNMENT_TOKENS // length, length), generator=generator)


def _alignment_ids(
    tokenizer: PreTrainedTokenizerBase, text: str | None, length: int, name: str
) -> torch.Tensor:
    """(n, T) tokens of a text, or of stories, to measure hidden states on."""
    stories = text is None
    text = _stories() if text is None else text
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:ALIGNMENT_TOKENS]
    rows = len(ids) // length
    if rows == 0:
        of = f"The bundled stories are {len(ids)}" if stories else f"alignment_text is {len(ids)}"
        raise ValueError(
            f"{of} tokens long in the vocabulary of '{name}': give an alignment_text of at least "
            f"{length} tokens."
        )
    kept = torch.tensor(ids[: rows * length]).view(rows, length)
    token, share = _most_frequent(kept)
    if share > _LARGEST_SHARE:
        of = "the bundled stories are" if stories else "alignment_text is"
        raise ValueError(
            f"In the vocabulary of '{name}', {share:.0%} of {of} the token "
            f"{tokenizer.convert_ids_to_tokens(token)!r}, so that projectors cannot be fitted: "
            "give an alignment_text that the components know."
        )
    return kept


def _most_frequent(ids: torch.Tensor) -> tuple[int, float]:
    """The most frequent token, and its share of all tokens."""
    counts = torch.bincount(ids.flatten())
    return int(counts.argmax()), float(counts.max() / ids.numel())


@lru_cache(maxsize=1)
def _stories() -> str:
    return "\n\n".join(generate_stories("mixed", n_stories=_ALIGNMENT_STORIES))
