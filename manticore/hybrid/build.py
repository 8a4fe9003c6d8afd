"""From names of components to a hybrid."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from manticore.components.loading import Component, cast_parameters, load_component
from manticore.components.runner import cut_points
from manticore.components.scratch import is_scratch
from manticore.components.tokenizers import TransplantReport, same_vocabulary, transplant
from manticore.hybrid.alignment import align_projectors, set_scales
from manticore.hybrid.configuration import MAX_COMPONENTS, ManticoreConfig
from manticore.hybrid.modeling import ManticoreForCausalLM
from manticore.hybrid.projectors import LinearProjector, MLPProjector
from manticore.stories import generate_stories

PROJECTOR_INITS = ("aligned", "identity", "random")
ALIGNMENT_TOKENS = 8192
_ALIGNMENT_LENGTH = 128
_ALIGNMENT_STORIES = 120


def build_hybrid(
    components: Sequence[str | Path | Component],
    n_blocks: int | None = None,
    *,
    projector: str = "linear",
    projector_init: str = "aligned",
    head: str = "mixed",
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
        projector: `linear`, `identity` or `mlp`.
        projector_init: `aligned` (closed form, on text), `identity` or `random`.
        head: `mixed` (the components' own heads, mixed) or `new`.
        mixture_weights: (N, K) or (K,); uniform if not given.
        tokenizer_from: Index of the component whose tokenizer the hybrid uses. Components with
            another vocabulary are transplanted onto it; `hybrid.transplants` reports how well.
        alignment_text: Text on which hidden states are measured, for their scales and for
            `aligned`. If not given, stories of the bundled generator; components from nothing,
            which know no words, are measured on random tokens.
        dtype: Type of the weights.
        device: Where the hybrid lives.
        trust_remote_code: Run code from hub repositories. Off unless you turn it on.
        seed: For random projectors and heads.

    Returns:
        The hybrid, in evaluation mode, with its `tokenizer`.

    Raises:
        ValueError: A number of components, blocks, or an option that cannot be.
        ComponentError: A component that cannot be loaded.
    """
    if isinstance(components, str | Path | Component):
        one = components.source if isinstance(components, Component) else str(components)
        raise ValueError(f"Give a list of components, one alone too: build_hybrid(['{one}']).")
    if not 1 <= len(components) <= MAX_COMPONENTS:
        raise ValueError(f"A hybrid takes 1 to {MAX_COMPONENTS} components, not {len(components)}.")
    if projector_init not in PROJECTOR_INITS:
        raise ValueError(
            f"projector_init '{projector_init}' is none of {', '.join(PROJECTOR_INITS)}."
        )
    if not 0 <= tokenizer_from < len(components):
        raise ValueError(
            f"tokenizer_from={tokenizer_from} names none of the {len(components)} components: "
            f"choose 0 to {len(components) - 1}."
        )
    loaded = [
        replace(component, model=copy.deepcopy(component.model))
        if isinstance(component, Component)
        else load_component(component, dtype=dtype, trust_remote_code=trust_remote_code)
        for component in components
    ]
    names = _unique([component.name for component in loaded])
    tokenizer = copy.deepcopy(loaded[tokenizer_from].tokenizer)
    # Prompts of unlike length in one batch must end together.
    tokenizer.padding_side = "left"
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
        vocab_size=min(component.model.config.vocab_size for component in loaded),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=dtype,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hybrid = ManticoreForCausalLM(config, [component.model for component in loaded])
        if projector_init == "random":
            for module in hybrid.projectors.modules():
                if isinstance(module, (LinearProjector, MLPProjector)):
                    module.reset("random")
    _cast_parameters(hybrid, dtype)
    hybrid = hybrid.to(device).eval()
    hybrid.tokenizer = tokenizer
    hybrid.transplants = transplants
    if mixture_weights is not None:
        hybrid.set_mixture_weights(mixture_weights)
    length = min(_ALIGNMENT_LENGTH, hybrid.max_length or _ALIGNMENT_LENGTH)
    if alignment_text is None and all(is_scratch(component.source) for component in loaded):
        ids = _random_ids(config.vocab_size, length, seed)
    else:
        ids = _alignment_ids(tokenizer, alignment_text, length)
    ids = ids.to(device)
    set_scales(hybrid, ids)
    if projector_init == "aligned":
        align_projectors(hybrid, ids)
    if alignment_text is None:
        hybrid.origin["built"] = {
            "projector_init": projector_init,
            "tokenizer_from": tokenizer_from,
            "dtype": str(dtype).removeprefix("torch."),
            "trust_remote_code": trust_remote_code,
            "seed": seed,
        }
    return hybrid


def _cast_parameters(hybrid: ManticoreForCausalLM, dtype: torch.dtype) -> None:
    """Cast all weights but the mixture's."""
    for part in hybrid.children():
        if part is not hybrid.mixture:
            cast_parameters(part, dtype)


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
    """The names, with a number behind those that another component has too."""
    unique: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in unique or (names.count(name) > 1 and candidate in names):
            candidate = f"{name}-{number}"
            number += 1
        unique.append(candidate)
    return unique


def _random_ids(vocabulary: int, length: int, seed: int) -> torch.Tensor:
    """(n, T) tokens, all equally likely."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (ALIGNMENT_TOKENS // length, length), generator=generator)


def _alignment_ids(
    tokenizer: PreTrainedTokenizerBase, text: str | None, length: int
) -> torch.Tensor:
    """(n, T) tokens to fit projectors on."""
    if text is None:
        text = "\n\n".join(generate_stories("mixed", n_stories=_ALIGNMENT_STORIES))
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:ALIGNMENT_TOKENS]
    rows = len(ids) // length
    if rows == 0:
        raise ValueError(
            f"The text for aligning projectors has {len(ids)} tokens: give at least {length}."
        )
    return torch.tensor(ids[: rows * length]).view(rows, length)
