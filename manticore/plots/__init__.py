"""Plotly figures from a run's events: the one place where page and notebook get their pictures."""

from manticore.plots.loss import loss_figure
from manticore.plots.mixture import mixture_figure, mixture_heatmap
from manticore.plots.perplexity import outcome_figure, perplexity_figure, perplexity_label
from manticore.plots.tasks import task_accuracies, task_figure
from manticore.plots.theme import (
    component_colour,
    empty_figure,
    short_names,
)

__all__ = [
    "component_colour",
    "empty_figure",
    "loss_figure",
    "mixture_figure",
    "mixture_heatmap",
    "outcome_figure",
    "perplexity_figure",
    "perplexity_label",
    "short_names",
    "task_accuracies",
    "task_figure",
]
