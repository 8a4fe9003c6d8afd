"""What the block runner must know about an architecture family, and nothing else.

Transformers already runs each family's layers with its own masks, rotary tables and caches. A
`FamilySpec` only says where the parts of its backbone are, and which of them act on the *input*
of the backbone: those must act once per hybrid, not once per block.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FamilySpec:
    """Where the parts of one family's causal language model are.

    All names but `backbone` are attributes of the backbone.
    """

    model_type: str
    """The family's name in Transformers (`config.model_type`)."""
    backbone: str = "model"
    """Dotted path from the causal LM to the module that owns the layer list."""
    layers: str = "layers"
    """The list of layers."""
    norm: str = "norm"
    """The final norm."""
    positions: str | None = None
    """Learned position embeddings that are added to the input; they also limit the length."""
    input_dropout: str | None = None
    """Dropout on the input of the backbone."""
    input_scale: str | None = None
    """A buffer that multiplies the input of the backbone."""
    input_projection: str | None = None
    """A projection of the input of the backbone."""
    output_projection: str | None = None
    """A projection after the final norm."""
    cache_argument: str = "past_key_values"
    """The name under which the backbone's forward takes its cache."""
    takes_positions: bool = True
    """Whether the backbone's forward takes `position_ids`."""
    recurrent_mask: bool = False
    """Whether the backbone wants the padding mask of the new tokens only."""
