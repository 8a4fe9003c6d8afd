"""The walk for newcomers: five steps over the real page, from picking components to chatting."""

from dataclasses import asdict, dataclass
from pathlib import Path

from .hosting import hosted


@dataclass(frozen=True)
class Step:
    """One step of the walk.

    Attributes:
        title: What to do, in two or three words.
        text: What there is to see, and what to try.
        around: CSS selector of what the step is about.
        tab: Title of the tab that it is on; "" if it is above all tabs.
        click: CSS selector of what to click on to have done it; "" if there is nothing to click.
        mixed: Whether mixing by hand is what has to be done.
        praise: Sentence for when it is done.
    """

    title: str
    text: str
    around: str
    tab: str = ""
    click: str = ""
    mixed: bool = False
    praise: str = ""


STEPS = [
    Step(
        "Pick components",
        "A hybrid is made of pretrained models, its components. Each card says what a model is and "
        "which texts it knows: one of these two knows English stories, the other Spanish ones.",
        "#components",
        tab="Build and search",
    ),
    Step(
        "Look at a hybrid",
        "This hybrid of the two is finished. Text flows from left to right through four blocks, "
        "with a lane for each component: the thicker the lane, the larger its mixture weight. "
        "Press “Play the text” and watch which component reads which language.",
        "#diagram",
        click="#diagram .play",
        praise="The lanes follow the language, although nobody told the hybrid which is which.",
    ),
    Step(
        "Mix by hand",
        "Drag a divider below a block, or press the arrow keys on it. The perplexity (lower is "
        "better) and the continuation change at once. The tab Mix shows all mixtures at a glance.",
        "#diagram",
        mixed=True,
        praise="Mixed. “Back to what was found” undoes everything.",
    ),
    Step(
        "Search",
        "By hand it is hard; a search finds mixture weights for a text. Press Start: it takes a "
        "minute or two, the lanes move while it works, and it continues if you close the page.",
        "#start",
        tab="Build and search",
        click="#start",
        praise="It is starting. You can walk on meanwhile.",
    ),
    Step(
        "Chat",
        "Write a beginning in English or in Spanish, and the hybrid continues it. That is all: "
        "press “Start here” to take this walk again.",
        "#message",
        tab="Chat",
        click="#send",
        praise="The hybrid is writing.",
    ),
]
DRAW = "mount(place, props.steps);"


def build() -> None:
    """Put the button of the walk where this is called; a new visitor sees the first step."""
    module = Path(__file__).with_name("walk.js").read_text(encoding="utf-8")
    hosted(module, DRAW, steps=[asdict(step) for step in STEPS], elem_id="walk")
