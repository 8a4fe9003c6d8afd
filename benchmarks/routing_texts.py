"""The texts on which routed hybrids are compared, and the components that know their parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Subset

import manticore as mc
from benchmarks.harness import RESULTS
from manticore.data import TextData
from tools.zoo.blend import python_modules
from tools.zoo.tokenizer import read_text, spanish_prose

CACHE = RESULTS.parent.parent / ".cache"
ENGLISH, SPANISH, CODE = "zoo:tales-neox", "zoo:novelas-mamba", "zoo:stdlib-llama"
TEXTS = ("stories-mixed", "prose", "prose-and-code", "wikitext2")
PASSAGE = 300
"""Characters at which a passage ends, at the end of its paragraph."""
TRAIN_CHARACTERS, HELD_OUT_CHARACTERS = 32_000, 46_000
"""Of each of two languages: about 20,000 tokens in all to learn from."""
TITLE_PAGES, ORDER_SEED = 60, 7


@dataclass(frozen=True)
class Target:
    """A text to train on and to be measured on, and how.

    Attributes:
        name: Name of the text.
        components: Sources of the components.
        data: The text; the first sequences of its held-out part choose, the others measure.
        options: What loads it, as a recipe has it.
        batch_size: Sequences of a step.
        n_tuning: Number of held-out sequences on which choices are made.
        test: What is measured on.
        rivals: Whether the rows about trained parameters and joints are measured too.
    """

    name: str
    components: tuple[str, ...]
    data: TextData
    options: dict[str, Any]
    batch_size: int
    n_tuning: int
    test: Dataset
    rivals: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components."""
        return tuple(source.removeprefix("zoo:") for source in self.components)

    @property
    def tuning(self) -> Dataset:
        """The sequences that choices are made on."""
        return Subset(self.data.valid, range(self.n_tuning))


def open_target(name: str, folder: Path | None) -> Target:
    """The text of that name.

    Args:
        name: One of `TEXTS`.
        folder: Folder of tales_en.valid.txt and novels_es.valid.txt, or of WikiText-2's parts.

    Raises:
        SystemExit: The text is not bundled, and no folder is given.
    """
    pair = (ENGLISH, SPANISH)
    if name == "stories-mixed":
        return _target(name, pair, "bundled:stories-mixed", batch_size=2, n_tuning=80)
    if folder is None:
        raise SystemExit(f"{name} is not bundled: give the folder of its files with --folder.")
    if name == "wikitext2":
        test = _load(folder / "wikitext2.test.txt", valid_fraction=0.5)[0].valid
        # Every fourth sequence, so that all articles are in it.
        test = Subset(test, range(0, len(test), 4))
        return _target(name, pair, folder.resolve() / "wikitext2.valid.txt", test=test)
    streams = [
        read_text(folder / "tales_en.valid.txt").split("\n\n")[TITLE_PAGES:],
        spanish_prose(read_text(folder / "novels_es.valid.txt")).split("\n\n"),
    ]
    if name == "prose-and-code":
        modules = list(python_modules("valid"))
        np.random.default_rng(ORDER_SEED).shuffle(modules)
        streams.append("\n\n".join(modules).split("\n\n"))
    sizes = (TRAIN_CHARACTERS // len(streams) * 2, HELD_OUT_CHARACTERS // len(streams) * 2)
    file, held_out = _interleaved(name, streams, sizes)
    components = (*pair, CODE)[: len(streams)]
    rivals = name == "prose"
    return _target(name, components, file, valid_fraction=held_out, rivals=rivals)


def _target(
    name: str,
    components: tuple[str, ...],
    source: str | Path,
    *,
    batch_size: int = 1,
    n_tuning: int = 36,
    valid_fraction: float = 0.05,
    test: Dataset | None = None,
    rivals: bool = False,
) -> Target:
    data, options = _load(source, valid_fraction)
    if test is None:
        test = Subset(data.valid, range(n_tuning, len(data.valid)))
    return Target(name, components, data, options, batch_size, n_tuning, test, rivals)


def _load(source: str | Path, valid_fraction: float) -> tuple[TextData, dict[str, Any]]:
    tokenizer = mc.load_component(ENGLISH).tokenizer
    options = {"source": str(source), "seq_len": 256, "valid_fraction": valid_fraction}
    return mc.load_text(tokenizer=tokenizer, **options), options


def _interleaved(
    name: str, streams: Sequence[Sequence[str]], characters: tuple[int, int]
) -> tuple[Path, float]:
    """A file of passages in any order of languages, and the share of it that is held out.

    Passages of a language keep their own order, so that what is held out comes later in each book.
    """
    generator = np.random.default_rng(ORDER_SEED)
    passages = [iter(_passages(stream)) for stream in streams]
    parts = []
    for wanted in characters:
        part: list[str] = []
        left = dict.fromkeys(range(len(streams)), wanted)
        while left:
            chosen = int(generator.choice(list(left)))
            part.append(next(passages[chosen]))
            left[chosen] -= len(part[-1])
            if left[chosen] <= 0:
                del left[chosen]
        parts.append("\n\n".join(part) + "\n\n")
    file = CACHE / "texts" / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(parts), encoding="utf-8")
    sizes = [len(part.encode()) for part in parts]
    return file, sizes[1] / sum(sizes)


def _passages(paragraphs: Sequence[str]) -> list[str]:
    """Paragraphs in a row, joined until they have `PASSAGE` characters."""
    passages, parts = [], []
    for paragraph in filter(str.strip, paragraphs):
        parts.append(paragraph.strip("\n"))
        if sum(map(len, parts)) >= PASSAGE:
            passages.append("\n\n".join(parts))
            parts = []
    return passages
