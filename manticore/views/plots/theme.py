"""What all figures share: colours, template, thinning, names, and the figure for "nothing yet".

Backgrounds are transparent and text is a grey that reads on white and on near-black, so one figure
serves light and dark pages. Only basic traces are used (scatter, heatmap, bar), which every recent
plotly.js draws alike.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

# After Okabe and Ito: told apart under the common colour-vision deficiencies, and in print.
COMPONENT_COLOURS = ("#2a8ccc", "#e69f35", "#17a07c", "#c9699e")
INK = "#6d7786"
MUTED = "opacity:0.78"
"""For words in HTML that are said aside: whatever the color of the text around them is."""
GRID = "rgba(128, 138, 152, 0.22)"
FONT = "Inter, system-ui, Helvetica, Arial, sans-serif"

# The page gets the whole figure at every refresh.
MAX_POINTS = 1000

_AXIS = {
    "gridcolor": GRID,
    "zeroline": False,
    "ticks": "",
    "ticklabelstandoff": 4,
    "automargin": True,
    "title": {"font": {"size": 12}, "standoff": 8},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": COMPONENT_COLOURS,
        "margin": {"l": 52, "r": 20, "t": 48, "b": 44},
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0.99,
            "yanchor": "top",
            "yref": "container",
            "bgcolor": "rgba(0,0,0,0)",
        },
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


def new_figure(run_id: str = "", height: int = 320) -> go.Figure:
    """An empty figure in the common style.

    Args:
        run_id: kept as `layout.uirevision`, so that a reader's zoom survives the refreshes of one
            run and not the change to another.
        height: pixels.
    """
    return go.Figure(layout={"template": TEMPLATE, "height": height, "uirevision": run_id})


def empty_figure(text: str, run_id: str = "", height: int = 320) -> go.Figure:
    """A figure without data that says in words what will stand there."""
    figure = new_figure(run_id, height)
    figure.update_xaxes(visible=False, range=[0, 1])
    figure.update_yaxes(visible=False, range=[0, 1])
    figure.add_annotation(
        text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15}
    )
    return figure


def thin(count: int, at_most: int) -> np.ndarray:
    """Indices, int64, of at most `at_most` of `count` items, evenly spread, first and last kept."""
    if count <= at_most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, max(at_most, 2)).round().astype(np.int64))


def short_names(components: Sequence[str]) -> list[str]:
    """Names for legends: without `zoo:`, damage and leading folders; twins are numbered."""
    names = [
        name.removeprefix("zoo:").partition("?")[0] if name.startswith("zoo:") else name
        for name in components
    ]
    names = [name.rstrip("/\\") for name in names]
    names = [name.replace("\\", "/").rsplit("/", 1)[-1] or name for name in names]
    total, seen, result = Counter(names), Counter(), []
    for name in names:
        seen[name] += 1
        result.append(f"{name} ({seen[name]})" if total[name] > 1 else name)
    return result


def component_colour(component: int) -> str:
    """The colour of a component by its index."""
    return COMPONENT_COLOURS[component % len(COMPONENT_COLOURS)]


def translucent(hex_colour: str, opacity: float) -> str:
    """`#rrggbb` with an opacity between 0 and 1, as CSS."""
    red, green, blue = (int(hex_colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"
