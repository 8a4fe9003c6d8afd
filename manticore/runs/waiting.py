"""The process of a spare worker: `python -m manticore.runs.waiting [texts]`; see `spare`.

It imports what runs need, waits for one line on its standard input, and is then the worker of the
run that the line names. At the end of its input, without a line, it ends. With `texts` it puts the
bundled stories into the cache of tokens before it waits.
"""

import gc
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from manticore.importing import without_collecting
from manticore.runs.spare import TEXTS


def main() -> int:
    """Wait for a run and do it.

    Returns:
        Exit status of the worker.
    """
    lines: list[bytes] = []
    # In a thread: whoever made this process may end while it still imports.
    listening = threading.Thread(target=_listen, args=(lines,))
    listening.start()
    import_for_runs()
    if TEXTS in sys.argv[1:]:
        prepare_texts(lambda: bool(lines))
    listening.join()
    job = json.loads(lines[0])
    _write_to(Path(job["log"]))
    from manticore.runs import worker

    return worker.main([job["folder"]])


def _listen(lines: list[bytes]) -> None:
    """Add the line that comes; at the end of the input, end this process."""
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(0)
    lines.append(line)


def import_for_runs() -> None:
    """Import what a run of bundled components would import, stage by stage.

    What is broken is left to the run, whose failure it will be, with its remedy.
    """
    with suppress(Exception), without_collecting():
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

        from manticore.components.zoo import zoo_names, zoo_path
        from manticore.names import PROJECTORS, STAGES, STRATEGIES
        from manticore.ops.backends import scan_backend

        for entry in (*STAGES.values(), *STRATEGIES.values(), *PROJECTORS.values()):
            entry.load()
        # Transformers imports a family when its class is first asked for.
        for name in zoo_names():
            _ = MODEL_FOR_CAUSAL_LM_MAPPING[type(AutoConfig.from_pretrained(zoo_path(name)))]
        # These load the compiled kernels, or compile them.
        if scan_backend("cpu") == "numba":
            import manticore.ops.cpu.recurrence  # noqa: F401
    gc.freeze()  # what was imported stays: no collection of the run looks through it


def prepare_texts(is_wanted: Callable[[], bool]) -> None:
    """Put the bundled stories' tokens and floors into the cache, unless a run is waiting.

    What cannot be prepared is left to the run, as above.

    Args:
        is_wanted: Whether a run is waiting; asked before each text.
    """
    from manticore.components.own_tokenizer import load_tokenizer
    from manticore.components.places import locate
    from manticore.components.zoo import zoo_names
    from manticore.data import load_text
    from manticore.data.resolve import STORIES
    from manticore.data.token_ids import tokenizer_fingerprint

    with suppress(Exception):
        sources = [f"zoo:{name}" for name in zoo_names()]
        loaded = [load_tokenizer(source, locate(source), {}) for source in sources]
        different = {tokenizer_fingerprint(tokenizer): tokenizer for tokenizer in loaded}
        # What the page begins with comes first.
        for text in sorted(STORIES, key="stories-mixed".__ne__):
            for tokenizer in different.values():
                if is_wanted():
                    return
                _ = load_text(f"bundled:{text}", tokenizer=tokenizer, seq_len=2).floor


def _write_to(log: Path) -> None:
    """Write to a file from now on, and read nothing more: the streams that any worker has."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for of, stream in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(of, stream)
    for descriptor in (output, nothing):
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
