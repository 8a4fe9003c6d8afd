"""Manticore: pretrained hybrid language models, searched and explored.

Axes in shape comments: B batch, T time, D width, d_k a component's width, N blocks (B in the
maths), K components, V vocabulary.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The functions `runs` and `search` stand over the packages of the same names: those are imported
# first, inside `api`, so that no later import puts them back.
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

if TYPE_CHECKING:
    from manticore.components.loading import load_component
    from manticore.data import load_text
    from manticore.evaluate import alignment_error, perplexity
    from manticore.hybrid import ManticoreConfig, ManticoreForCausalLM, build_hybrid
    from manticore.recipes.recipe import Recipe
    from manticore.recipes.reproducing import reproduce
    from manticore.recipes.running import run_recipe
    from manticore.recipes.sweeping import sweep
    from manticore.suite.suite import mad_suite

__version__ = "0.1.0"

# Imported on first use: what needs torch takes seconds, and watching a run does not need it.
_HOMES = {
    "ManticoreConfig": "manticore.hybrid",
    "ManticoreForCausalLM": "manticore.hybrid",
    "Recipe": "manticore.recipes.recipe",
    "alignment_error": "manticore.evaluate",
    "build_hybrid": "manticore.hybrid",
    "load_component": "manticore.components.loading",
    "load_text": "manticore.data",
    "mad_suite": "manticore.suite.suite",
    "perplexity": "manticore.evaluate",
    "reproduce": "manticore.recipes.reproducing",
    "run_recipe": "manticore.recipes.running",
    "sweep": "manticore.recipes.sweeping",
}

__all__ = [
    "ManticoreConfig",
    "ManticoreForCausalLM",
    "Recipe",
    "Run",
    "alignment_error",
    "build_hybrid",
    "evaluate",
    "finetune",
    "get_run",
    "load_component",
    "load_text",
    "mad_suite",
    "perplexity",
    "pretrain_projectors",
    "program",
    "reproduce",
    "run_recipe",
    "runs",
    "search",
    "sweep",
    "trust",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manticore' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
