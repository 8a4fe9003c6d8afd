"""What visitors may take from the hub, checked before a run is started for it."""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PATIENCE = 6.0
"""Seconds that the hub has to answer."""
REMEMBERED, MOST = 60.0, 200
"""Seconds in which an answer is used again, and how many answers."""
LONGEST = 96
"""Characters of the longest name on the hub."""
SMALL = ["config.json", "README.md", "*token*.json", "vocab.*", "merges.txt", "*.model"]
"""What tells of a model without its weights."""
_ID = re.compile(r"(?!.*(--|\.\.))\w[\w.-]*(/\w[\w.-]*)?(?<![.-])", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Whether a name has the form OWNER/NAME, or NAME as a few old repositories have it.

    Args:
        name: What a visitor typed.
    """
    return len(name) <= LONGEST and _ID.fullmatch(name) is not None


class Hub:
    """The hub as visitors may use it. Code of its repositories is never run.

    Args:
        allowed: Whether visitors may name what is on the hub.
    """

    def __init__(self, allowed: bool = True) -> None:
        self.allowed = allowed
        self._answers: dict[tuple[str, str], tuple[float, Exception | None]] = {}

    def check_model(self, name: str) -> None:
        """Refuse a model that the hub does not have.

        Args:
            name: Its id, OWNER/NAME.

        Raises:
            ValueError: Visitors may not use the hub.
            LookupError: There is no such model, or it is not public.
            ConnectionError: The hub cannot be reached, and the model was not downloaded before.
        """
        from huggingface_hub import HfApi, try_to_load_from_cache

        known = isinstance(try_to_load_from_cache(name, "config.json"), str)
        self._check("model", name, known, lambda: HfApi().model_info(name, timeout=PATIENCE))

    def check_dataset(self, name: str) -> None:
        """Refuse a data set that the hub does not have; errors are those of `check_model`.

        Args:
            name: Its id, OWNER/NAME.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.constants import HF_HOME

        cache = os.environ.get("HF_DATASETS_CACHE") or Path(HF_HOME) / "datasets"
        known = (Path(cache) / name.replace("/", "___")).is_dir()
        self._check("data set", name, known, lambda: HfApi().dataset_info(name, timeout=PATIENCE))

    def folder(self, name: str, *, wait: bool) -> Path | None:
        """Folder of what tells of a model: its configuration, its tokenizer, its card.

        Args:
            name: Its id, OWNER/NAME.
            wait: Whether to ask the hub for what was not downloaded before; it has a few seconds.

        Returns:
            The folder; None where visitors may not use the hub, or it does not answer.
        """
        from huggingface_hub import snapshot_download, try_to_load_from_cache

        def cached() -> Path | None:
            found = try_to_load_from_cache(name, "config.json")
            return Path(found).parent if isinstance(found, str) else None

        if not self.allowed:
            return None
        if (folder := cached()) is not None or not wait:
            return folder
        self._ask("files", name, lambda: snapshot_download(name, allow_patterns=SMALL))
        return cached()

    def _check(self, kind: str, name: str, known: bool, ask: Callable[[], object]) -> None:
        if not self.allowed:
            raise ValueError(f"This page takes no {kind}s from the hub: choose one from the list.")
        if not known and (error := self._ask(kind, name, ask)) is not None:
            raise error

    def _ask(self, kind: str, name: str, ask: Callable[[], object]) -> Exception | None:
        """What is wrong with a name, as far as the hub has said, now or a moment ago."""
        # A form asks whenever something in it changes: the hub is not asked each time.
        when, error = self._answers.get((kind, name), (float("-inf"), None))
        if time.monotonic() - when > REMEMBERED:
            error = _answer(kind, name, ask)
            self._answers[kind, name] = (time.monotonic(), error)
            if len(self._answers) > MOST:
                self._answers.pop(next(iter(self._answers)), None)
        return error


def _answer(kind: str, name: str, ask: Callable[[], object]) -> Exception | None:
    """What is wrong with a name, as far as the hub says; None if it has it."""
    from huggingface_hub.errors import RepositoryNotFoundError

    # In a thread, as looking up the name of the hub may take longer than any timeout.
    asking = ThreadPoolExecutor(1)
    try:
        asking.submit(ask).result(PATIENCE)
    except RepositoryNotFoundError:
        return LookupError(f"The hub has no public {kind} {name!r:.100}: check the spelling.")
    except Exception:  # of the library's transport, which is not always the same one
        return ConnectionError(
            f"The hub cannot be reached from here, and the {kind} {name!r:.100} was not downloaded "
            "before: choose one from the list, or try again with a network."
        )
    finally:
        asking.shutdown(wait=False)
    return None
