"""The bundled components: small pretrained language models that ship with the package."""

from manticore.zoo.registry import UnknownZooModelError, zoo_card, zoo_names, zoo_path

__all__ = ["UnknownZooModelError", "zoo_card", "zoo_names", "zoo_path"]
