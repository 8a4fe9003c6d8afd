"""The landscape of a hybrid: one ES module for the page and for notebooks, and what it is given."""

from manticore.views.drawing import module_source
from manticore.views.landscape.scene import landscape_scene

MODULE = module_source("landscape")
"""Source of the ES module that draws landscapes."""

__all__ = ["MODULE", "landscape_scene"]
