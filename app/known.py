"""What the page knows of components before they are loaded: bundled ones, folders and hub ids.

Folders and files of the hub are looked at once, and again when they change.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from manticore.components.facts import Facts
from manticore.components.zoo import zoo_path
from manticore.names import UnknownNameError
from manticore.views.catalogue import bundled_facts, max_blocks

from .components import Components, OnDisk
from .open_runs import LOADING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from manticore.components.tokenizers import TransplantReport

_T = TypeVar("_T")
_MOST = 64
"""Components, and pairs of them, that are remembered."""
_MOST_FILES = 200
_TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Told:
    """What is known of a component.

    Attributes:
        facts: Its family, shape and size; None while they are not known.
        problem: Why it cannot be loaded, and what to do; "" if nothing is known against it.
        tokenizer: Its tokenizer, of a component that is not bundled and was looked at.
    """

    facts: Facts | None = None
    problem: str = ""
    tokenizer: "PreTrainedTokenizerBase | None" = None


class Known:
    """What is known of components.

    Args:
        components: The components that visitors may name; only bundled ones if None.
    """

    def __init__(self, components: Components | None = None) -> None:
        self._components = components
        self._told: OrderedDict[object, Told] = OrderedDict()
        self._reports: OrderedDict[object, TransplantReport | None] = OrderedDict()

    def of(self, name: str, *, wait: bool) -> Told:
        """What is known of a component.

        Args:
            name: What a visitor typed or chose.
            wait: Whether to look at what was not looked at before, which takes seconds.
        """
        if name.startswith("zoo:"):
            return Told(bundled_facts(name))
        place = self._place(name, wait=wait)
        if place is None:
            return Told()
        key = place, _stamp(place)
        told = self._told.get(key)
        if told is None:
            if not wait:
                return Told()
            with LOADING:  # Meanwhile another thread may have looked.
                told = self._told.get(key) or _remembered(self._told, key, _looked_at(name, place))
        return told

    def facts(self, name: str) -> Facts | None:
        """Family, shape and size of a component, as far as they are known without waiting."""
        return self.of(name, wait=False).facts

    def max_blocks(self, names: Sequence[str]) -> int:
        """The depth of the shallowest component whose depth is known."""
        return max_blocks(names, self.facts)

    def check(self, names: Sequence[str], n_blocks: int) -> None:
        """Refuse what a run would fail for, before it is started.

        Args:
            names: The components.
            n_blocks: Number of blocks.

        Raises:
            ValueError: A component cannot be loaded, or has fewer layers than there are blocks.
        """
        for name in names:
            told = self.of(name, wait=True)
            if told.problem:
                raise ValueError(told.problem)
        if n_blocks > (deepest := self.max_blocks(names)):
            raise ValueError(
                f"{n_blocks} blocks are too many: the shallowest component has {deepest} layers. "
                f"Choose {deepest} or fewer."
            )

    def transplant(self, own: str, new: str) -> "TransplantReport | None":
        """How many rows of a component are copied if the hybrid has the tokenizer of another one.

        Args:
            own: Component that is transplanted.
            new: Component whose tokenizer the hybrid has.

        Returns:
            The report; None where both have the same tokenizer.

        Raises:
            LookupError: The tokenizer of one of them is not known yet.
        """
        key = self._tokenizer_key(own), self._tokenizer_key(new)
        if key[0] == key[1]:
            return None
        if key in self._reports:
            return self._reports[key]
        with LOADING:
            from manticore.components.tokenizers import same_vocabulary, transplant_report
        mine, hybrids = self._tokenizer(own), self._tokenizer(new)
        same = same_vocabulary(mine, hybrids)
        return _remembered(self._reports, key, None if same else transplant_report(mine, hybrids))

    def _place(self, name: str, *, wait: bool) -> OnDisk | None:
        return None if self._components is None else self._components.on_disk(name, wait=wait)

    def _tokenizer_key(self, name: str) -> object:
        """What tells tokenizers apart: their file, or else where they are."""
        if name.startswith("zoo:"):
            try:
                return _digest(zoo_path(name) / _TOKENIZER) or name
            except (UnknownNameError, OSError) as error:
                raise LookupError(name) from error
        place = self._place(name, wait=False)
        if place is None or self.of(name, wait=False).tokenizer is None:
            raise LookupError(name)
        return _digest((place.folder or Path(place.source)) / _TOKENIZER) or (place, _stamp(place))

    def _tokenizer(self, name: str) -> "PreTrainedTokenizerBase":
        if not name.startswith("zoo:"):
            tokenizer = self.of(name, wait=False).tokenizer
        else:
            with LOADING:
                from manticore.components.examination import examine

                tokenizer = examine(name).tokenizer
        if tokenizer is None:
            raise LookupError(name)
        return tokenizer


def _remembered(remembered: OrderedDict[object, _T], key: object, value: _T) -> _T:
    remembered[key] = value
    while len(remembered) > _MOST:
        remembered.popitem(last=False)
    return value


def _looked_at(name: str, place: OnDisk) -> Told:
    """What a look at a component tells; one thread at a time."""
    from manticore.components.examination import examine
    from manticore.components.places import ComponentError

    try:
        found = examine(place.source, place.folder)
    except ComponentError as error:
        # What a visitor typed may be shorter than the place, which is not theirs to know.
        said = str(error).replace(place.source, name)
        return Told(problem=said.replace(str(place.folder), name))
    return Told(found.facts, tokenizer=found.tokenizer)


def _stamp(place: OnDisk) -> tuple[object, ...]:
    """Names, sizes and times of a component's files: others mean that it has changed."""
    path = place.folder or Path(place.source)
    try:
        files = sorted(path.iterdir())[:_MOST_FILES] if path.is_dir() else [path]
        return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    except OSError:  # Untrained components have none; others may be gone by now.
        return ()


def _digest(path: Path) -> str:
    """Digest of a file; "" if there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
