"""Runs in zip files: written with what explains them, and read again as runs."""

from manticore.archive.export import export_run
from manticore.archive.importing import import_run

__all__ = ["export_run", "import_run"]
