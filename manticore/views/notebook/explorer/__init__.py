"""The explorer in a cell: pick, mix by hand, program, search, watch and chat."""

from manticore.views.notebook.explorer.cell import Explorer, explorer

__all__ = ["Explorer", "explorer"]
