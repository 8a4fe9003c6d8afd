"""What Transformers expects of a model beside its forward: loading, saving, embeddings, attention.

A hybrid has one embedding and one head per component, so several of these hand on to all of them.
"""

import logging

import torch
from torch import nn
from transformers import AutoTokenizer, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.utils import cached_file

from manticore.hybrid.configuration import ManticoreConfig
from manticore.hybrid.mixture import FixedMixture
from manticore.hybrid.projectors import LinearProjector, MLPProjector

# Arguments of from_pretrained that say where the files are, the tokenizer's too.
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")

logger = logging.getLogger(__name__)


class TransformersCitizen(PreTrainedModel, GenerationMixin):
    """The base of `ManticoreForCausalLM`, which has the attributes that are used here."""

    config_class = ManticoreConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _is_stateful = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _keep_in_fp32_modules_strict = ("mixture",)

    @classmethod
    def from_pretrained(cls, source: str, *args: object, **kwargs: object) -> "TransformersCitizen":
        """As in Transformers; the tokenizer saved with the hybrid comes along as `.tokenizer`."""
        loaded = super().from_pretrained(source, *args, **kwargs)
        hybrid = loaded[0] if isinstance(loaded, tuple) else loaded
        # Loading replaces parameters by ones that learn; given mixture weights do not.
        hybrid.mixture.requires_grad_(False)
        where = {name: kwargs[name] for name in _WHERE if name in kwargs}
        if cached_file(
            source, "tokenizer_config.json", _raise_exceptions_for_missing_entries=False, **where
        ):
            hybrid.tokenizer = AutoTokenizer.from_pretrained(source, **where)
        return loaded

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # For code that is not its own, Transformers passes over modules without parameters of their
        # own: it asks for a projector's layers, never for the projector.
        for projector in self.projectors.modules():
            if isinstance(projector, (LinearProjector, MLPProjector)) and module in list(
                projector.children()
            ):
                projector.reset("identity")
                return
        if isinstance(module, FixedMixture):
            init.constant_(module.alpha, 1 / module.alpha.shape[1])
        elif module in (getattr(self, "new_head", None), getattr(self, "new_norm", None)):
            super()._init_weights(module)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        # generate() then leaves the cache to forward(), which makes one for all components.
        return False

    def get_input_embeddings(self) -> nn.Module:
        """The mixed embedding of all components; it has no weight of its own."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Refused: every component has its own.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "A hybrid has one input embedding per component: use "
            "hybrid.components[k].set_input_embeddings(...)."
        )

    def set_attn_implementation(
        self, attn_implementation: str, allow_all_kernels: bool = False
    ) -> None:
        """Set the attention of every component that has it; the others keep theirs.

        Args:
            attn_implementation: `eager`, `sdpa`, `flash_attention_2`, ...
            allow_all_kernels: As in Transformers.

        Raises:
            ValueError: No component can.
        """
        refused = {}
        for name, model in zip(self.component_names, self.components, strict=True):
            try:
                model.set_attn_implementation(attn_implementation, allow_all_kernels)
            except ValueError as error:
                refused[name] = error
        if len(refused) == len(self.components):
            raise ValueError(
                f"No component takes the attention '{attn_implementation}': {refused}."
            )
        for name in refused:
            logger.info("'%s' has no attention '%s'; it keeps its own", name, attn_implementation)
        self.config._attn_implementation_internal = attn_implementation

    def get_output_embeddings(self) -> nn.Module | None:
        """The new head, or None where the components' heads are mixed."""
        return getattr(self, "new_head", None)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, *args: object, **kwargs: object
    ) -> nn.Module:
        """Resize every component's embedding and head (and a new head), as Transformers does."""
        if new_num_tokens is None:
            return self.embedding
        for k, model in enumerate(self.components):
            model.resize_token_embeddings(new_num_tokens, *args, **kwargs)
            self.config.components[k]["vocab_size"] = model.config.vocab_size
        if self.config.head == "new":
            self.new_head = self._get_resized_lm_head(self.new_head, new_num_tokens)
        self.config.vocab_size = min(model.config.vocab_size for model in self.components)
        return self.embedding

    def save_pretrained(self, save_directory: str, **kwargs: object) -> None:
        """Save the hybrid with its components and, if it has one, its tokenizer.

        Raises:
            RuntimeError: A search still parameterises the mixture weights.
        """
        if not isinstance(self.mixture, FixedMixture):
            raise RuntimeError(
                "The mixture weights are still being searched: fix them with "
                "hybrid.set_mixture_weights(hybrid.mixture_weights) before saving."
            )
        super().save_pretrained(save_directory, **kwargs)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(save_directory)
