"""The hybrid as a classifier of sequences, or of pairs of them, in Transformers' own form.

Each component's final norm is followed by a score of its own, and the logits of the labels are
mixed as those of a vocabulary are (`hybrid.heads`):

    x[k]    = pool(norm_k(s[B,k] * trunc_k(h[B])))        the last real token, or the mean of all
    logits  = sum_k alpha[B,k] * score_k(x[k])

So with one-hot mixture weights and the same score, it is the component's own classifier as
Transformers has it. Pairs pass through the blocks one sequence by one, as the two towers of Long
Range Arena's retrieval (arXiv 2011.04006), and only their pooled states meet:
score_k([x, y, x * y, x - y]).
"""

import copy
from collections.abc import Sequence
from typing import Any, Self, cast, get_args

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput
from typing_extensions import override

from manticore.hybrid.blocks import HybridBlocks
from manticore.hybrid.body import HybridBody, check_arguments
from manticore.hybrid.configuration import ManticoreConfig
from manticore.hybrid.heads import mixed_heads
from manticore.hybrid.mixture import PassWeights
from manticore.hybrid.scoring import Pooling, ScoreHead, ends_padded, pool, without_pads
from manticore.hybrid.weighted_sum import Term
from manticore.names import choose


class ManticoreForSequenceClassification(HybridBody):
    """A pretrained hybrid that classifies, as Transformers' own models for it do.

    `from_hybrid` makes one of a hybrid; `from_pretrained` loads a saved one, or the folder of a
    hybrid that writes, whose scores then start at random.

    Args:
        config: The hybrid's configuration, with `num_labels` or `id2label`, `pooling` and `pairs`.
        components: As for `ManticoreForCausalLM`.

    Raises:
        ValueError: Unknown pooling, or a hybrid that reconstructs.
    """

    _begun_from = "ManticoreForCausalLM"
    _fresh = ("score",)
    _left_out = ("new_head", "decoder")

    @override
    def _make_head(self) -> None:
        config = self.config
        choose(config.pooling, get_args(Pooling), "pooling")
        if config.head == "reconstruction":
            raise ValueError(
                "A hybrid with head='reconstruction' decodes whole sequences and has no final norm "
                "to classify by: build it with head='mixed'."
            )
        if config.head == "new":
            self.new_norm = nn.LayerNorm(self.width)
            widths = [self.width]
        else:
            # A component may project what its final norm gives.
            heads: list[Any] = [model.get_output_embeddings() for model in self.components]
            widths = [head.weight.shape[-1] for head in heads]
        self.score = ScoreHead(widths, cast("int", config.num_labels), config.pairs)

    @classmethod
    def from_hybrid(
        cls,
        hybrid: HybridBody,
        labels: Sequence[str] | int,
        *,
        pooling: Pooling = "last",
        pairs: bool = False,
        seed: int = 0,
    ) -> Self:
        """A classifier with a copy of a hybrid's components, projectors and mixture weights.

        Args:
            hybrid: The hybrid, which stays as it is.
            labels: Names of the labels, or their number; 1 for a regression.
            pooling: What of a sequence counts: the `last` real token, or the `mean` of all.
            pairs: Whether it classifies pairs of sequences.
            seed: Random seed of the scores.

        Returns:
            The classifier, on the hybrid's device and in evaluation mode.

        Raises:
            ValueError: Fewer than two names, or the same one twice; or as for the class.
            TypeError: The labels are a string.
        """
        if isinstance(labels, str):
            raise TypeError(f"labels={labels!r} is one string: give a list of names.")
        count = labels if isinstance(labels, int) else None
        names = [str(label) for label in (range(labels) if isinstance(labels, int) else labels)]
        if (count is None and len(names) < 2) or not names:
            raise ValueError(f"labels={labels!r} leaves nothing to tell apart: give two or more.")
        if len(set(names)) < len(names):
            raise ValueError(f"labels={labels!r} has the same name twice: give each a name.")
        config = copy.deepcopy(hybrid.config)
        config.problem_type = None
        # The components keep the attention that they have.
        config._attn_implementation_internal = None
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
        config.pooling, config.pairs = pooling, pairs
        components = [copy.deepcopy(model) for model in hybrid.components]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = cls(config, components)
        made.projectors.load_state_dict(hybrid.projectors.state_dict())
        parts: list[nn.Module] = [made.projectors, made.score]
        if hybrid.config.head == "new":
            made.new_norm.load_state_dict(hybrid.get_submodule("new_norm").state_dict())
            parts.append(made.new_norm)
        for part in parts:
            part.to(hybrid.dtype)
        made.to(hybrid.device)
        made.take_mixture(hybrid)
        made.tokenizer = hybrid.tokenizer
        return made.eval()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        mixture_weights: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: object,
    ) -> SequenceClassifierOutput | tuple:
        """Logits of the labels, (B, L).

        Args:
            input_ids: (B, T) token ids; (B, 2, T) where pairs are classified.
            attention_mask: As `input_ids`; 0 marks padding, on the left or on the right. Without
                it, tokens with the hybrid's `pad_token_id` at the end are padding.
            position_ids: (B, T), or (B, 2, T) for pairs; counted from the mask if not given.
            inputs_embeds: (B, T, D) in place of ids, not for pairs.
            labels: (B,) indices of labels, or (B, L) as `config.problem_type` has it.
            use_cache: Only False or None: there is nothing to continue.
            output_hidden_states: Whether to hand out h[0] to h[N].
            return_dict: A tuple if False.
            mixture_weights: As for `ManticoreForCausalLM`.
            num_items_in_batch: What the sum of losses is divided by; the batch's size if None.
            kwargs: Nothing but None: Transformers sends arguments that it has no value for.

        Raises:
            ValueError: A shape that does not fit, or as for `ManticoreForCausalLM`.
            TypeError: Another argument, or a request for attention weights.
        """
        check_arguments(kwargs)
        if use_cache:
            raise ValueError("A classifier keeps no cache: leave use_cache out.")
        if self.config.pairs:
            _check_pairs(input_ids, inputs_embeds)
        given = input_ids if input_ids is not None else inputs_embeds
        if attention_mask is not None and given is not None:
            sequences = given.shape if input_ids is not None else given.shape[:-1]
            if attention_mask.shape != sequences:
                raise ValueError(
                    f"An attention_mask {tuple(attention_mask.shape)} does not fit sequences "
                    f"{tuple(sequences)}: give one value for each token."
                )
        if self.config.pairs:
            input_ids, attention_mask, position_ids = (
                _in_a_row(tensor) for tensor in (input_ids, attention_mask, position_ids)
            )
        padded_like = attention_mask
        if attention_mask is None:
            padded_like = without_pads(input_ids, self.config.pad_token_id)
        elif ends_padded(attention_mask):
            # What follows a token does not change it, so that blocks need not know of it.
            attention_mask = None
        prepared = self._prepare(
            input_ids, inputs_embeds, attention_mask, position_ids, None, mixture_weights
        )
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        merge = not output_hidden_states
        with self._passed(prepared, input_ids, inputs_embeds, merge=merge) as (_, states):
            logits = self._score(prepared.blocks, states[-1], prepared.weights, padded_like)
        loss = None if labels is None else self._loss(logits, labels, num_items_in_batch)
        output = SequenceClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=tuple(states) if output_hidden_states else None,
        )
        wants_dict = self.config.return_dict if return_dict is None else return_dict
        return output if wants_dict else output.to_tuple()

    def _loss(
        self, logits: torch.Tensor, labels: torch.Tensor, of: torch.Tensor | int | None
    ) -> torch.Tensor:
        """The loss that the configuration's `problem_type` has, or that the labels suggest."""
        given = {"labels": labels, "pooled_logits": logits, "config": self.config}
        if of is None:
            return self.loss_function(**given)
        loss = self.loss_function(**given, num_items_in_batch=of)
        if self.config.problem_type == "single_label_classification":
            return loss
        # Transformers takes the mean of all others, whatever it is told.
        return loss * labels.numel() / of

    def _score(
        self,
        blocks: HybridBlocks,
        hidden_states: torch.Tensor,
        weights: PassWeights,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        """(B, L) from h[N], (B, T, D), of the real tokens."""
        if self.config.head == "new":
            normed = self.new_norm(hidden_states.to(self.new_norm.weight.dtype))
            return self.score(0, pool(normed, mask, self.config.pooling))
        last = blocks.n_blocks - 1
        terms: list[Term] = []
        for k in weights.live(last):
            normed = blocks.normalized(k, hidden_states)
            weight = weights.weight(last, k)
            if weights.is_routed:
                weight = pool(weight, mask, self.config.pooling)
                if self.config.pairs:
                    weight = (weight[0::2] + weight[1::2]) / 2
            terms.append((self.score(k, pool(normed, mask, self.config.pooling)), weight))
        return mixed_heads(terms, self.config.head, hidden_states.dtype)


def _check_pairs(input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor | None) -> None:
    """Refuse what is not pairs of ids."""
    if inputs_embeds is not None or input_ids is None:
        raise ValueError("This hybrid classifies pairs: give input_ids (B, 2, T), no embeddings.")
    if input_ids.ndim != 3 or input_ids.shape[1] != 2:
        raise ValueError(
            f"This hybrid classifies pairs: give input_ids (B, 2, T), not {tuple(input_ids.shape)}."
        )


def _in_a_row(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """(2 B, T) of pairs (B, 2, T), whose parts alternate; None of None."""
    return None if tensor is None else tensor.flatten(0, 1)


AutoModelForSequenceClassification.register(ManticoreConfig, ManticoreForSequenceClassification)
