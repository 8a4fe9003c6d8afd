"""The hybrid as a causal language model of Transformers."""

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast
from typing_extensions import override

from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.body import HybridBody, check_arguments
from manticore.hybrid.cache import HybridCache, own_cache
from manticore.hybrid.configuration import ManticoreConfig
from manticore.hybrid.generating import HybridGenerationMixin
from manticore.hybrid.heads import mixed_heads
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.reconstruction import ReconstructionDecoder
from manticore.hybrid.showing import ShownHybrid

# What Transformers may send along; anything else would be passed over without a word.
_LOSS_ARGUMENTS = frozenset({"num_items_in_batch", "ignore_index", "shift_labels"})


class ManticoreForCausalLM(ShownHybrid, HybridBody, HybridGenerationMixin):
    """A pretrained hybrid, as a causal language model of Transformers.

    Build one with `manticore.build_hybrid`; `from_pretrained` loads a saved one.

    Args:
        config: The hybrid's configuration.
        components: The components' models, which become parts of the hybrid and are changed in
            place; models with fresh weights if not given.
    """

    _is_stateful = True
    _begun_from = "ManticoreForSequenceClassification"
    _left_out = ("score",)

    @override
    def _make_head(self) -> None:
        if self.config.head == "new":
            # Names that no component has: peft picks modules by the end of their names.
            self.new_norm = nn.LayerNorm(self.width)
            self.new_head = nn.Linear(self.width, self.config.vocab_size, bias=False)
        if self.config.head == "reconstruction":
            self.decoder = ReconstructionDecoder(self.width, self.config.vocab_size)

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
        check_arguments(kwargs, _LOSS_ARGUMENTS)
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError("Labels need all logits: leave logits_to_keep at 0.")
        cache = own_cache(past_key_values)
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and cache is None:
            cache = HybridCache([model.config for model in self.components])
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        prepared = self._prepare(
            input_ids, inputs_embeds, attention_mask, position_ids, cache, mixture_weights
        )
        blocks, weights = prepared.blocks, prepared.weights
        n_new = prepared.n_new
        hidden_states: list[torch.Tensor] = []
        # One token is decoded by a component alone: then nothing is between its blocks.
        decoded_alone = input_ids is not None and n_new == 1 and not output_hidden_states
        sole = blocks.sole(weights, cache) if decoded_alone and self._own_heads else None
        if sole is not None and input_ids is not None:
            vocabulary, where = self.config.vocab_size, prepared.where
            logits = blocks.sole_logits(sole, input_ids, weights, vocab_size=vocabulary, **where)
        else:
            merge = not output_hidden_states
            with self._passed(prepared, input_ids, inputs_embeds, merge=merge) as (blocks, passed):
                # N + 1 times (B, T, D), or fewer where blocks are merged.
                hidden_states = passed
                if self.config.head == "reconstruction":
                    logits = self._reconstruct(passed[-1], prepared.n_past, attention_mask)
                else:
                    keep = logits_to_keep
                    keep = slice(-keep, None) if isinstance(keep, int) else keep
                    logits = self._logits(blocks, passed[-1][:, keep], weights.at(keep))
        if cache is not None:
            cache.advance(n_new, attention_mask, prepared.seeing)
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
        last, vocabulary = blocks.n_blocks - 1, self.config.vocab_size
        terms = [
            (blocks.own_logits(k, hidden_states, vocabulary), weights.weight(last, k))
            for k in weights.live(last)
        ]
        return mixed_heads(terms, self.config.head, hidden_states.dtype)

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


AutoConfig.register("manticore", ManticoreConfig)
AutoModelForCausalLM.register(ManticoreConfig, ManticoreForCausalLM)
