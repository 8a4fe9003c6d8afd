"""Landscapes that are measured in the background, one at a time, for whoever looks at them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.runs import Run
from manticore.views.landscape import landscape_scene
from manticore.views.wording import explain

from .measuring import compared, held_out
from .open_runs import hybrid_of

if TYPE_CHECKING:
    from manticore.evaluate.landscape import Point

KEPT = 32
"""Landscapes that are remembered."""
FORGOTTEN = 15.0
"""Seconds after which nobody is waiting any more, as pages ask about once a second."""


@dataclass
class _Landscape:
    points: "list[Point]" = field(default_factory=list)
    wanted: float = field(default_factory=time.monotonic)
    begun: bool = False
    error: str = ""


class Landscapes:
    """The landscapes of runs that are done."""

    def __init__(self) -> None:
        # One at a time: a search may have the other core.
        self._worker = ThreadPoolExecutor(1, "landscapes")
        self._known: OrderedDict[tuple[Path, int, str], _Landscape] = OrderedDict()
        self._changing = threading.Lock()

    def scene(self, run: Run, text: str) -> dict[str, Any]:
        """What is measured so far, as a scene, or `{"waiting": sentence}` or `{"error": sentence}`.

        Args:
            run: The run; its hybrid is measured from now on, unless that is known or being done.
            text: One of `measuring.text_choices`.
        """
        mixture = run.newest_events().get("mixture")
        if run.status.state != "done" or mixture is None:
            return {"waiting": "The landscape is measured when the run is done."}
        components = run.config.components
        if len(components) not in {2, 3}:
            return {"error": "A landscape is drawn for two or three components."}
        known = self._start(run, text, mixture["weights"])
        if known.error:
            return {"error": known.error}
        if not known.points:
            return {"waiting": "The first points are being measured."}
        from manticore.evaluate.landscape import landscape_points

        return landscape_scene(
            components,
            run.config.n_blocks,
            list(known.points),
            total=len(landscape_points(run.config.n_blocks, len(components))),
            as_found=compared(run, text)[0][1],
            scene_id=run.id,
        )

    def _start(self, run: Run, text: str, base: Sequence[Sequence[float]]) -> _Landscape:
        key = (run.folder, run.hybrid_source().stat().st_mtime_ns, text)
        with self._changing:
            known = self._known.setdefault(key, _Landscape())
            self._known.move_to_end(key)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
            known.wanted = time.monotonic()
            if not known.begun:
                known.begun = True
                self._worker.submit(self._measure, known, run, text, base)
        return known

    def _measure(
        self, known: _Landscape, run: Run, text: str, base: Sequence[Sequence[float]]
    ) -> None:
        from manticore.evaluate.landscape import measure_landscape

        try:
            ids = held_out(run.folder, text)
            known.points.clear()
            for point in measure_landscape(hybrid_of(run), ids, base):
                known.points.append(point)
                if time.monotonic() - known.wanted > FORGOTTEN:
                    known.begun = False
                    return
        except (OSError, ValueError, RuntimeError) as error:
            known.error = explain(error)
