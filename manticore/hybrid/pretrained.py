"""What Transformers expects of a model besides its forward: loading, saving, embeddings, attention.

A hybrid has one embedding and one head per component, so several of these apply to all of them.
"""

import logging
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import torch
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from manticore.components.building import one_at_a_time
from manticore.components.own_tokenizer import fit_tokenizer
from manticore.components.places import ComponentError
from manticore.hybrid.configuration import ManticoreConfig
from manticore.hybrid.mixture import FixedMixture, Mixture
from manticore.hybrid.parts import ComponentList, HybridEmbedding, plain_heads
from manticore.hybrid.projectors import BlockProjectors
from manticore.hybrid.routing import RoutedMixture

# Arguments of from_pretrained that say where the files are, the tokenizer's too.
_WHERE = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")

# Names of modules on the last hidden states; those that reconstruct initialize themselves.
_HEADS = ("new_norm", "new_head", "score")

logger = logging.getLogger(__name__)


class PretrainedHybrid(PreTrainedModel):
    """The base of every hybrid; `HybridBody` makes the parts that are declared here."""

    config_class = ManticoreConfig
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _keep_in_fp32_modules_strict = ["mixture"]  # noqa: RUF012, as Transformers has it

    _begun_from: ClassVar[str] = ""
    """Class of hybrids of another kind whose saved weights this one may begin with."""
    _fresh: ClassVar[tuple[str, ...]] = ()
    """Heads that those lack, and that then start at random."""
    _left_out: ClassVar[tuple[str, ...]] = ()
    """Heads of theirs that this one has no use for."""

    config: ManticoreConfig
    components: ComponentList
    projectors: BlockProjectors
    mixture: Mixture
    embedding: HybridEmbedding
    tokenizer: PreTrainedTokenizerBase | None

    if TYPE_CHECKING:
        # pyright sees the method's decorator, and not the method.
        def to(self, *args: Any, **kwargs: Any) -> Self:  # pyright: ignore
            """As in PyTorch."""
            ...

    # Loading and saving -------------------------------------------------------------------------

    @classmethod
    @one_at_a_time
    def from_pretrained(cls, source: str | PathLike[str] | None, *args: Any, **kwargs: Any) -> Self:
        """As in Transformers, but only from safetensors that hold every tensor of the hybrid.

        The tokenizer saved with the hybrid comes along as `.tokenizer`.

        Args:
            source: Folder or hub id of a saved hybrid; None with `config` and `state_dict`.
            args: As in Transformers.
            kwargs: As in Transformers. `ignore_mismatched_sizes=True` initializes tensors of other
                shapes instead of refusing them; `output_loading_info=True` gives a pair of the
                hybrid and a report.

        Raises:
            ValueError: Tensors are missing, unexpected or of another shape; or the weights are
                pickles.
            OSError: There are no weights.
        """
        if kwargs.setdefault("use_safetensors", True) is False:
            raise ValueError(
                "A hybrid is loaded from safetensors only, because a pickle can run code: leave "
                "use_safetensors out."
            )
        _refuse_pickles(source, kwargs.get("subfolder", ""))
        with_report = kwargs.pop("output_loading_info", False)
        lenient = kwargs.pop("ignore_mismatched_sizes", False)
        loaded: Any = super().from_pretrained(
            source,
            *args,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # They are in the report, and refused below.
            **kwargs,
        )
        hybrid, report = loaded
        _check_complete(source, _without_heads(hybrid, report), lenient)
        # Loading replaces parameters by ones that learn; given mixture weights do not.
        hybrid.mixture.requires_grad_(False)
        where = {name: kwargs[name] for name in _WHERE if name in kwargs}
        if source is not None and cached_file(
            source, "tokenizer_config.json", _raise_exceptions_for_missing_entries=False, **where
        ):
            tokenizer = AutoTokenizer.from_pretrained(source, **where)
            # Some classes add tokens of their own each time that they are loaded. A vocabulary that
            # was resized to less than its tokenizer's is its owner's affair.
            with suppress(ComponentError):
                tokenizer = fit_tokenizer(tokenizer, hybrid.config.vocab_size, str(source))
            hybrid.tokenizer = tokenizer
        return loaded if with_report else hybrid

    @one_at_a_time
    def save_pretrained(
        self, save_directory: str | PathLike[str], *args: Any, **kwargs: Any
    ) -> None:
        """Save the hybrid with its components and, if it has one, its tokenizer.

        Args:
            save_directory: The folder to write.
            args: As in Transformers.
            kwargs: As in Transformers.

        Raises:
            RuntimeError: A search still parameterizes the mixture weights.
        """
        if not self.mixture.is_settled:
            raise RuntimeError(
                "The mixture weights are still being searched: fix them with "
                "hybrid.set_mixture_weights(hybrid.mixture_weights) before saving."
            )
        super().save_pretrained(save_directory, *args, **kwargs)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(save_directory)

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Initialize what was not loaded.

        Transformers takes a class outside its own package for foreign code, and then passes over
        modules without parameters of their own, among them backbones that fill buffers in their
        layers which no file holds. So each component initializes itself first, as it does alone.
        """
        for model in self.components:
            model.initialize_weights()
        for projector in self.projectors.each():
            if not all(getattr(p, "_is_hf_initialized", False) for p in projector.parameters()):
                projector.reset("identity")
            mark_as_initialized(projector)
        super().initialize_weights()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, FixedMixture):
            nn.init.constant_(module.alpha, 1 / module.alpha.shape[1])
        elif any(module is own for head in self._heads() for own in head.modules()):
            super()._init_weights(module)

    def _heads(self) -> list[nn.Module]:
        """What stands on the last hidden states and belongs to no component."""
        found = (getattr(self, name, None) for name in _HEADS)
        return [head for head in found if head is not None]

    # Embeddings and heads -----------------------------------------------------------------------

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Refused: every component has its own.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(
            "A hybrid has one input embedding per component: use "
            "hybrid.components[k].set_input_embeddings(...)."
        )

    def get_output_embeddings(self) -> nn.Module | None:
        """The new head, or None where the components' heads are mixed."""
        return getattr(self, "new_head", None)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Resize every component's embedding and head (and a new head), as Transformers does."""
        if new_num_tokens is None:
            return self.get_input_embeddings()
        with plain_heads(self.components):
            for k, model in enumerate(self.components):
                model.resize_token_embeddings(new_num_tokens, *args, **kwargs)
                self.config.components[k]["vocab_size"] = model.config.vocab_size
        if self.get_output_embeddings() is not None:
            self.new_head = self._get_resized_lm_head(self.new_head, new_num_tokens)
        if isinstance(self.mixture, RoutedMixture):
            self.mixture.router.resize(new_num_tokens)
        self.config.vocab_size = min(model.config.vocab_size for model in self.components)
        return self.get_input_embeddings()

    # Attention ----------------------------------------------------------------------------------

    def set_attn_implementation(
        self, attn_implementation: str | dict[str, str], allow_all_kernels: bool = False
    ) -> None:
        """Set the attention of every component that has it; the others keep theirs.

        Args:
            attn_implementation: `eager`, `sdpa`, `flash_attention_2`, ...; one for all components.
            allow_all_kernels: As in Transformers.

        Raises:
            ValueError: No component has this attention, or there is more than one.
        """
        if not isinstance(attn_implementation, str):
            raise ValueError(
                f"attn_implementation={attn_implementation} is not one name: to give components "
                "different ones, call hybrid.components[k].set_attn_implementation(...)."
            )
        refused = {}
        for name, model in zip(self.config.component_names, self.components, strict=True):
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


def mark_as_initialized(module: nn.Module) -> None:
    """Tell Transformers not to initialize a module, nor what is in it."""
    for one in module.modules():
        cast(Any, one)._is_hf_initialized = True


def _refuse_pickles(source: str | PathLike[str] | None, subfolder: str) -> None:
    """Say why a folder without safetensors is not loaded, where Transformers only misses a file."""
    if source is None:
        return
    folder = Path(source) / subfolder
    pickles = sorted(folder.glob("*.bin"))
    if pickles and not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"The folder '{folder}' holds only pickled weights ({pickles[0].name}). A hybrid is "
            "loaded from safetensors only, because a pickle can run code: save it again with "
            "save_pretrained."
        )


def _without_heads(hybrid: PretrainedHybrid, report: dict[str, Any]) -> dict[str, Any]:
    """The report without the heads that differ, where a hybrid of the other kind was loaded."""
    if hybrid._begun_from not in (hybrid.config.architectures or ()):
        return report
    expected = {"missing_keys": hybrid._fresh, "unexpected_keys": hybrid._left_out}
    left = {
        kind: [key for key in report[kind] if key.split(".")[0] not in heads]
        for kind, heads in expected.items()
    }
    return {**report, **left}


def _check_complete(source: object, report: dict[str, Any], lenient: bool) -> None:
    """Refuse a saved hybrid whose tensors are not those that its configuration asks for."""
    wrong = []
    if report["missing_keys"]:
        wrong.append(f"lacks {_some(report['missing_keys'])}")
    if report["unexpected_keys"]:
        wrong.append(f"has {_some(report['unexpected_keys'])} too many")
    if report["mismatched_keys"] and not lenient:
        shapes = [
            f"{name} {tuple(has)}, not {tuple(wants)}"
            for name, has, wants in report["mismatched_keys"]
        ]
        wrong.append(f"has tensors of other shapes ({_some(shapes)})")
    if wrong:
        raise ValueError(
            f"The hybrid in '{source}' does not fit its config.json: it {', and '.join(wrong)}. It "
            "was cut short or changed after it was saved: save or copy it again. If another shape "
            "is wanted, as with num_labels, pass ignore_mismatched_sizes=True to start it afresh."
        )


def _some(names: Any) -> str:
    ordered = sorted(str(name) for name in names)
    rest = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return ", ".join(ordered[:3]) + rest
