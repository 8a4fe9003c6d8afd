"""What is known of a component before its weights are loaded: its family, its shape, its size.

This module imports neither torch nor Transformers; `examination` finds the same facts of components
that are not bundled, and needs both.
"""

import json
from dataclasses import dataclass

from manticore.components.zoo import zoo_card, zoo_path


@dataclass(frozen=True)
class Facts:
    """Family, shape and size of a component.

    Attributes:
        family: Its architecture as Transformers names it.
        parameters: Number of its parameters, tied ones once.
        depth: Number of its layers.
        width: Width of its hidden states.
        vocabulary: Number of tokens that it has embeddings for.
        tied: Whether its head shares its weights with the embeddings.
        context: Tokens of the longest text that it was made for; None where any length will do.
        languages: Languages that its model card names, as codes.
    """

    family: str
    parameters: int
    depth: int
    width: int
    vocabulary: int
    tied: bool = True
    context: int | None = None
    languages: tuple[str, ...] = ()

    @property
    def multiplied(self) -> int:
        """Parameters that every token is multiplied with: all but embeddings that are looked up."""
        return self.parameters - (0 if self.tied else self.vocabulary * self.width)


def zoo_facts(name: str) -> Facts:
    """The facts of a bundled component.

    Args:
        name: Component's name, with or without the prefix `zoo:`.

    Raises:
        UnknownNameError: No component has that name; the message suggests the nearest.
        OSError, ValueError, KeyError: It has no card, or one that cannot be read.
    """
    card = zoo_card(name)
    config = json.loads((zoo_path(name) / "config.json").read_text(encoding="utf-8"))
    return Facts(
        card["model_type"],
        card["parameters"],
        card["depth"],
        card["width"],
        config["vocab_size"],
        config.get("tie_word_embeddings", True),
        config.get("max_position_embeddings"),
        (card["language"],) if card.get("language") else (),
    )
