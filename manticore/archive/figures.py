"""The figures of a run: one HTML page that needs no network, and PNG where there is a browser."""

import html
import logging
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import plotly.graph_objects as go
import plotly.io

from manticore.runs import Run
from manticore.views.panels import Panel, Snapshot, panels_for

log = logging.getLogger(__name__)

Drawn = list[tuple[Panel, go.Figure | str]]

NO_PNG = (
    "There are no PNG files, as {reason}. To get them, open `figures.html` and press the camera\n"
    "above a figure, or export again after `pip install kaleido` on a machine with Chrome or\n"
    "Chromium."
)
_PNG_WIDTH, _PNG_SCALE = 900, 2
_STYLE = """
:root { color-scheme: light dark; }
body { font-family: system-ui, Helvetica, Arial, sans-serif; max-width: 1000px; margin: 2em auto;
  padding: 0 1em; line-height: 1.5; }
h1 { font-size: 1.4em; overflow-wrap: anywhere; } h2 { font-size: 1.05em; margin: 2em 0 0.5em; }
"""


def draw_panels(run: Run) -> Drawn:
    """The panels of a run that have something to show.

    Args:
        run: The run.
    """
    seen = Snapshot.of(run)
    drawn = [(panel, panel.figure(seen)) for panel in panels_for(seen.stage)]
    return [(panel, figure) for panel, figure in drawn if figure is not None]


def figures_page(title: str, drawn: Drawn) -> str:
    """All figures in one HTML page, with plotly.js in it once.

    Args:
        title: Title of the page.
        drawn: The panels.
    """
    parts, script = [], True
    for panel, figure in drawn:
        if isinstance(figure, str):  # its panel has escaped every text in it
            shown = figure
        else:
            shown = plotly.io.to_html(figure, include_plotlyjs=script, full_html=False)
            script = False
        parts.append(f"<h2>{html.escape(panel.title)}</h2>\n{shown}")
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def pngs(drawn: Drawn) -> tuple[dict[str, bytes], str]:
    """PNG files by the names of their panels, and why there are none; "" if there are.

    Plotly draws them with the package kaleido, which drives a Chrome or Chromium.

    Args:
        drawn: The panels.
    """
    if find_spec("kaleido") is None:
        return {}, "the package kaleido is not installed"
    figures = {panel.name: figure for panel, figure in drawn if isinstance(figure, go.Figure)}
    # On white: transparent figures are unreadable in a dark viewer.
    plain = [
        go.Figure(figure).update_layout(paper_bgcolor="#fff", plot_bgcolor="#fff")
        for figure in figures.values()
    ]
    with TemporaryDirectory(prefix="manticore-figures-") as folder:
        files = {name: Path(folder, f"{name}.png") for name in figures}
        try:
            # All at once: it starts a browser each time.
            plotly.io.write_images(plain, [*files.values()], width=_PNG_WIDTH, scale=_PNG_SCALE)
        # What is raised where there is no browser, or where it does not start, is kaleido's own.
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            log.warning("The figures are not drawn as PNG: %s", error)
            return {}, "kaleido found no Chrome or Chromium that starts"
        return {name: file.read_bytes() for name, file in files.items()}, ""
