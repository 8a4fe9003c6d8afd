"""Manticore: pretrained hybrid language models, searched and explored.

Axes in shape comments: B batch, T time, D width, d_k a component's width, N blocks (B in the
maths), K components, V vocabulary.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from manticore.importing import without_collecting

if TYPE_CHECKING:
    from manticore.api import (
        Run,
        evaluate,
        finetune,
        get_run,
        pretrain_projectors,
        program,
        runs,
        search,
        trust,
    )
    from manticore.archive import export_run, import_run
    from manticore.components.loading import load_component
    from manticore.data import load_text
    from manticore.evaluate import alignment_error, perplexity
    from manticore.hybrid import (
        ManticoreConfig,
        ManticoreForCausalLM,
        ManticoreForSequenceClassification,
        build_hybrid,
    )
    from manticore.recipes.recipe import Recipe
    from manticore.recipes.reproducing import reproduce
    from manticore.recipes.running import run_recipe
    from manticore.recipes.sweeping import sweep
    from manticore.suite.lra import lra_suite
    from manticore.suite.mad import mad_suite
    from manticore.views.colored_text import show_text
    from manticore.views.comparison import compare
    from manticore.views.notebook.explorer import explorer

__version__ = "0.1.0"

# Imported on first use: what needs torch takes seconds, and a list of runs does not need it.
_HOMES = {
    "ManticoreConfig": "manticore.hybrid",
    "ManticoreForCausalLM": "manticore.hybrid",
    "ManticoreForSequenceClassification": "manticore.hybrid",
    "Recipe": "manticore.recipes.recipe",
    "Run": "manticore.api",
    "alignment_error": "manticore.evaluate",
    "build_hybrid": "manticore.hybrid",
    "compare": "manticore.views.comparison",
    "evaluate": "manticore.api",
    "explorer": "manticore.views.notebook.explorer",
    "export_run": "manticore.archive",
    "finetune": "manticore.api",
    "get_run": "manticore.api",
    "import_run": "manticore.archive",
    "load_component": "manticore.components.loading",
    "load_text": "manticore.data",
    "lra_suite": "manticore.suite.lra",
    "mad_suite": "manticore.suite.mad",
    "perplexity": "manticore.evaluate",
    "pretrain_projectors": "manticore.api",
    "program": "manticore.api",
    "reproduce": "manticore.recipes.reproducing",
    "run_recipe": "manticore.recipes.running",
    "runs": "manticore.api",
    "search": "manticore.api",
    "show_text": "manticore.views.colored_text",
    "sweep": "manticore.recipes.sweeping",
    "trust": "manticore.api",
}

__all__ = [
    "ManticoreConfig",
    "ManticoreForCausalLM",
    "ManticoreForSequenceClassification",
    "Recipe",
    "Run",
    "alignment_error",
    "build_hybrid",
    "compare",
    "evaluate",
    "explorer",
    "export_run",
    "finetune",
    "get_run",
    "import_run",
    "load_component",
    "load_text",
    "lra_suite",
    "mad_suite",
    "perplexity",
    "pretrain_projectors",
    "program",
    "reproduce",
    "run_recipe",
    "runs",
    "search",
    "show_text",
    "sweep",
    "trust",
]


class _Package(ModuleType):
    """This package, in which `search`, `runs` and `evaluate` are the functions of these names.

    Importing the packages of the same names would otherwise put them in their place.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore' has no attribute '{name}'")
    with without_collecting():
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
