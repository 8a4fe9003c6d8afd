"""The whole explorer in a cell; all that it does is visible as state, and as code."""

import html
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import traitlets

import manticore as mc
from manticore.hybrid import ManticoreForCausalLM
from manticore.hybrid.generation import tokenizer_of
from manticore.runs import Run
from manticore.runs.gallery import gallery_names, open_gallery
from manticore.views.diagram.of_run import scene_of_run
from manticore.views.diagram.scene import TEXT
from manticore.views.hybrid_html import hybrid_html
from manticore.views.notebook.chatting import ChatWidget
from manticore.views.notebook.explorer.build_tab import BuildTab
from manticore.views.notebook.explorer.code import Done
from manticore.views.notebook.explorer.program_tab import ProgramTab
from manticore.views.notebook.explorer.search_tab import SearchTab
from manticore.views.notebook.explorer.style import STYLE
from manticore.views.notebook.mixing import HybridWidget, mix
from manticore.views.panels import Snapshot
from manticore.views.wording import explain

if TYPE_CHECKING:
    import torch

FIRST = "english-and-spanish"
"""Entry of the gallery whose hybrid is there at first."""
TITLES = ("Build", "Program", "Search and train", "Chat", "As Python")


class Explorer(ipywidgets.VBox):
    """The diagram of a hybrid, and below it what can be done with it, a tab for each.

    Everything that a tab does, a cell can do by the methods of the same name.

    Args:
        hybrid: The hybrid to begin with, with its tokenizer.
        run: The run to begin with, running or ended.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.
    """

    hybrid: Any = traitlets.Any(None, allow_none=True)
    """The hybrid in the diagram."""
    run: Any = traitlets.Any(None, allow_none=True)
    """The run that was started or opened last; None before."""

    def __init__(
        self,
        hybrid: ManticoreForCausalLM | None = None,
        run: Run | None = None,
        root: Path | None = None,
    ) -> None:
        self.root = root
        self._done = Done()
        self.diagram: HybridWidget | None = None
        self.chat: ChatWidget | None = None
        self._status = ipywidgets.HTML()
        self._place = ipywidgets.VBox()
        self._chat_place = ipywidgets.VBox()
        self._code = ipywidgets.HTML()
        self.build_tab, self.program_tab = BuildTab(self), ProgramTab(self)
        self.search_tab = SearchTab(self)
        pages = [self.build_tab, self.program_tab, self.search_tab, self._chat_place, self._code]
        tabs = ipywidgets.Tab(pages, titles=TITLES)
        super().__init__([ipywidgets.HTML(STYLE), self._place, self._status, tabs])
        self.add_class("mc-explorer")
        self.observe(self._hybrid_changed, "hybrid")
        if run is not None:
            self.open_run(run)
        elif hybrid is not None:
            self._done.begin("hybrid = ...  # the hybrid that the explorer was opened with")
            self.hybrid = hybrid

    @property
    def mixture_weights(self) -> "torch.Tensor | None":
        """(N, K) mixture weights of the hybrid now; None before there is one."""
        return None if self.hybrid is None else self.hybrid.mixture_weights

    @property
    def code(self) -> str:
        """Python that does what was done here, up to now."""
        return self._done.code(self._mixed())

    def build(self, components: Sequence[str], n_blocks: int = 4, **options: Any) -> None:
        """Build a hybrid of components.

        Args:
            components: Their sources, as for `mc.build_hybrid`.
            n_blocks: Number of blocks.
            options: Other arguments of `mc.build_hybrid`.

        Raises:
            ValueError, OSError: As `mc.build_hybrid`.
        """
        with self.doing("Building the hybrid: loading components, aligning projectors"):
            hybrid = mc.build_hybrid(list(components), n_blocks, **options)
        self._done.built(components, n_blocks, options)
        self.hybrid = hybrid

    def open_run(self, run: Run) -> None:
        """Open a run: its hybrid, or, while it works, the run itself, live.

        Args:
            run: The run.
        """
        self._done.opened(run)
        self._follow(run)

    def search(self, text: str, strategy: str = "routed", steps: int = 40, **options: Any) -> Run:
        """Search the mixture weights of the hybrid on a text; the lanes move meanwhile.

        Args:
            text: Source of the text, as for `mc.load_text`.
            strategy: Name of the strategy.
            steps: Number of steps.
            options: Other options of `mc.search`.

        Raises:
            ValueError, OSError: As `mc.load_text` and `mc.search`.
        """
        hybrid = self._needed()
        with self.doing("Reading the text, and starting the run"):
            data = mc.load_text(text, tokenizer=tokenizer_of(hybrid), seq_len=128)
            run = mc.search(hybrid, data, strategy, steps, root=self.root, **options)
        self._done.started(run, self._mixed())
        self._follow(run)
        return run

    def program(self, tasks: Mapping[str, float], steps: int = 100, **options: Any) -> Run:
        """Search MAD tasks, whose mixture weights are combined by their weights.

        Args:
            tasks: Weight of each task.
            steps: Number of steps of each task's search.
            options: Other options of `mc.program`.

        Raises:
            ValueError: As `mc.program`.
        """
        hybrid = self._needed()
        with self.doing("Starting the run"):
            run = mc.program(hybrid, tasks, steps, root=self.root, **options)
        self._done.started(run, self._mixed())
        self._follow(run)
        return run

    def mix(self, weights: Sequence[Sequence[float]] | None) -> None:
        """Give the hybrid other mixture weights, as a drag in the diagram does.

        Args:
            weights: (N, K) mixture weights; those that were found if None.

        Raises:
            ValueError: Wrong mixture weights, or there is no hybrid yet.
        """
        self._needed()
        assert self.diagram is not None, "a hybrid has a diagram"
        self.diagram.mix(weights)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say what happens, and afterwards how long it took; errors are told and raised.

        Args:
            what: What happens, as the beginning of a sentence.
        """
        self.tell(f"{what} …")
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            self.tell(explain(error), problem=True)
            raise
        self.tell(f"{what}: {time.monotonic() - began:.1f} s.")

    def tell(self, text: str, *, problem: bool = False) -> None:
        """Say something below the diagram.

        Args:
            text: What to say.
            problem: Whether it asks for something.
        """
        kind = "problem" if problem else "told"
        self._status.value = f'<div class="mc-{kind}" role="status">{html.escape(text)}</div>'

    def show_run(self, run: Run) -> None:
        """Have the diagram show a run that works.

        Args:
            run: The run, which may be at its beginning.
        """
        self.program_tab.show_run(run)
        scene = scene_of_run(Snapshot.of(run), run.status.state)
        if scene is None or self.diagram is None:
            return
        self.diagram.scene = scene | {"editable": False}

    def end_run(self, run: Run) -> None:
        """Take the hybrid of a run that has ended, if it has one.

        Args:
            run: The run.
        """
        try:
            hybrid = run.hybrid()
        except (OSError, ValueError) as error:
            self.tell(explain(error), problem=True)
            return
        self.tell(f"The hybrid of the run {run.id}: drag a divider, or chat with it.")
        self.hybrid = hybrid

    def _follow(self, run: Run) -> None:
        self.run = run
        self.search_tab.follow(run)

    def _mixed(self) -> Any:
        return None if self.diagram is None else self.diagram.mixed

    def _needed(self) -> ManticoreForCausalLM:
        if self.hybrid is None:
            raise ValueError("There is no hybrid yet: build one first.")
        return self.hybrid

    def _hybrid_changed(self, change: Mapping[str, Any]) -> None:
        """Put the hybrid's diagram and its chat in the place of those before."""
        hybrid = change["new"]
        before, told = self.diagram, self.chat
        if hybrid is None:
            self.diagram = self.chat = None
        else:
            self.diagram = mix(hybrid, TEXT, scene=self._scene())
            self.diagram.observe(lambda _: self._write_code(), "mixed")
            if self.chat is None:
                self.chat = ChatWidget(hybrid)
            self.chat.hybrid = hybrid
            self.build_tab.show(hybrid.config.component_sources, hybrid.config.n_blocks)
        self._place.children = [] if self.diagram is None else [self.diagram]
        self._chat_place.children = [] if self.chat is None else [self.chat]
        if before is not None:
            before.close()
        if told is not None and told is not self.chat:
            told.close()
        self.program_tab.look()
        self._write_code()

    def _scene(self) -> dict[str, Any] | None:
        """What the run tells of the hybrid that it made: its way there, and a text to play."""
        if self.run is None or self.run.is_alive:
            return None
        return scene_of_run(Snapshot.of(self.run), self.run.status.state)

    def _write_code(self) -> None:
        self._code.value = f"<pre>{html.escape(self.code)}</pre>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        made = super()._repr_mimebundle_(**kwargs) or {}
        still = {} if self.hybrid is None else {"text/html": hybrid_html(self.hybrid)}
        return made | still | {"text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Explorer({self.hybrid!r})"


def explorer(
    start: "ManticoreForCausalLM | Run | None" = None, root: Path | None = None
) -> Explorer:
    """The whole explorer in a cell.

    Args:
        start: A hybrid or a run to begin with; the bundled hybrid if None.
        root: Folder of all runs; $MANTICORE_RUNS or ./runs if None.

    Raises:
        TypeError: `start` is something else.
        ValueError: The hybrid has no tokenizer.
    """
    if isinstance(start, ManticoreForCausalLM):
        return Explorer(start, root=root)
    if start is None and FIRST in gallery_names():
        start = open_gallery(FIRST, root)
    if start is not None and not isinstance(start, Run):
        raise TypeError(
            f"{start!r:.60} is neither a hybrid nor a run: pass one of them, or nothing."
        )
    return Explorer(run=start, root=root)
