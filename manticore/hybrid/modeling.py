"""The hybrid: K components, cut into blocks, joined by projectors and mixture weights.

What a forward pass computes is in `hybrid.blocks`. Components stay whole inside the hybrid, as the
models that Transformers made; the blocks are views of them (`components.runner`).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from manticore.components.building import one_at_a_time
from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.runner import BlockRunner
from manticore.components.tokenizers import TransplantReport
from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.cache import HybridCache, own_cache
from manticore.hybrid.configuration import GATE_POWERS, ManticoreConfig
from manticore.hybrid.heads import mixed_logits, mixed_probabilities
from manticore.hybrid.mixing import MixingHybrid
from manticore.hybrid.mixture import FixedMixture, Mixture, PassWeights
from manticore.hybrid.parts import ComponentList, HybridEmbedding, hide_heads
from manticore.hybrid.pretrained import mark_as_initialized
from manticore.hybrid.projectors import BlockProjectors
from manticore.hybrid.reconstruction import ReconstructionDecoder
from manticore.hybrid.routing import RoutedMixture, RouterSettings
from manticore.hybrid.tokens import Tokens
from manticore.hybrid.turns import taking_turns

# What Transformers may send along; anything else would be passed over without a word.
_LOSS_ARGUMENTS = frozenset({"num_items_in_batch", "ignore_index", "shift_labels"})


class ManticoreForCausalLM(MixingHybrid):
    """A pretrained hybrid, as a causal language model of Transformers.

    Build one with `manticore.build_hybrid`; `from_pretrained` loads a saved one.

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
        if config.head == "new":
            # Names that no component has: peft picks modules by the end of their names.
            self.new_norm = nn.LayerNorm(self.width)
            self.new_head = nn.Linear(self.width, config.vocab_size, bias=False)
        if config.head == "reconstruction":
            self.decoder = ReconstructionDecoder(self.width, config.vocab_size)
        self.embedding = HybridEmbedding()
        self.tokenizer: PreTrainedTokenizerBase | None = None
        # How build_hybrid treated foreign vocabularies; unknown for a hybrid that was saved.
        self.transplants: dict[str, TransplantReport] | None = None
        # How to make the hybrid again, as a run's `start` says it; unknown for one that was saved.
        self.origin: dict[str, Any] = {}
        # Embeddings and heads that are new: they learn also where the components' blocks do not.
        self.fresh_vocabulary = False
        self.post_init()
        if attention is not None:
            self.set_attn_implementation(attention)

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

    # Forward ------------------------------------------------------------------------------------

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: HybridCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        mixture_weights: torch.Tensor | None = None,
        **kwargs: object,
    ) -> CausalLMOutputWithPast | tuple:
        """Next-token logits.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, past + T); 0 marks padding: on the left, or on the right of a
                sequence that is not continued.
            position_ids: (B, T); counted from the mask and the cache if not given.
            past_key_values: The cache of an earlier call.
            inputs_embeds: (B, T, D) in place of ids: h[0], as `get_input_embeddings()` gives it.
            labels: (B, T) ids to predict, shifted inside; -100 is left out. Needs all logits. With
                head="reconstruction" (B, T + 1): -100 and the ids.
            use_cache: Whether to fill and return a cache; as configured if not given, and not in
                training.
            logits_to_keep: Only the last so many positions (0: all), or their indices.
            output_hidden_states: Whether to hand out h[0] to h[N], N + 1 times (B, T, D).
            return_dict: A tuple if False.
            mixture_weights: (N, K), or (B, T, N, K) with those of every token, in place of the
                hybrid's own.
            kwargs: `num_items_in_batch`, `ignore_index` and `shift_labels` go to the loss.

        Raises:
            ValueError: Neither or both of ids and embeddings, no token, a sequence that is too
                long, labels without all logits, or a cache that cannot be continued.
            TypeError: Another argument, or a request for attention weights.
        """
        _check_arguments(kwargs)
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError("Labels need all logits: leave logits_to_keep at 0.")
        tokens = _tokens(input_ids, inputs_embeds)
        blocks = self.blocks
        cache = own_cache(past_key_values)
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and cache is None:
            cache = HybridCache([model.config for model in self.components])
        n_past, n_new = 0, tokens.shape[1]
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
            position_ids = _positions(attention_mask, n_past, n_new, tokens.device)
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        where: Any = {
            "position_ids": position_ids,
            "attention_mask": attention_mask,
            "cache": cache,
        }
        hidden_states: list[torch.Tensor] = []
        # One token is decoded by a component alone: then nothing is between its blocks.
        decoded_alone = input_ids is not None and n_new == 1 and not output_hidden_states
        sole = blocks.sole(weights, cache) if decoded_alone and self._own_heads else None
        if sole is not None and input_ids is not None:
            vocabulary = self.config.vocab_size
            logits = blocks.sole_logits(sole, input_ids, weights, vocab_size=vocabulary, **where)
        else:
            tokens = Tokens(position_ids, attention_mask)
            with taking_turns(blocks, input_ids, weights, tokens, cache) as blocks:
                first = inputs_embeds
                if first is None:
                    first = self.get_input_embeddings()(input_ids, position_ids, weights, blocks)
                merge = not output_hidden_states
                # N + 1 times (B, T, D), or fewer where blocks are merged.
                hidden_states = [first, *blocks.states(first, weights, merge=merge, **where)]
                if self.config.head == "reconstruction":
                    logits = self._reconstruct(hidden_states[-1], n_past, attention_mask)
                else:
                    keep = logits_to_keep
                    keep = slice(-keep, None) if isinstance(keep, int) else keep
                    logits = self._logits(blocks, hidden_states[-1][:, keep], weights.at(keep))
        if cache is not None:
            cache.advance(n_new, attention_mask, seeing)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        output = CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=cache,
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
        )
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()

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

    @property
    def _own_heads(self) -> bool:
        """Whether the components' own heads give the logits."""
        return self.config.head in ("mixed", "mixture")

    def _logits(
        self, blocks: HybridBlocks, hidden_states: torch.Tensor, weights: PassWeights
    ) -> torch.Tensor:
        """(B, T, V) from h[N], (B, T, D), and the mixture weights of these tokens."""
        if self.config.head == "new":
            return self.new_head(self.new_norm(hidden_states.to(self.new_norm.weight.dtype)))
        mix = mixed_probabilities if self.config.head == "mixture" else mixed_logits
        return mix(blocks, hidden_states, weights, self.config.vocab_size)

    def _reconstruct(
        self, hidden_states: torch.Tensor, n_past: int, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, T + 1, V): logits of every token, and last a row that no label is compared with.

        A causal language model's loss shifts labels by one, and here nothing is to be shifted: so
        labels are (B, T + 1) too, -100 in front.
        """
        if n_past or (attention_mask is not None and not attention_mask.all()):
            raise ValueError(
                "A hybrid with head='reconstruction' decodes whole sequences: it neither continues "
                "one, nor takes padding. Build it with head='mixed' to generate."
            )
        logits = self.decoder(hidden_states[:, -1].to(self.decoder.dtype), hidden_states.shape[1])
        return nn.functional.pad(logits, (0, 0, 0, 1))

    def _check_length(self, length: int, runners: list[BlockRunner], live: list[list[int]]) -> None:
        for k in sorted(set().union(*live)):
            limit = runners[k].max_length
            if limit is not None and length > limit:
                raise ValueError(
                    f"A sequence of {length} tokens is too long: the component "
                    f"'{self.component_names[k]}' takes at most {limit} tokens. Shorten the text "
                    "or the number of new tokens."
                )


def _check_arguments(arguments: dict[str, object]) -> None:
    if arguments.pop("output_attentions", None):
        raise TypeError(
            "A hybrid hands out no attention weights, as not every component has any: ask "
            "hybrid.components[k] alone."
        )
    unknown = [
        name
        for name, value in arguments.items()
        if name not in _LOSS_ARGUMENTS and value is not None
    ]
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


AutoConfig.register("manticore", ManticoreConfig)
AutoModelForCausalLM.register(ManticoreConfig, ManticoreForCausalLM)
