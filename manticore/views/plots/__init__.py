"""Plotly figures from a run's events: the one place where page and notebook get their pictures."""

from manticore.views.plots.loss import loss_figure
from manticore.views.plots.mixture import mixture_figure, mixture_heatmap
from manticore.views.plots.path import path_figure
from manticore.views.plots.perplexity import outcome_figure, perplexity_figure, perplexity_label
from manticore.views.plots.tasks import task_accuracies, task_figure
from manticore.views.plots.theme import (
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
    "path_figure",
    "perplexity_figure",
    "perplexity_label",
    "short_names",
    "task_accuracies",
    "task_figure",
]
