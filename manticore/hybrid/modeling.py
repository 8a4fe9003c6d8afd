"""The hybrid: K components, cut into blocks, joined by projectors and mixture weights.

The maths is the paper's (section 3), with one addition. Residual streams of different families
differ in size (64-fold between bundled components), so what one component hands on would drown the
others. The hybrid therefore divides component k's hidden states by a fixed scale s[b, k] at
boundary b, and multiplies them again where they enter its next block:

    h[0]    = sum_k alpha[1,k] * pad(E_k(ids) / s[0,k])
    u[b,k]  = s[b-1,k] * ((1 - alpha[b,k]) * W_in[b,k](h[b-1]) + alpha[b,k] * trunc_k(h[b-1]))
    v[b,k]  = block[b,k](u[b,k]) / s[b,k]
    h[b]    = sum_k alpha[b,k] * ((1 - alpha[b,k]) * W_out[b,k](v[b,k]) + alpha[b,k] * pad(v[b,k]))
    logits  = sum_k alpha[B,k] * head_k(norm_k(s[B,k] * trunc_k(h[B])))

Scales are powers of two, so dividing and multiplying is exact, and one-hot mixture weights still
give the component's logits to the last bit.

Components stay whole inside the hybrid, as the modules that Transformers made; the blocks are views
of them (`components.runner`).
"""

import logging
from collections.abc import Sequence

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from manticore.components.inspection import family_spec
from manticore.components.mixers.fast import use_fast_mixers
from manticore.components.runner import BlockRunner
from manticore.components.tokenizers import TransplantReport
from manticore.hybrid.cache import HybridCache
from manticore.hybrid.citizenship import TransformersCitizen
from manticore.hybrid.configuration import ManticoreConfig
from manticore.hybrid.mixture import FixedMixture, check_mixture_weights
from manticore.hybrid.parts import ComponentList, HybridEmbedding
from manticore.hybrid.projectors import BlockProjectors, resize_width
from manticore.hybrid.reconstruction import ReconstructionDecoder

# Arguments of from_pretrained that say where the files are, the tokenizer's too.
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
# What Transformers may send along; anything else would be passed over without a word.
_LOSS_ARGUMENTS = frozenset({"num_items_in_batch", "ignore_index", "shift_labels"})

logger = logging.getLogger(__name__)


class ManticoreForCausalLM(TransformersCitizen):
    """A pretrained hybrid, as a causal language model of Transformers.

    Build one with `manticore.build_hybrid`; `from_pretrained` loads a saved one.
    """

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
                for module in model.modules():
                    module._is_hf_initialized = True
        for model in components:
            use_fast_mixers(model)
        self.components = ComponentList(components)
        self.specs = [family_spec(model) for model in components]
        self.cuts = [config.cut_points(k, runner.depth) for k, runner in enumerate(self.runners)]
        # Read here once: the configuration makes its components' configurations anew each time.
        self.widths = config.widths
        self.width = max(self.widths)
        self.projectors = BlockProjectors(
            config.projector, self.width, self.widths, config.n_blocks
        )
        self.mixture = FixedMixture(config.n_blocks, len(components))
        if config.head == "new":
            # Names that no component has: peft picks modules by the end of their names.
            self.new_norm = nn.LayerNorm(self.width)
            self.new_head = nn.Linear(self.width, config.vocab_size, bias=False)
        if config.head == "reconstruction":
            self.decoder = ReconstructionDecoder(self.width, config.vocab_size)
        self.embedding = HybridEmbedding(self)
        self.tokenizer: PreTrainedTokenizerBase | None = None
        # What build_hybrid did to foreign vocabularies; not known of a hybrid that was saved.
        self.transplants: dict[str, TransplantReport] | None = None
        # How it can be made again, as a run's `start` says it; not known of one that was saved.
        self.origin: dict[str, object] = {}
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
    def component_names(self) -> list[str]:
        """The components' labels."""
        return list(self.config.component_names)

    @property
    def max_length(self) -> int | None:
        """The longest sequence that every component takes, or None where nothing limits it."""
        limits = [runner.max_length for runner in self.runners]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def mixture_weights(self) -> torch.Tensor:
        """Alpha, (N, K): one row per block, rows sum to one."""
        return self.mixture.expected().detach().clone()

    def set_mixture_weights(self, alpha: torch.Tensor | Sequence) -> None:
        """Fix the mixture weights.

        Args:
            alpha: (N, K), or (K,) for every block alike.

        Raises:
            ValueError: Wrong shape, or a row off the simplex.
        """
        n_blocks, n_components = self.config.n_blocks, len(self.components)
        alpha = check_mixture_weights(alpha, n_blocks, n_components)
        if not isinstance(self.mixture, FixedMixture):
            device = self.mixture.expected().device
            self.mixture = FixedMixture(n_blocks, n_components).to(device)
        self.mixture.assign(alpha)

    def live_runners(self, block: int) -> list[tuple[int, BlockRunner]]:
        """(k, runner) of the components that take part in a block: those of weight above zero."""
        live = self.mixture.live()
        return [
            (k, runner) for k, runner in enumerate(self.runners) if live is None or live[block][k]
        ]

    # Forward ------------------------------------------------------------------------------------

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: HybridCache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
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
            logits_to_keep: Only the last so many positions (0: all), or their indices.
            output_hidden_states: Whether to hand out h[0] to h[N], N + 1 times (B, T, D).
            return_dict: A tuple if False.
            kwargs: `num_items_in_batch`, `ignore_index` and `shift_labels` go to the loss.

        Raises:
            ValueError: Neither or both of ids and embeddings, a sequence that is too long, labels
                without all logits, or a cache that would go on after padding on the right.
            TypeError: Another argument, or a request for attention weights.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give exactly one of input_ids and inputs_embeds.")
        _check_arguments(kwargs)
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ValueError("Labels need all logits: leave logits_to_keep at 0.")
        tokens = input_ids if input_ids is not None else inputs_embeds
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if use_cache and past_key_values is None:
            past_key_values = HybridCache([model.config for model in self.components])
        n_past = 0
        if past_key_values is not None:
            past_key_values.check_padding()
            n_past = past_key_values.get_seq_length()
        n_new = tokens.shape[1]
        self._check_length(n_past + n_new)
        if position_ids is None:
            position_ids = _positions(attention_mask, n_past, n_new, tokens.device)
        # Once for the whole pass: a random parameterisation must give every block the same draw.
        alpha = self.mixture()
        if inputs_embeds is None:
            inputs_embeds = self.embedding(input_ids, position_ids, alpha)

        hidden_states = [inputs_embeds]  # N + 1 times (B, T, D)
        for block in range(self.config.n_blocks):
            mixed = self._block(
                block,
                alpha[block],
                hidden_states[-1],
                attention_mask,
                position_ids,
                past_key_values,
            )
            hidden_states.append(mixed)
        if past_key_values is not None:
            past_key_values.advance(n_new, attention_mask)

        if self.config.head == "reconstruction":
            logits = self._reconstruct(hidden_states[-1], n_past, attention_mask)
        else:
            keep = (
                slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            )
            logits = self._logits(hidden_states[-1][:, keep], alpha[-1])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        output = CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=past_key_values,
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
        )
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()

    def _block(
        self,
        block: int,
        alpha: torch.Tensor,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        cache: HybridCache | None,
    ) -> torch.Tensor:
        """h[b] from h[b - 1], (B, T, D), at the block's mixture weights, (K,)."""
        mixed = []
        live = self.live_runners(block)
        alone = len(live) == 1
        for k, runner in live:
            entering = self.enter(block, k, hidden_states, alpha[k], alone)
            start, stop = self.cuts[k][block : block + 2]
            leaving = runner.run(
                start,
                stop,
                entering,
                attention_mask=attention_mask,
                position_ids=position_ids,
                cache=None if cache is None else cache.block(k, start, stop),
            )
            mixed.append(alpha[k] * self.leave(block, k, leaving, alpha[k], alone))
        return sum(mixed)

    def enter(
        self, block: int, k: int, hidden_states: torch.Tensor, alpha: torch.Tensor, alone: bool
    ) -> torch.Tensor:
        """u[b, k]: from h[b - 1], (B, T, D), into component k's width, (B, T, d_k)."""
        direct = resize_width(hidden_states, self.widths[k])
        if alone:
            entering = direct
        else:
            projected = self.projectors.into[block][k](hidden_states)
            entering = (1 - alpha) * projected + alpha * direct
        entering = entering * self.config.scales[block][k]
        if getattr(self.components[k].config, "residual_in_fp32", False):
            return entering
        return entering.to(self.components[k].dtype)

    def leave(
        self, block: int, k: int, leaving: torch.Tensor, alpha: torch.Tensor, alone: bool
    ) -> torch.Tensor:
        """From the output of block[b, k], (B, T, d_k), to the hybrid's width, (B, T, D)."""
        leaving = leaving / self.config.scales[block + 1][k]
        direct = resize_width(leaving, self.width)
        if alone:
            return direct
        return (1 - alpha) * self.projectors.out_of[block][k](leaving) + alpha * direct

    def _logits(self, hidden_states: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """(B, T, V) from h[B], (B, T, D), at the last block's mixture weights, (K,)."""
        if self.config.head == "new":
            return self.new_head(self.new_norm(hidden_states.to(self.new_norm.weight.dtype)))
        logits = []
        for k, runner in self.live_runners(self.config.n_blocks - 1):
            narrow = resize_width(hidden_states, self.widths[k]) * self.config.scales[-1][k]
            if not getattr(self.components[k].config, "residual_in_fp32", False):
                narrow = narrow.to(self.components[k].dtype)
            logits.append(alpha[k] * runner.head(narrow)[..., : self.config.vocab_size])
        return sum(logits)

    def _reconstruct(
        self, hidden_states: torch.Tensor, n_past: int, attention_mask: torch.Tensor | None
    ) -> torch.Tensor:
        """(B, T + 1, V): of every token of the sequence, and a last one that no label is held to.

        A causal language model's loss shifts labels by one, and here nothing is to be shifted: so
        labels are (B, T + 1) too, -100 in front.
        """
        if n_past or (attention_mask is not None and not attention_mask.all()):
            raise ValueError(
                "A hybrid with head='reconstruction' decodes whole sequences: it neither continues "
                "one, nor takes padding. Build it with head='mixed' to generate."
            )
        logits = self.decoder(
            hidden_states[:, -1].to(self.decoder.layers[0].weight.dtype), hidden_states.shape[1]
        )
        return nn.functional.pad(logits, (0, 0, 0, 1))

    def _check_length(self, length: int) -> None:
        live = self.mixture.live()
        for k, runner in enumerate(self.runners):
            limit = runner.max_length
            if limit is None or length <= limit:
                continue
            if live is None or any(row[k] for row in live):
                raise ValueError(
                    f"A sequence of {length} tokens is too long: the component "
                    f"'{self.component_names[k]}' has {limit} learned positions. Shorten the text "
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
