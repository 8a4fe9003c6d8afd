"""What hybrids are measured on by hand: a short held-out text, and a beginning to continue."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.runs import Run
from manticore.views.catalogue import TEXTS
from manticore.views.diagram.scene import PROMPT, TEXT

from .open_runs import hybrid_of

if TYPE_CHECKING:
    import torch

LONGEST_PROMPT = 2000
OWN_TEXT = ("The run's own text", "")


def text_choices() -> list[tuple[str, str]]:
    """(label, source) of the texts to measure on; "" is the text of the run."""
    return [OWN_TEXT, *TEXTS]


def asked_text(asked: Any) -> str:
    """The text that a browser asks for.

    Raises:
        ValueError: It is not one of those that are offered.
    """
    text = asked.get("text", "") if isinstance(asked, dict) else ""
    if text not in {source for _, source in text_choices()}:
        raise ValueError(f"{text!r:.60} is not a text of this list: choose another one.")
    return text


def text_label(run: Run, text: str) -> str:
    """What a text is called in a sentence.

    Args:
        run: The run whose hybrid reads it.
        text: One of `text_choices`.
    """
    source = text or run.config.data.get("source", TEXT)
    known = {value: label for label, value in TEXTS}
    name = known.get(source, Path(str(source)).name)
    return f"{name[0].lower()}{name[1:]}, held out" if source in known else f"{name}, held out"


def prompt_of(run: Run, asked: Any) -> str:
    """The beginning that a browser wants to be continued, or that of the run's samples."""
    own = getattr(run.config.options, "sample_prompt", "") or PROMPT
    given = asked.get("prompt") if isinstance(asked, dict) else None
    return given[:LONGEST_PROMPT] if isinstance(given, str) and given.strip() else own


@lru_cache(maxsize=64)
def held_out(folder: Path, text: str) -> "torch.Tensor":
    """The beginnings of the first held-out sequences of a text, (n, T) token ids.

    Args:
        folder: Folder of the run whose hybrid reads it.
        text: One of `text_choices`.

    Raises:
        OSError, ValueError: The text or the hybrid cannot be read.
    """
    # Here, because torch takes seconds to import and the page must open at once.
    from manticore.data import TextData
    from manticore.views.diagram.by_hand import READ_TOKENS, beginnings

    run = Run(folder)
    tokenizer = hybrid_of(run).tokenizer
    assert tokenizer is not None, "a run saves it with its hybrid"
    spec = {"source": text, "seq_len": READ_TOKENS} if text else run.config.data
    if not spec:
        spec = {"source": TEXT, "seq_len": READ_TOKENS}
    return beginnings(TextData.from_spec(spec, tokenizer))


def compared(run: Run, text: str) -> list[tuple[str, float]]:
    """Perplexity of the hybrid as it was found, and of each component alone.

    Args:
        run: The run.
        text: One of `text_choices`.
    """
    source = run.hybrid_source()
    return _compared(run.folder, text, source, source.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _compared(folder: Path, text: str, _source: Path, _changed: int) -> list[tuple[str, float]]:
    from manticore.views.diagram.by_hand import ends_of

    return ends_of(hybrid_of(Run(folder)), held_out(folder, text))
