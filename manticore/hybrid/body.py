"""The body of a hybrid: K components, cut into blocks, joined by projectors and mixture weights.

What a forward pass computes is in `hybrid.blocks`. Components stay whole inside the hybrid, as the
models that Transformers made; the blocks are views of them (`components.runner`). What is computed
from the last hidden states, and for which purpose, is up to the models that stand on the body.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from manticore.components.building import one_at_a_time
from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.runner import BlockRunner
from manticore.components.tokenizers import TransplantReport
from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.cache import HybridCache
from manticore.hybrid.configuration import GATE_POWERS, ManticoreConfig
from manticore.hybrid.mixing import MixingHybrid
from manticore.hybrid.mixture import FixedMixture, Mixture, PassWeights
from manticore.hybrid.parts import ComponentList, HybridEmbedding, hide_heads
from manticore.hybrid.pretrained import mark_as_initialized
from manticore.hybrid.projectors import BlockProjectors
from manticore.hybrid.routing import RoutedMixture, RouterSettings
from manticore.hybrid.tokens import Tokens
from manticore.hybrid.turns import taking_turns


@dataclass(frozen=True)
class Prepared:
    """What a pass needs besides its input.

    Attributes:
        blocks: The blocks as they are now.
        weights: The mixture weights of the pass.
        tokens: Where the tokens are in their sequences.
        cache: The components' caches, or None.
        seeing: For each block, the components that see all tokens.
        n_past: Number of tokens in the cache.
        n_new: T, the number of tokens of the pass.
    """

    blocks: HybridBlocks
    weights: PassWeights
    tokens: Tokens
    cache: HybridCache | None
    seeing: list[list[int]]
    n_past: int
    n_new: int

    @property
    def where(self) -> dict[str, Any]:
        """What says to blocks where the tokens are."""
        return {
            "position_ids": self.tokens.position_ids,
            "attention_mask": self.tokens.attention_mask,
            "cache": self.cache,
        }


class HybridBody(MixingHybrid):
    """What every hybrid is made of, and how hidden states pass through it.

    Args:
        config: The hybrid's configuration.
        components: The components' models, which become parts of the hybrid and are changed in
            place; models with fresh weights if not given.
    """

    @one_at_a_time
    def __init__(
        self, config: ManticoreConfig, components: Sequence[PreTrainedModel] | None = None
    ) -> None:
        # Before the parent puts its own default there.
        attention = config._attn_implementation
        super().__init__(config)
        if components is None:
            # Each component's configuration has the type it was saved in, which is not what
            # from_pretrained was asked for.
            components = [
                AutoModelForCausalLM.from_config(component, dtype=config.dtype or component.dtype)
                for component in config.component_configs
            ]
        else:
            for model in components:
                mark_as_initialized(model)
        for model in components:
            use_fast_mixers(model)
        hide_heads(components)
        self.components = ComponentList(components)
        self.specs = [family_spec(model) for model in components]
        self.cuts = [config.cut_points(k, runner.depth) for k, runner in enumerate(self.runners)]
        # Read once: the configuration makes its components' configurations at every call.
        self.widths = config.widths
        self.width = max(self.widths)
        self.projectors = BlockProjectors(
            config.projector, self.width, self.widths, config.n_blocks
        )
        self.mixture: Mixture = FixedMixture(config.n_blocks, len(components))
        if config.router is not None:
            self.mixture = self.new_router(RouterSettings(**config.router))
        self.embedding = HybridEmbedding()
        self.tokenizer: PreTrainedTokenizerBase | None = None
        # How build_hybrid treated foreign vocabularies; unknown for a hybrid that was saved.
        self.transplants: dict[str, TransplantReport] | None = None
        # How to make the hybrid again, as a run's `start` says it; unknown for one that was saved.
        self.origin: dict[str, Any] = {}
        # Embeddings and heads that are new: they learn also where the components' blocks do not.
        self.fresh_vocabulary = False
        self._make_head()
        self.post_init()
        if attention is not None:
            self.set_attn_implementation(attention)

    def _make_head(self) -> None:
        """Make what stands on the last hidden states and belongs to no component."""

    # What it is made of -------------------------------------------------------------------------

    @property
    def runners(self) -> list[BlockRunner]:
        """One block runner for each component."""
        return [
            BlockRunner(model, spec)
            for model, spec in zip(self.components, self.specs, strict=True)
        ]

    @property
    def blocks(self) -> HybridBlocks:
        """The parts that hidden states pass through, as they are now.

        Looked up at every call: a search replaces the mixture, and peft may wrap the projectors.
        """
        return HybridBlocks(
            self.runners,
            self.cuts,
            self.widths,
            self.config.scales,
            self.projectors,
            GATE_POWERS[self.config.gate],
        )

    @property
    def component_names(self) -> list[str]:
        """The components' labels."""
        return list(self.config.component_names)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that every component takes, or None where nothing limits it."""
        limits = [runner.max_length for runner in self.runners]
        return min((limit for limit in limits if limit is not None), default=None)

    def live_runners(self, block: int) -> list[tuple[int, BlockRunner]]:
        """(k, runner) of the components that take part in a block: those of weight above zero."""
        runners, live = self.runners, self.mixture.live()
        return [(k, runner) for k, runner in enumerate(runners) if live is None or live[block][k]]

    def get_input_embeddings(self) -> HybridEmbedding:
        """The mixed embedding of all components; it has no weight of its own."""
        self.embedding.blocks, self.embedding.weigh = self.blocks, self._weights
        return self.embedding

    # A pass -------------------------------------------------------------------------------------

    def _prepare(
        self,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor | None,
        cache: HybridCache | None,
        mixture_weights: torch.Tensor | None,
    ) -> Prepared:
        """What a pass needs besides its input, checked."""
        new = _tokens(input_ids, inputs_embeds)
        blocks, n_past, n_new = self.blocks, 0, new.shape[1]
        # Once for the whole pass: a random parameterization must give every block the same draw.
        weights = (
            self._weights(input_ids, n_new, attention_mask, cache)
            if mixture_weights is None
            else PassWeights.given(mixture_weights, n_new)
        )
        seeing = [weights.seeing(block) for block in range(blocks.n_blocks)]
        if cache is not None:
            cache.check([model.config for model in self.components], seeing)
            n_past = cache.get_seq_length()
        self._check_length(n_past + n_new, blocks.runners, seeing)
        if position_ids is None:
            position_ids = _positions(attention_mask, n_past, n_new, new.device)
        tokens = Tokens(position_ids, attention_mask)
        return Prepared(blocks, weights, tokens, cache, seeing, n_past, n_new)

    @contextmanager
    def _passed(
        self,
        prepared: Prepared,
        input_ids: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        *,
        merge: bool,
    ) -> Iterator[tuple[HybridBlocks, list[torch.Tensor]]]:
        """Inside, the blocks of the pass, and h[0] to h[N], (B, T, D) each.

        Args:
            prepared: What `_prepare` gave.
            input_ids: (B, T) token ids.
            inputs_embeds: (B, T, D) in place of ids.
            merge: Whether states between blocks that one component does alone may be left out.
        """
        weights, cache = prepared.weights, prepared.cache
        turns = taking_turns(prepared.blocks, input_ids, weights, prepared.tokens, cache)
        with turns as blocks:
            first = inputs_embeds
            if first is None:
                embed = self.get_input_embeddings()
                first = embed(input_ids, prepared.tokens.position_ids, weights, blocks)
            states = blocks.states(first, weights, merge=merge, **prepared.where)
            yield blocks, [first, *states]

    def _weights(
        self,
        input_ids: torch.Tensor | None,
        n_tokens: int,
        attention_mask: torch.Tensor | None = None,
        cache: HybridCache | None = None,
    ) -> PassWeights:
        """The mixture weights of a pass; the cache gets the router's state after it."""
        if not isinstance(self.mixture, RoutedMixture):
            return self.mixture.for_pass(n_tokens)
        if input_ids is None:
            raise ValueError(
                "The mixture weights of this hybrid follow from the token ids: pass input_ids, or "
                "mixture_weights with the embeddings."
            )
        state = None if cache is None else cache.router_state
        weights, state = self.mixture.route(input_ids, attention_mask, state)
        if cache is not None:
            cache.router_state = state
        return weights

    def _check_length(self, length: int, runners: list[BlockRunner], live: list[list[int]]) -> None:
        for k in sorted(set().union(*live)):
            limit = runners[k].max_length
            if limit is not None and length > limit:
                raise ValueError(
                    f"A sequence of {length} tokens is too long: the component "
                    f"'{self.component_names[k]}' takes at most {limit} tokens. Shorten the text "
                    "or the number of new tokens."
                )


def check_arguments(arguments: dict[str, object], known: Collection[str] = ()) -> None:
    """Refuse what a forward would pass over without a word.

    Args:
        arguments: Arguments that a forward does not name.
        known: Those that it uses all the same.

    Raises:
        TypeError: There is another one, or attention weights are asked for.
    """
    if arguments.pop("output_attentions", None):
        raise TypeError(
            "A hybrid hands out no attention weights, as not every component has any: ask "
            "hybrid.components[k] alone."
        )
    unknown = [name for name, value in arguments.items() if name not in known and value is not None]
    if unknown:
        raise TypeError(f"The hybrid's forward takes no argument {', '.join(sorted(unknown))}.")


def _tokens(input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> torch.Tensor:
    """Whichever is given, (B, T) or (B, T, D), with at least one token."""
    tokens = input_ids if input_ids is not None else inputs_embeds
    if tokens is None or (input_ids is not None and inputs_embeds is not None):
        raise ValueError("Give exactly one of input_ids and inputs_embeds.")
    if tokens.shape[1] == 0:
        raise ValueError(
            f"There is no token in an input of shape {tuple(tokens.shape)}: begin an empty prompt "
            "with the tokenizer's BOS or EOS token."
        )
    return tokens


def _positions(
    attention_mask: torch.Tensor | None, n_past: int, n_new: int, device: torch.device
) -> torch.Tensor:
    """(B, T) or (1, T) positions of the new tokens; left padding gets position 0."""
    if attention_mask is None:
        return torch.arange(n_past, n_past + n_new, device=device)[None]
    positions = attention_mask.long().cumsum(dim=-1) - 1
    return positions.clamp_min(0)[:, -n_new:]
