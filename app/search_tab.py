"""The tab that builds a hybrid, starts its search and watches it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import catalogue
from app.status import sample_html, status_html
from app.watching import Watcher, last_event
from manticore.plots import empty_figure, loss_figure, mixture_figure, mixture_heatmap
from manticore.plots import perplexity_figure as perplexities
from manticore.runs import Run, RunConfig, RunError, start_run
from manticore.runs.wording import explain
from manticore.search import SearchConfig
from manticore.zoo import zoo_path

TICK = 1.0  # seconds between looks at the run folder
_DEFAULTS = SearchConfig()
STRATEGIES = [
    ("DARTS: descend the loss together", "darts"),
    ("DARTS, two levels: on held-out text", "darts-bilevel"),
    ("GAEA: exponentiated gradient", "gaea"),
    ("DASH: Gumbel-softmax", "dash"),
    ("Probe: measured line search", "probe"),
    ("Random points, the best", "random"),
    ("Sweep of the simplex, tied blocks", "sweep"),
    ("Fixed: no search", "fixed"),
]
_NOTHING = "The mixture weights of each block appear here<br>while the search runs"


@dataclass(frozen=True)
class Form:
    """The inputs that describe a run, in the order of `config_from`."""

    components: gr.Dropdown
    n_blocks: gr.Slider
    text: gr.Dropdown
    steps: gr.Slider
    strategy: gr.Dropdown
    projector: gr.Dropdown
    projector_init: gr.Dropdown
    name: gr.Textbox
    seq_len: gr.Slider
    batch_size: gr.Slider
    mixture_lr: gr.Number
    projector_lr: gr.Number
    component_lr: gr.Number
    seed: gr.Number

    @property
    def inputs(self) -> list[gr.components.Component]:
        """All of them."""
        return list(self.__dict__.values())


def config_from(
    components: Sequence[str],
    n_blocks: float,
    text: str,
    steps: float,
    strategy: str,
    projector: str,
    projector_init: str,
    name: str,
    seq_len: float,
    batch_size: float,
    mixture_lr: float,
    projector_lr: float,
    component_lr: float,
    seed: float,
) -> RunConfig:
    """The run that the form describes.

    Raises:
        ValueError: a value is impossible, in words for the reader of the page.
    """
    for component in components:
        if component.startswith("zoo:"):
            zoo_path(component)
    deepest = catalogue.max_blocks(components)
    if n_blocks > deepest:
        raise ValueError(
            f"{n_blocks:g} blocks are too many: the shallowest component has {deepest} layers"
        )
    return RunConfig(
        name=(name or "").strip() or None,
        components=tuple(components),
        n_blocks=n_blocks,
        projector=projector,
        projector_init=projector_init,
        data={"source": text, "seq_len": int(seq_len)},
        search=SearchConfig(
            steps=int(steps),
            batch_size=batch_size,
            strategy=strategy,
            **({"mixture_lr": mixture_lr} if mixture_lr else {}),
            projector_lr=projector_lr,
            component_lr=component_lr,
            eval_every=max(1, int(steps) // 5),
            eval_batches=8,
            checkpoint_every=max(1, int(steps) // 10),
        ),
        seed=seed,
    )


def build(watcher: Watcher, shown: gr.Dropdown) -> None:
    """Lay the tab out and wire it.

    Args:
        watcher: the runs.
        shown: the page's list of runs; its value is the run that is shown.
    """
    with gr.Row():
        with gr.Column(scale=4, min_width=340):
            start = gr.Button("Start", variant="primary", elem_id="start", render=False)
            form = _form(start)
        with gr.Column(scale=9, min_width=480):
            with gr.Row():
                status = gr.HTML(status_html(None), elem_id="status", padding=False)
                with gr.Column(scale=0, min_width=110):
                    stop = gr.Button("Stop", size="sm", visible=False, elem_id="stop")
                    resume = gr.Button("Resume", size="sm", visible=False, elem_id="resume")
            mixture = gr.Plot(empty_figure(_NOTHING), show_label=False, elem_id="mixture")
            heatmap = gr.Plot(show_label=False, elem_id="heatmap", visible=False)
            with gr.Row():
                loss = gr.Plot(loss_figure([]), show_label=False, elem_id="loss", min_width=360)
                bars = gr.Plot(
                    perplexities(None), show_label=False, elem_id="perplexity", min_width=360
                )
            sample = gr.HTML(elem_id="sample", padding=False)

    seen = gr.State(None)
    outputs = [status, stop, resume, mixture, heatmap, loss, bars, sample, seen]
    quietly = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}

    def start_now(*values: Any) -> Any:
        try:
            run = start_run(config_from(*values), root=watcher.root)
        except (ValueError, LookupError, OSError) as error:
            gr.Warning(explain(error), title="Not started", duration=12)
            return gr.skip()
        return gr.Dropdown(choices=watcher.choices(), value=run.id)

    def look(run_id: str | None, before: Any) -> Any:
        return draw(watcher.find(run_id), before)

    start.click(start_now, form.inputs, shown, api_visibility="private")
    gr.Timer(TICK).tick(look, [shown, seen], outputs, **quietly)
    shown.change(look, [shown, seen], outputs, **quietly)
    stop.click(lambda run_id: act(watcher.find(run_id), "stop"), shown, None, **quietly)
    resume.click(lambda run_id: act(watcher.find(run_id), "resume"), shown, None, **quietly)


def act(run: Run | None, verb: str) -> None:
    """Stop or resume a run; what cannot be done is said on the page."""
    try:
        if run is not None:
            run.stop() if verb == "stop" else run.resume()
    except (RunError, OSError) as error:
        gr.Warning(str(error))


def draw(run: Run | None, before: Any) -> Any:
    """The tab's outputs for a run, or nothing if nothing of it is new.

    Args:
        run: the run that is shown, if any.
        before: what the last look saw, as this function returned it.
    """
    if run is None:
        if before is None:
            return gr.skip()
        off = gr.Button(visible=False)
        figures = [empty_figure(_NOTHING), gr.Plot(visible=False)]
        figures += [loss_figure([]), perplexities(None)]
        return [status_html(None), off, off, *figures, "", None]
    events, row = run.events(), run.summary()
    now = (run.id, len(events), row["state"])
    if before == now:
        return gr.skip()
    only_state = before and before[:2] == now[:2]
    figures = [gr.skip()] * 5 if only_state else _figures(run.id, events, row)
    warnings = [event["message"] for event in events if event["kind"] == "warning"]
    return [
        status_html(row, warnings),
        gr.Button(visible=row["state"] in {"queued", "running"}),
        gr.Button(visible=row["state"] in {"stopped", "failed", "died"}),
        *figures,
        now,
    ]


def _figures(run_id: str, events: list[dict[str, Any]], row: dict[str, Any]) -> list[Any]:
    mixture = last_event(events, "mixture")
    metrics = row["metrics"] or {}
    now = gr.Plot(visible=False)
    if mixture is not None:
        alpha, names = mixture["weights"], mixture["components"]
        now = gr.Plot(mixture_heatmap(alpha, names, run_id), visible=True)
    loss = loss_figure(events, metrics.get("floor"), run_id)
    bars = perplexities(metrics, metrics.get("floor"), run_id)
    sample = sample_html(last_event(events, "sample"))
    return [mixture_figure(events, run_id), now, loss, bars, sample]


def _form(start: gr.Button) -> Form:
    """Lay out the inputs, with the button above those that few will touch."""
    chosen = catalogue.default_components()
    depth = catalogue.max_blocks(chosen)
    components = gr.Dropdown(
        catalogue.component_choices(),
        value=chosen,
        multiselect=True,
        max_choices=4,
        allow_custom_value=True,
        label="Components",
        info="Two to four; or type a hub id or a folder",
        elem_id="components",
    )
    cards = gr.HTML(catalogue.cards_html(chosen), elem_id="cards", padding=False)
    n_blocks = gr.Slider(
        1,
        depth,
        value=min(4, depth),
        step=1,
        label="Blocks",
        elem_id="blocks",
    )
    text = gr.Dropdown(
        catalogue.TEXTS,
        value="bundled:stories-mixed",
        allow_custom_value=True,
        label="Text",
        info="Or type the path of a text file or folder",
        elem_id="text",
    )
    steps = gr.Slider(10, 1000, value=200, step=10, label="Steps", elem_id="steps")
    strategy = gr.Dropdown(
        STRATEGIES,
        value=_DEFAULTS.strategy,
        label="Strategy",
        info="How mixture weights are found",
        elem_id="strategy",
    )
    with gr.Row():
        projector = gr.Dropdown(
            ["linear", "identity", "mlp"], value="linear", label="Projectors", min_width=120
        )
        projector_init = gr.Dropdown(
            ["aligned", "identity", "random"], value="aligned", label="start as", min_width=120
        )
    start.render()
    with gr.Accordion("Advanced", open=False):
        name = gr.Textbox(label="Name of the run", max_length=120, placeholder="optional")
        with gr.Row():
            seq_len = gr.Slider(16, 512, value=128, step=16, label="Tokens per sequence")
            batch_size = gr.Slider(1, 32, value=4, step=1, label="Sequences per step")
        with gr.Row():
            mixture_lr = gr.Number(0, label="Mixture learning rate", info="0: the strategy's own")
            projector_lr = gr.Number(_DEFAULTS.projector_lr, label="Projector learning rate")
            component_lr = gr.Number(_DEFAULTS.component_lr, label="Component learning rate")
        seed = gr.Number(0, precision=0, minimum=0, label="Seed")

    def choose(names: list[str], blocks: float) -> Any:
        deepest = catalogue.max_blocks(names)
        slider = gr.Slider(maximum=deepest, value=min(blocks, deepest))
        return catalogue.cards_html(names), slider

    components.change(
        choose,
        [components, n_blocks],
        [cards, n_blocks],
        show_progress="hidden",
        api_visibility="private",
    )
    return Form(
        components,
        n_blocks,
        text,
        steps,
        strategy,
        projector,
        projector_init,
        name,
        seq_len,
        batch_size,
        mixture_lr,
        projector_lr,
        component_lr,
        seed,
    )
