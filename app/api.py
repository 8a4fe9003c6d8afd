"""What programs can do with the page, under names that stay: the same checks as for visitors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.events import api

from manticore.runs import Run, RunConfig, RunError, runs
from manticore.views.wording import explain

from . import hybrid_form
from .open_runs import RECENT, hybrid_of
from .page import Page, check_theirs, user_of
from .run_panel import start

State = dict[str, Any]


def add_endpoints(page: Page) -> None:
    """Add the endpoints to the page that is being built.

    Args:
        page: What the tabs share.
    """
    for endpoint in (*_of_runs(page), *_that_act(page)):
        api(endpoint, api_name=endpoint.__name__, concurrency_limit=4)


def _of_runs(page: Page) -> list[Callable[..., Any]]:
    def list_runs() -> list[State]:
        """The newest runs, each with its id, owner, state, step and components."""
        return [state_of(run) for run in runs(page.runs.root)[:RECENT]]

    def run_state(run_id: str) -> State:
        """The state of a run: its step, loss, tokens per second and what was measured last."""
        with _in_words():
            return state_of(_find(page, run_id))

    def continue_text(
        run_id: str, beginning: str, max_new_tokens: int = 96, temperature: float = 0.8
    ) -> str:
        """Continue a text with the hybrid of a run; the answer is what comes after it."""
        from manticore.hybrid.streaming import continue_text as continued

        with _in_words():
            hybrid, longest = hybrid_of(_find(page, run_id)), min(int(max_new_tokens), 256)
            options = {"max_new_tokens": longest, "temperature": float(temperature)}
            # Each piece is all that was written so far.
            pieces = list(continued(hybrid, str(beginning), top_p=0.95, **options))
            return pieces[-1] if pieces else ""

    return [list_runs, run_state, continue_text]


def _that_act(page: Page) -> list[Callable[..., Any]]:
    def start_search(
        request: gr.Request,
        components: list[str],
        text: str,
        steps: int = 40,
        n_blocks: int = 4,
        strategy: str = "routed",
        seed: int = 0,
        name: str = "",
    ) -> str:
        """Start a search for the mixture weights of a hybrid on a text; the answer is its id."""
        with _in_words():
            hybrid_form.check_hybrid(components, n_blocks)
            data = {"source": page.texts.source(text), "seq_len": 128}
            config = RunConfig.model_validate(
                {
                    "name": name or None,
                    "components": tuple(components),
                    "n_blocks": n_blocks,
                    "data": data,
                    "options": {"steps": steps, "strategy": strategy},
                    "seed": seed,
                }
            )
            return start(page, config, user_of(request)).id

    def stop_run(request: gr.Request, run_id: str) -> State:
        """Ask a run of one's own to write a checkpoint and end; the answer is its state."""
        with _in_words():
            run = _find(page, run_id)
            check_theirs(run, request)
            run.stop()
            return state_of(run)

    return [start_search, stop_run]


def state_of(run: Run) -> State:
    """A run as programs are told of it.

    Args:
        run: The run.
    """
    return {**run.summary(), "owner": run.config.owner}


def _find(page: Page, run_id: Any) -> Run:
    run = page.runs.find(run_id) if isinstance(run_id, str) else None
    if run is None:
        raise LookupError("There is no such run here: choose one of list_runs.")
    return run


@contextmanager
def _in_words() -> Iterator[None]:
    """Answer with a sentence where something cannot be done."""
    try:
        yield
    except (
        *(RunError, ValueError, TypeError, AttributeError),
        *(LookupError, OSError, ModuleNotFoundError),
    ) as error:
        raise gr.Error(explain(error), print_exception=False) from error
