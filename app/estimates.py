"""What the run of a form will take, in one line that follows the form."""

import html
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from manticore.components.facts import Facts
from manticore.runs import Run, RunConfig, runs
from manticore.runs.gallery import is_gallery_run
from manticore.runs.machine import Machine, this_machine
from manticore.runs.speed import Speed, estimate_here, speed_of
from manticore.train.estimate import Estimate
from manticore.views.wording import about, explain, gigabytes

from .page import ALL_AT_ONCE, Page

RECENT = 12
"""Earlier runs that tell how fast this machine is."""
_FEW = 0.8
"""Share of the memory above which there is little left for anything else."""


class Estimates:
    """What runs will take, by what earlier runs of the page took.

    Args:
        page: What the tabs share.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self._speeds: dict[str, Speed | None] = {}

    def line(self, config: RunConfig) -> str:
        """What a run will take, as HTML.

        Args:
            config: What a form describes.
        """
        facts = self._facts(config, wait=True)
        if facts is None:
            known = self.page.known
            wrong = any(known.of(name, wait=False).problem for name in config.components)
            return _faint(
                "A component cannot be loaded: its card says why, and what to do."
                if wrong
                else "How long it takes is known when the components are loaded."
            )
        machine = this_machine()
        said, speed = estimate_here(config, facts, self._earlier(machine))
        memory = gigabytes(said.memory.total)
        if said.memory.total > machine.memory:
            return _note(
                f"This needs about {memory} of memory, and {machine} has "
                f"{gigabytes(machine.memory)}: {_remedy(said)}."
            )
        if speed is None and machine.has_gpu:
            told = f"About {memory} of memory on {machine}"
        else:
            told = f"About {about(said.run_s)} on {machine}, {memory} of memory"
        few = said.memory.total > _FEW * machine.memory
        return _details(
            f"{told}{' of ' + gigabytes(machine.memory) if few else ''}.",
            _behind(config, said, speed, machine),
        )

    def _facts(self, config: RunConfig, *, wait: bool) -> list[Facts] | None:
        """The facts of all components; None where one is not known."""
        known = [self.page.known.of(name, wait=wait).facts for name in config.components]
        return [facts for facts in known if facts] if all(known) else None

    def _earlier(self, machine: Machine) -> list[Speed]:
        """Speeds of the newest runs of the page, newest first."""
        speeds = []
        for run in runs(self.page.runs.root)[:RECENT]:
            if is_gallery_run(run.id):  # It was done on another machine.
                continue
            if run.id not in self._speeds:
                speed = self._speed(self.page.runs.find(run.id))
                if run.is_alive:
                    speeds.append(speed)
                    continue
                self._speeds[run.id] = speed
            speeds.append(self._speeds[run.id])
        return [speed for speed in speeds if speed]

    def _speed(self, run: Run | None) -> Speed | None:
        facts = None if run is None else self._facts(run.config, wait=False)
        return None if run is None or facts is None else speed_of(run, facts)


def estimate_line(
    page: Page, shown: gr.HTML, inputs: list[Component], config_from: Callable[..., RunConfig]
) -> None:
    """Have a line say what the run of a form will take, whenever the form changes.

    Args:
        page: What the tabs share.
        shown: The line.
        inputs: Inputs of the form, in the order of `config_from`.
        config_from: Makes the configuration; ValueError, LookupError and OSError are shown.
    """
    estimates = Estimates(page)

    def write(*values: Any) -> str:
        try:
            return estimates.line(config_from(*values))
        except (ValueError, LookupError, OSError) as error:
            return _faint(explain(error))

    # When the page is opened, not when it is laid out: a server answers before it reads runs.
    gr.on(None, write, inputs, shown, **ALL_AT_ONCE)
    page.shown.change(write, inputs, shown, **ALL_AT_ONCE)


def _behind(config: RunConfig, said: Estimate, speed: Speed | None, machine: Machine) -> str:
    """The numbers behind an estimate, and what they rest on."""
    parts = {
        "the program": said.memory.program,
        "weights": said.memory.weights,
        "training state": said.memory.training,
        "activations": said.memory.activations,
    }
    memory = ", ".join(f"{name} {gigabytes(size)}" for name, size in parts.items())
    learning = f"{said.learning / 1e6:.1f} M of {said.parameters / 1e6:.1f} M parameters learn"
    if speed is None and machine.has_gpu:
        basis = "The time is known after a first run on this GPU"
    elif speed is None:
        basis = "The time is that of a common processor: a first run tells how fast this one is"
    elif speed.components == frozenset(config.components):
        basis = "By an earlier run of these components here"
    else:
        basis = "By an earlier run of other components here"
    step = "" if speed is None and machine.has_gpu else f" A step takes {about(said.step_s)}."
    return f"{basis}.{step} {learning}. Memory: {memory}."


def _remedy(said: Estimate) -> str:
    """What would make a run small enough: what helps most."""
    memory = said.memory
    parts = {
        "choose fewer sequences per step, or shorter ones": memory.activations,
        "freeze the components (component learning rate 0), or choose smaller ones": (
            memory.training
        ),
        "choose smaller components": memory.weights,
    }
    return max(parts, key=lambda remedy: parts[remedy])


def _details(told: str, behind: str) -> str:
    return (
        f'<details class="estimate"><summary>{html.escape(told)}</summary>'
        f"<p>{html.escape(behind)}</p></details>"
    )


def _faint(told: str) -> str:
    return f'<p class="estimate faint">{html.escape(told)}</p>'


def _note(told: str) -> str:
    return f'<div class="estimate note bad" role="status">{html.escape(told)}</div>'
