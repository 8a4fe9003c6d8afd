"""The diagram of a hybrid: one ES module for the page and for notebooks, and what it is given."""

from manticore.views.diagram.of_run import scene_of_run
from manticore.views.diagram.scene import Reading, scene_of
from manticore.views.drawing import module_source

MODULE = module_source("diagram")
"""Source of the ES module that draws scenes."""

__all__ = ["MODULE", "Reading", "scene_of", "scene_of_run"]
