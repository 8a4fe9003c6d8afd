"""The diagram of a hybrid: one ES module for the page and for notebooks, and what it is given."""

from importlib.resources import files

from manticore.views.diagram.of_run import scene_of_run
from manticore.views.diagram.scene import Reading, scene_of

MODULE = files("manticore.views.diagram").joinpath("diagram.js").read_text(encoding="utf-8")
"""Source of the ES module that draws scenes."""

__all__ = ["MODULE", "Reading", "scene_of", "scene_of_run"]
