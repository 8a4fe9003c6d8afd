"""The generic block runner: a family's own backbone, driven over a slice of its layers.

Each call makes a *view* of the backbone: a shallow copy that shares every parameter and submodule,
in which the layer list is a slice, and the parts that act on the input (position embeddings,
dropout, norm, scaling, projection) or on the output (final norm, projection) are neutral. The
family's own `forward` then does the rest: masks, rotary tables, sliding windows, caches. Views are
never kept, so adapters, resized embeddings, train/eval mode and gradient checkpointing of the real
model always hold.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, cast

import torch
from torch import nn
from transformers import Cache, PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from manticore.components.paused import PausedPass, paused_layers
from manticore.components.spec import FamilySpec


class _NoPositions(nn.Module):
    """Stands for learned position embeddings where they were added already."""

    def forward(self, *args: object, **kwargs: object) -> torch.Tensor:
        return torch.zeros(())


_NO_POSITIONS = _NoPositions()
_IDENTITY = nn.Identity()
_LAYER_KINDS = ("layer_types", "layers_block_type")


def _view(module: nn.Module, **replaced: nn.Module | None) -> nn.Module:
    """A shallow copy of `module` with some of its submodules replaced."""
    view = object.__new__(type(module))
    view.__dict__.update(module.__dict__)
    # An instance-level forward (device hooks) is bound to the original module.
    view.__dict__.pop("forward", None)
    view.__dict__["_modules"] = {**module._modules, **replaced}
    return view


def _tapped(layer: nn.Module, taken: list[torch.Tensor]) -> nn.Module:
    """A view of a layer that also puts the hidden states which enter it into a list."""

    def tap(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        taken.append(args[0] if args else kwargs["hidden_states"])

    view, key = _view(layer), id(tap)
    view.__dict__["_forward_pre_hooks"] = OrderedDict({**layer._forward_pre_hooks, key: tap})
    with_kwargs = layer._forward_pre_hooks_with_kwargs
    view.__dict__["_forward_pre_hooks_with_kwargs"] = OrderedDict({**with_kwargs, key: True})
    return view


def _tapped_layers(
    layers: nn.Module, taps: Sequence[int], taken: list[torch.Tensor] | None
) -> nn.Module:
    """A view of a layer list in which the layers with these indices are tapped."""
    tapped = {
        str(index): _tapped(cast("nn.ModuleList", layers)[index], cast("list", taken))
        for index in taps
    }
    return _view(layers, **tapped)


def _sliced_layers(layers: nn.Module, start: int, stop: int) -> nn.Module:
    """A view of a layer list with a slice of its layers."""
    view = _view(layers)
    kept = list(layers._modules.values())[start:stop]
    view.__dict__["_modules"] = {str(index): layer for index, layer in enumerate(kept)}
    return view


def _neutralize(view: nn.Module, scale: str) -> None:
    """Let a view multiply its input by one: `scale` is a buffer or a number of it."""
    buffer = view._buffers.get(scale)
    if buffer is not None:
        view.__dict__["_buffers"] = {**view._buffers, scale: torch.ones_like(buffer)}
    else:
        view.__dict__[scale] = 1.0


def _sliced_config(config: PreTrainedConfig, start: int, stop: int) -> PreTrainedConfig:
    """The configuration of a slice of layers.

    A backbone looks up the kind of a layer by its position in the layer list. Some families keep
    the list of kinds, others derive it from a period, so that it cannot be assigned; the map of
    aliases, which every lookup goes through, redirects all of them.
    """
    sliced = copy.copy(config)
    aliases = dict(config.attribute_map)
    for name in _LAYER_KINDS:
        kinds = getattr(config, name, None)
        if isinstance(kinds, list | tuple):
            aliases[name] = f"_sliced_{name}"
            vars(sliced)[aliases[name]] = list(kinds[start:stop])
    vars(sliced)["attribute_map"] = aliases
    return sliced


class BlockRunner:
    """Runs the three parts of one component: its embedding, a block of its layers, its head.

    Args:
        model: The component's causal language model. It is referred to, not owned.
        spec: Where the parts of its family are.
    """

    def __init__(self, model: PreTrainedModel, spec: FamilySpec) -> None:
        self.model = model
        self.spec = spec

    @property
    def backbone(self) -> nn.Module:
        """The module that owns the layer list."""
        return attrgetter(self.spec.backbone)(self.model)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return len(getattr(self.backbone, self.spec.layers))

    @property
    def max_length(self) -> int | None:
        """The longest sequence that the component can run, in tokens; None where nothing limits it.

        A limit is where the family's own code fails: the end of a table of positions. A component
        whose positions are computed for any length has none, whatever length it was trained on.
        """
        if self.spec.length_limit is None:
            return None
        return getattr(self.model.config, self.spec.length_limit)

    def _backbone_view(
        self,
        start: int,
        stop: int,
        *,
        keep_input: bool = False,
        keep_output: bool = False,
        taps: Sequence[int] = (),
        taken: list[torch.Tensor] | None = None,
    ) -> nn.Module:
        spec, backbone = self.spec, self.backbone
        layers = _tapped_layers(getattr(backbone, spec.layers), taps, taken)
        replaced: dict[str, nn.Module | None] = {spec.layers: _sliced_layers(layers, start, stop)}
        if not keep_input:
            if spec.positions:
                replaced[spec.positions] = _NO_POSITIONS
            replaced |= dict.fromkeys(spec.input_modules, _IDENTITY)
            if spec.input_projection:
                replaced[spec.input_projection] = None
        if not keep_output:
            if spec.norm:
                replaced[spec.norm] = _IDENTITY
            if spec.output_projection:
                replaced[spec.output_projection] = None
        view = _view(backbone, **replaced)
        if not keep_input and spec.input_scale:
            _neutralize(view, spec.input_scale)
        config = cast("PreTrainedConfig", backbone.config)
        view.__dict__["config"] = _sliced_config(config, start, stop)
        return view

    def embed(self, input_ids: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        """The component's own embedding of the tokens, as its first layer would see it.

        Args:
            input_ids: (B, T) token ids.
            position_ids: (B, T) or (1, T) positions.

        Returns:
            (B, T, d_k) hidden states.
        """
        positions = {"position_ids": position_ids} if self.spec.takes_positions else {}
        view = self._backbone_view(0, 0, keep_input=True)
        return view(input_ids=input_ids, use_cache=False, **positions)[0]

    def run(
        self,
        start: int,
        stop: int,
        hidden_states: torch.Tensor,
        *,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        cache: Cache | None,
        taps: Sequence[int] = (),
        taken: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Layers `start` to `stop` (exclusive) on hidden states of the component's width.

        Args:
            start: First layer of the slice.
            stop: Layer behind the last of the slice.
            hidden_states: (B, T, d_k).
            attention_mask: (B, past + T) padding mask, 0 where padded; None if nothing is.
            position_ids: (B, T) or (1, T) positions of the T new tokens.
            cache: A cache indexed by the layers' own indices, or None.
            taps: Indices of layers, in order, whose entering hidden states are put into `taken`.
            taken: A list for them.

        Returns:
            (B, T, d_k) hidden states, not normalized.
        """
        arguments = self._arguments(hidden_states.shape[1], attention_mask, position_ids, cache)
        view = self._backbone_view(start, stop, taps=taps, taken=taken)
        return view(inputs_embeds=hidden_states, **arguments)[0]

    def run_whole(
        self,
        input_ids: torch.Tensor,
        *,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        cache: Cache | None,
        taps: Sequence[int] = (),
        taken: list[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The whole component, as it is alone: its embedding, all layers and its head.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: As for `run`.
            position_ids: As for `run`.
            cache: As for `run`.
            taps: As for `run`.
            taken: As for `run`.

        Returns:
            (B, T, V_k) logits.
        """
        arguments = self._arguments(input_ids.shape[1], attention_mask, position_ids, cache)
        model: nn.Module = self.model
        if taps:
            backbone, name = self.backbone, self.spec.layers
            layers = _tapped_layers(getattr(backbone, name), taps, taken)
            model = self._model_view(_view(backbone, **{name: layers}))
        return model(input_ids=input_ids, **arguments).logits

    def start(
        self,
        input_ids: torch.Tensor,
        cuts: Sequence[int],
        *,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        cache: Cache | None,
    ) -> PausedPass:
        """The component's own forward over blocks that follow each other, pausing between them.

        Args:
            input_ids: (B, T) token ids.
            cuts: Layer indices where the blocks begin, and the one where the last of them ends.
            attention_mask: As for `run`.
            position_ids: As for `run`.
            cache: As for `run`.
        """
        arguments = self._arguments(input_ids.shape[1], attention_mask, position_ids, cache)
        first, name = cuts[0], self.spec.layers
        backbone = self.backbone
        if (first, cuts[-1]) != (0, self.depth):
            backbone = self._backbone_view(first, cuts[-1], keep_input=True, keep_output=True)
        layers = getattr(backbone, name)

        def forward(exchange: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
            pausing = paused_layers(layers, [cut - first for cut in cuts[:-1]], exchange)
            view = _view(backbone, **{name: _view(layers, **pausing)})
            return self._model_view(view)(input_ids=input_ids, **arguments).logits

        return PausedPass(forward)

    @property
    def pauses(self) -> bool:
        """Whether the component's forward can pause between its blocks.

        Not where layers are left out at random, nor where a backbone computes them again for the
        backward pass (a layer that does so itself is not paused meanwhile); and what follows the
        code from outside, a compiler, does not see it go on.
        """
        backbone = self.backbone
        if backbone.training and getattr(backbone, "layerdrop", 0):
            return False
        again = backbone.training and getattr(backbone, "gradient_checkpointing", False)
        layers = getattr(backbone, self.spec.layers)
        if again and not all(isinstance(layer, GradientCheckpointingLayer) for layer in layers):
            return False
        return not torch.compiler.is_compiling()

    def _arguments(
        self,
        n_new: int,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        cache: Cache | None,
    ) -> dict[str, Any]:
        """Arguments of the family's own forward besides its input."""
        spec = self.spec
        if spec.recurrent_mask and attention_mask is not None:
            # A recurrent state has no past positions to mask, and one new token is never padding.
            attention_mask = attention_mask[:, -n_new:] if n_new > 1 else None
        positions = {"position_ids": position_ids} if spec.takes_positions else {}
        return {
            "attention_mask": attention_mask,
            "use_cache": cache is not None,
            **positions,
            spec.cache_argument: cache,
        }

    def head(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Final norm, head and whatever the family does to its logits (soft-capping, ...).

        Args:
            hidden_states: (B, T, d_k) output of the last layer.

        Returns:
            (B, T, V_k) logits.
        """
        view = self._model_view(self._backbone_view(0, 0, keep_output=True))
        return view(inputs_embeds=hidden_states, use_cache=False).logits

    def normalized(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """What the head takes: the final norm, and a projection behind it where there is one.

        Args:
            hidden_states: (B, T, d_k) output of the last layer.

        Returns:
            (B, T, d) with the width of the head's input, d_k but where there is a projection.
        """
        view = self._backbone_view(0, 0, keep_output=True)
        return view(inputs_embeds=hidden_states, use_cache=False)[0]

    def _model_view(self, backbone: nn.Module) -> nn.Module:
        """A view of the whole model around a view of its backbone."""
        names = self.spec.backbone.split(".")
        parents: list[nn.Module] = [self.model]
        for name in names[:-1]:
            parents.append(getattr(parents[-1], name))
        view = backbone
        for parent, name in zip(reversed(parents), reversed(names), strict=True):
            view = _view(parent, **{name: view})
        return view


def cut_points(depth: int, n_blocks: int, name: str = "component") -> list[int]:
    """Boundaries of `n_blocks` slices of `depth` layers, as even as can be.

    Returns:
        n_blocks + 1 increasing layer indices from 0 to depth.

    Raises:
        ValueError: `n_blocks` is less than 1 or more than `depth`.
    """
    if not 1 <= n_blocks <= depth:
        raise ValueError(
            f"n_blocks={n_blocks} does not fit {name}, which has {depth} layers: "
            f"choose n_blocks from 1 to {depth}, the depth of the shallowest component."
        )
    return [round(i * depth / n_blocks) for i in range(n_blocks + 1)]
