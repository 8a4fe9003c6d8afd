"""One column of a table in a local file, row by row: JSON, JSON Lines, CSV and Parquet.

Read here instead of through the `datasets` library, because an error then names the file, the line
and the cause, a column may be empty for as long as it likes, and nothing is copied.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from manticore.data.file_kinds import data_suffix
from manticore.data.reading import read_blocks, read_lines
from manticore.names import choose

Row = tuple[str, object]
"""Where a row is, for error messages, and what it has in the column: None for nothing."""

_LARGEST_CELL = 2**31 - 1  # characters; the csv module stops at 131,072 unless told otherwise


def read_column(paths: Sequence[Path], column: str) -> Iterator[Row]:
    """Yield the rows of one or more tables, in order.

    Raises:
        ValueError: A file is damaged, not of the kind its name says, or has no such column.
    """
    return chain.from_iterable(READERS[data_suffix(path)](path, column) for path in paths)


def check_column(name: object, column: str, columns: Iterable[str]) -> None:
    """Raise UnknownNameError, which lists `columns`, unless the table `name` has that column."""
    choose(column, sorted(columns), f"text_column of {name}:")


def _json_rows(path: Path, column: str) -> Iterator[Row]:
    """Rows of JSON Lines, or of a document that is one list of rows or a single row."""
    lines = ((n, line) for n, line in enumerate(read_lines(path), 1) if line.strip())
    first = next(lines, None)
    if first is None:
        raise ValueError(f"{path} is empty. Give a file with at least one row.")
    may_be_document = data_suffix(path) == ".json" or first[1].lstrip().startswith("[")
    if may_be_document and not _is_object(first[1]):
        found = _parsed_document(path)
    else:
        found = (_parsed_line(path, n, line) for n, line in chain([first], lines))
    columns: dict[str, None] = {}
    for place, row in found:
        if isinstance(row, str) and column == "text":  # a list of texts
            row = {"text": row}
        if not isinstance(row, dict):
            raise ValueError(
                f"{place} is of type {type(row).__name__} instead of an object. "
                f'Write every row as {{"{column}": "..."}}.'
            )
        columns |= dict.fromkeys(row)
        yield place, row.get(column)
    check_column(path, column, columns)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _parsed_line(path: Path, number: int, line: str) -> Row:
    try:
        return f"{path}, line {number}", json.loads(line.rstrip("\n"))
    except (ValueError, RecursionError) as error:
        cause = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(
            f"{path}, line {number} is not valid JSON: {cause}. It begins with "
            f"{line.rstrip()[:40]!r}. Correct the line or remove it."
        ) from None


def _parsed_document(path: Path) -> Iterator[Row]:
    try:
        found = json.loads("".join(read_blocks(path)))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}, line {error.lineno}, column {error.colno} is not valid JSON: {error.msg}. "
            "Correct it, or write one object on each line and name the file .jsonl."
        ) from None
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply to be a table: {error}.") from None
    rows = found if isinstance(found, list) else [found]
    return ((f"{path}, row {n}", row) for n, row in enumerate(rows, 1))


def _csv_rows(path: Path, column: str) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(read_lines(path), strict=True)
    begin = 1
    try:
        header = next(reader, None)
        if header is None:
            raise ValueError(f"{path} is empty. Give a table with a header and at least one row.")
        check_column(path, column, header)
        index, begin = header.index(column), reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {begin} has {len(cells)} cells where the header has "
                    f"{len(header)}. Put texts with commas or line breaks in double quotes."
                )
            if cells:
                yield f"{path}, line {begin}", cells[index]
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {begin} is not valid CSV: {error}. Close every double quote, and "
            'write a double quote within a text as "".'
        ) from None


def _parquet_rows(path: Path, column: str) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 1
    try:
        with parquet.ParquetFile(path) as file:
            check_column(path, column, file.schema_arrow.names)
            for batch in file.iter_batches(1024, columns=[column]):
                for value in batch.column(column):
                    yield f"{path}, row {number}", value.as_py()
                    number += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a sound Parquet table: {error} (at row {number}). Copy or download it "
            "again."
        ) from error


READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".jsonl": _json_rows,
    ".json": _json_rows,
    ".parquet": _parquet_rows,
    ".csv": _csv_rows,
}
