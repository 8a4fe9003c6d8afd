"""What the block runner must know about an architecture family, and nothing else.

Transformers already runs each family's layers with its own masks, rotary tables and caches. A
`FamilySpec` only says where the parts of its backbone are, and which of them act on the *input*
of the backbone: those must act once per hybrid, not once per block.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FamilySpec:
    """Where the parts of one family's causal language model are.

    All names but `model_type`, `backbone`, `cache_argument` and `length_limit` are attributes of
    the backbone.
    """

    model_type: str
    """The family's name in Transformers (`config.model_type`)."""
    backbone: str = "model"
    """Dotted path from the causal LM to the module that owns the layer list."""
    layers: str = "layers"
    """The list of layers."""
    norm: str | None = "norm"
    """The final norm; None where every layer ends in a norm of its own."""
    positions: str | None = None
    """Position embeddings that are added to the input."""
    input_modules: tuple[str, ...] = ()
    """Dropout and norms on the input of the backbone."""
    input_scale: str | None = None
    """A buffer or a number that multiplies the input of the backbone."""
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
    length_limit: str | None = None
    """The entry of the configuration that bounds the length of a sequence, where the family fails
    beyond it: a table of learned positions, of rotary angles or of ALiBi biases with so many rows.
    None where positions are computed for any length, however badly the model may extrapolate."""
