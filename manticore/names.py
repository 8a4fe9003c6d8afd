"""One list of every kind of thing that has a name, and one way to say that a name is unknown.

To add a strategy, a projector, a stage or a task is to write it and to add its entry here. Flags,
form fields, error messages and tables read these lists. An entry names where its thing is defined,
and that module is imported when the thing is first used: what torch needs, listing does not.

A registry is a mapping that can be changed, so a module of one's own can add to it:

    STRATEGIES["mine"] = Strategy(home=MyStrategy, about="How mine moves the mixture weights.")

Commands and the workers of runs are processes of their own. $MANTICORE_PLUGINS names the modules,
with commas between, that they import for such entries.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from manticore.registry import Entry, NameIn, Registry, UnknownNameError, choose

__all__ = [
    "LONG_RANGE_TASKS",
    "PROJECTORS",
    "STAGES",
    "STRATEGIES",
    "TASKS",
    "TRACKERS",
    "VIEWS",
    "Entry",
    "NameIn",
    "Registry",
    "Stage",
    "Strategy",
    "UnknownNameError",
    "choose",
    "task_registry",
]


@dataclass(frozen=True, kw_only=True)
class Strategy(Entry):
    """A search strategy. `home` is a class on `manticore.search.strategy.Strategy`.

    Attributes:
        gradient: Whether mixture weights follow a gradient.
        held_out: Whether it judges mixture weights on a part of the training text that no other
            weight learns from.
        programs: Whether it can find mixture weights on MAD tasks, to be used on a text.
        options: Options of a search that mean something to it and not to every strategy.
        defaults: Its own defaults, where they differ from those of `SearchConfig`.
    """

    gradient: bool = False
    held_out: bool = False
    programs: bool = True
    options: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)


_DESCENT = frozenset({"mixture_lr", "mixture_schedule", "tied", "entropy"})
_PRUNING = frozenset({"prune_below", "prune_after", "prune_steps"})

STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    {
        "darts": Strategy(
            home="manticore.search.darts:Darts",
            about="Softmax logits descend the loss together with all other weights.",
            gradient=True,
            options=_DESCENT | _PRUNING,
        ),
        "darts-bilevel": Strategy(
            home="manticore.search.darts:BilevelDarts",
            about="The same on held-out batches, alternating with the other weights.",
            gradient=True,
            held_out=True,
            options=_DESCENT | _PRUNING | {"second_order", "held_out"},
        ),
        "gaea": Strategy(
            home="manticore.search.gaea:Gaea",
            about="Exponentiated gradient on the simplex.",
            gradient=True,
            options=_DESCENT | _PRUNING,
            defaults={"mixture_lr": 0.1},
        ),
        "dash": Strategy(
            home="manticore.search.dash:Dash",
            about="Gumbel-softmax with a falling temperature.",
            gradient=True,
            options=_DESCENT | _PRUNING | {"temperature"},
        ),
        "routed": Strategy(
            home="manticore.search.routed:Routed",
            about="Every token its own mixture weights, from a router that is fitted first.",
            programs=False,
            options=frozenset({"mixture_lr", "mixture_schedule", "tied", "entropy", "router"}),
        ),
        "probe": Strategy(
            home="manticore.search.probe:Probe",
            about="Measured line search towards the corners, without gradients.",
            held_out=True,
            options=_PRUNING | {"tied", "entropy", "held_out", "probe_every", "probe_batches"},
        ),
        "random": Strategy(
            home="manticore.search.candidates:RandomSearch",
            about="Random points with shared weights; the best on held-out text wins.",
            held_out=True,
            options=frozenset({"tied", "held_out", "candidates", "probe_batches"}),
            defaults={"probe_batches": 8},
        ),
        "sweep": Strategy(
            home="manticore.search.candidates:AlphaGrid",
            about="A grid of points with shared weights; the best on held-out text wins.",
            held_out=True,
            options=frozenset({"tied", "held_out", "grid", "probe_batches"}),
            defaults={"probe_batches": 8},
        ),
        "fixed": Strategy(
            home="manticore.search.fixed:Fixed",
            about="Mixture weights stay as they are.",
            programs=False,
        ),
    },
)


PROJECTORS: Registry[Entry] = Registry(
    "projector",
    {
        "linear": Entry(
            home="manticore.hybrid.projectors:LinearProjector",
            about="One matrix, as in the paper.",
        ),
        "identity": Entry(
            home="manticore.hybrid.projectors:IdentityProjector",
            about="No weights: pads or truncates to the width.",
        ),
        "mlp": Entry(
            home="manticore.hybrid.projectors:MLPProjector",
            about="Two layers around a nonlinearity.",
        ),
        "low-rank": Entry(
            home="manticore.hybrid.projectors:LowRankProjector",
            about="Pads or truncates, and corrects through 32 channels.",
        ),
    },
)


@dataclass(frozen=True, kw_only=True)
class Stage(Entry):
    """A stage of a run. `home` is a function as `manticore.runs.stages.StageFunction` has it.

    Attributes:
        options: Where its options are defined, as `package.module:NAME`, a class on
            `manticore.config.options.Options`; or the class itself.
        details: What else its help says.
        needs_text: Whether it works on a text.
        starts_from: `components`, where it builds a hybrid or takes a run's; `run`, where it
            continues from a run.
        makes: What counts of its result: `weights`, where later stages continue from them;
            `mixture`, where fine-tuning takes the mixture weights and no others from it; `metrics`,
            where it leaves the hybrid as it was.
        original: Whether, given a run that has found mixture weights, it takes those but starts
            from the other weights as they were before that run.
    """

    options: Any
    details: str = ""
    needs_text: bool = True
    starts_from: Literal["components", "run"] = "components"
    makes: Literal["weights", "mixture", "metrics"] = "weights"
    original: bool = False

    def load_options(self) -> Any:
        """The pydantic model of its options."""
        return Entry(home=self.options).load()


STAGES: Registry[Stage] = Registry(
    "stage",
    {
        "pretrain-projectors": Stage(
            home="manticore.train.stage:train",
            options="manticore.config.training:PretrainConfig",
            about="Train the projectors of a hybrid on general text, its components frozen.",
        ),
        "program": Stage(
            home="manticore.programming.program:program",
            options="manticore.config.programming:ProgramConfig",
            about="Get the mixture weights from MAD tasks rather than from the target text.",
            details="Each task is searched on the hybrid's own blocks, and what the tasks find is "
            "combined. Then `manticore finetune RUN --data TEXT` trains the programmed hybrid on "
            "its target.",
            needs_text=False,
            makes="mixture",
        ),
        "search": Stage(
            home="manticore.train.stage:train",
            options="manticore.config.search:SearchConfig",
            about="Learn the mixture weights of a hybrid by gradient descent.",
            makes="mixture",
        ),
        "finetune": Stage(
            home="manticore.train.stage:train",
            options="manticore.config.training:FinetuneConfig",
            about="Train everything but the mixture weights.",
            details="After a search or programming it takes the mixture weights from the run and "
            "all other weights from before the run; after another stage it continues from the "
            "weights of the run.",
            starts_from="run",
            original=True,
        ),
        "evaluate": Stage(
            home="manticore.train.evaluating:evaluate",
            options="manticore.config.training:EvaluateConfig",
            about="Measure a hybrid next to each of its components.",
            starts_from="run",
            makes="metrics",
        ),
    },
)
"""In the order in which a recipe goes through them."""


TASKS: Registry[Entry] = Registry(
    "MAD task",
    {
        "in-context-recall": Entry(
            home="manticore.tasks.in_context_recall:TASK",
            about="Give the value that went with this key earlier in the sequence.",
        ),
        "fuzzy-in-context-recall": Entry(
            home="manticore.tasks.fuzzy_in_context_recall:TASK",
            about="Give the value of several tokens that went with this key of several tokens.",
        ),
        "noisy-in-context-recall": Entry(
            home="manticore.tasks.noisy_in_context_recall:TASK",
            about="Give the value that went with this key earlier, with noise in between.",
        ),
        "selective-copying": Entry(
            home="manticore.tasks.selective_copying:TASK",
            about="Repeat the tokens that came among blanks, in their order.",
        ),
        "compression": Entry(
            home="manticore.tasks.compression:TASK",
            about="Restore the whole sequence from its last position alone.",
        ),
        "memorization": Entry(
            home="manticore.tasks.memorization:TASK",
            about="Give the value of this key, which is the same in all sequences.",
        ),
    },
)
"""`home` is a `manticore.tasks.Task`; `about` says what it asks of a model."""


LONG_RANGE_TASKS: Registry[Entry] = Registry(
    "long-range task",
    {
        "listops": Entry(
            home="manticore.tasks.lra.listops:TASK",
            about="Work out a nested expression of minima, maxima, medians and sums.",
        ),
        "text": Entry(
            home="manticore.tasks.lra.byte_text:TASK",
            about="Tell what kind of text this is, from its bytes.",
        ),
        "retrieval": Entry(
            home="manticore.tasks.lra.byte_retrieval:TASK",
            about="Tell whether two texts belong together, each read on its own, byte by byte.",
        ),
        "image": Entry(
            home="manticore.tasks.lra.grayscale_image:TASK",
            about="Tell what an image shows, from its gray values row by row.",
        ),
        "pathfinder": Entry(
            home="manticore.tasks.lra.pathfinder:TASK",
            about="Tell whether a dashed path joins two dots in an image, read row by row.",
        ),
        "path-x": Entry(
            home="manticore.tasks.lra.pathfinder:PATH_X",
            about="Tell whether a dashed path joins two dots in an image of 128 by 128 pixels.",
        ),
    },
)
"""The tasks of Long Range Arena (arXiv 2011.04006), which classify sequences. As for `TASKS`."""


def task_registry(name: object) -> Registry[Entry]:
    """The list that a task is in; `TASKS` for a name that is in neither."""
    return LONG_RANGE_TASKS if name in LONG_RANGE_TASKS else TASKS


TRACKERS: Registry[Entry] = Registry(
    "tracker",
    {
        "tensorboard": Entry(home="tensorboard", about="Files in the run's folder."),
        "trackio": Entry(home="trackio", about="A local dashboard."),
        "wandb": Entry(home="wandb", about="Weights & Biases."),
    },
)
"""`home` is the package that accelerate needs."""


VIEWS: Registry[Entry] = Registry(
    "view",
    {
        "notebook": Entry(
            home="manticore.views.notebook:watch",
            about="Figures that move while the kernel stays free.",
        ),
        "terminal": Entry(
            home="manticore.views.terminal.watching:watch",
            about="Bars and numbers until the run ends or Ctrl-C.",
        ),
    },
)
"""Where a run can be watched. `home` is a function of a run."""

PLUGINS_VARIABLE = "MANTICORE_PLUGINS"


def _import_plugins() -> None:
    """Import the modules that add entries of their own.

    Raises:
        ImportError: A module cannot be imported.
    """
    for module in os.environ.get(PLUGINS_VARIABLE, "").split(","):
        try:
            if module.strip():
                import_module(module.strip())
        except ImportError as error:
            raise ImportError(
                f"${PLUGINS_VARIABLE} names {module.strip()!r}, which cannot be imported: {error}. "
                "Correct the name or its place in $PYTHONPATH, or unset the variable."
            ) from error


# Last, as those modules import this one.
_import_plugins()
