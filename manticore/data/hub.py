"""Data sets by name and split: on the hub, in a folder, or in one data file.

The `datasets` library finds and downloads them. Local files of a kind that `tables` reads are read
by it; the rest by the library, whose errors are put into words here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from manticore.data.file_kinds import data_suffix
from manticore.data.sources import RowSource, file_state
from manticore.data.tables import READERS, Row, check_column, read_column
from manticore.names import UnknownNameError, choose

# datasets takes a second to import: only those who use it wait.
if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset, IterableDataset

    Table = Dataset | IterableDataset

_BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}
_PLAIN_SPLIT = re.compile(r"[\w.-]+")  # not an expression such as train[:10%]


def open_dataset(
    location: str,
    split: str,
    *,
    text_column: str,
    config_name: str | None,
    streaming: bool,
    valid_fraction: float,
    seed: int,
) -> RowSource:
    """Open a split of a data set on the hub ("owner/name"), in a folder, or of a data file.

    Args:
        location: Hub name, folder or file.
        split: Name of the split, or an expression of the `datasets` library, e.g. "train[:10%]".
        text_column: Column that holds the text.
        config_name: Configuration of the data set; None for the default one.
        streaming: Read a data set of the hub while it is downloaded.
        valid_fraction: Share of the rows that is held out.
        seed: Decides which rows are held out.

    Raises:
        ConnectionError: The hub cannot be reached, or does not have the data set.
        ValueError: Unknown split, configuration or column, or damaged files.
    """
    path = Path(location)
    short = path.name if path.exists() else location
    name = f"{short}:{split}" if config_name is None else f"{short}/{config_name}:{split}"
    files = _readable_files(path, split, config_name) if path.exists() else ()
    if files:
        rows = partial(read_column, files, text_column)
        origin: object = file_state(files)
    else:
        table = _load(location, split, config_name, streaming, text_column)
        rows = partial(_table_rows, table, name, text_column)
        origin = getattr(table, "_fingerprint", name)
    source = RowSource(name, rows, origin, text_column, valid_fraction, seed)
    source.check()
    return source


def _readable_files(path: Path, split: str, config_name: str | None) -> Sequence[Path]:
    """The files of a split, if all are of a kind that `tables` reads as the library would."""
    if path.is_file():
        return (path,) if split == "train" else ()
    import datasets

    with in_words(str(path)):
        config = datasets.load_dataset_builder(str(path), config_name).config
    splits = {str(name): files for name, files in (config.data_files or {}).items()}
    if split not in splits:
        if _PLAIN_SPLIT.fullmatch(split):
            _check_split(str(path), split, splits)
        return ()
    files = tuple(Path(file) for file in splits[split])
    as_usual = all(
        getattr(config, option.name) == option.default
        for option in fields(config)
        if option.name not in {o.name for o in fields(datasets.BuilderConfig)}
    )
    readable = all(file.is_file() and data_suffix(file) in READERS for file in files)
    return files if as_usual and readable else ()


def _load(
    location: str, split: str, config_name: str | None, streaming: bool, text_column: str
) -> Table:
    """The split as the library has it, with the text column alone."""
    import datasets

    path = Path(location)
    builder, files = location, None
    if path.is_file():
        builder, files = _BUILDERS[data_suffix(path)], {"train": str(path)}
    load = cast("Callable[..., Table]", datasets.load_dataset)  # one signature for both kinds
    with in_words(location):
        try:
            table = load(builder, config_name, split=split, streaming=streaming, data_files=files)
        except ValueError as error:
            if "split" not in str(error).lower():
                raise
            names = datasets.get_dataset_split_names(builder, config_name, data_files=files)
            _check_split(location, split, names)
            raise
        columns = table.column_names or list(next(iter(table.take(1)), {}))
    check_column(location, text_column, columns)
    return table.select_columns([text_column])


def _table_rows(table: Table, name: str, column: str) -> Iterator[Row]:
    with in_words(name):
        for i, row in enumerate(table):
            yield f"{name}, row {i}", row[column]


def _check_split(location: str, split: str, names: Iterable[str]) -> None:
    choose(split, sorted(names), f"split of {location}:")


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Raise what the library raises as an error that names the data set, the cause and a remedy.

    The library passes on whatever its readers raise, often inside an error without any words.
    """
    import httpx

    remote = () if Path(name).exists() else (ConnectionError, FileNotFoundError, httpx.HTTPError)
    try:
        yield
    except UnknownNameError:
        raise
    except remote as error:
        raise ConnectionError(
            f"The data set {name!r} could not be loaded: {_first_line(error)} Check the name and "
            "the network (HF_HUB_OFFLINE must not be set), log in with `hf auth login` if it is "
            "private, or download it and give the folder or file."
        ) from error
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, OSError) and cause.errno is not None:
            raise OSError(
                cause.errno,
                f"The data set {name!r} could not be read: {cause.strerror}. If the disk is full, "
                "set HF_HOME to a folder on another one.",
            ) from error
        raise ValueError(
            f"The data set {name!r} could not be read: {_first_line(cause)} Check its files, or "
            "download them and give one by its path: a broken line is then named."
        ) from error


def _first_line(error: BaseException) -> str:
    """The first line of an error as a sentence; the name of its type where it has no words."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return text if text.endswith(".") else f"{text}."
