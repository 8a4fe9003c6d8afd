"""Data sets through the `datasets` library: from the hub or from local jsonl, parquet and csv."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from manticore.data.reading import Piece, cut_pieces
from manticore.data.sources import at_least_one, is_held_out

if TYPE_CHECKING:
    import datasets

BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


@dataclass(frozen=True)
class DatasetSource:
    """One split of a data set, every row a document; evenly spaced rows are held out."""

    name: str
    rows: datasets.Dataset | datasets.IterableDataset = field(repr=False)
    text_column: str
    valid_fraction: float
    seed: int

    def fingerprint(self) -> object:
        rows = getattr(self.rows, "_fingerprint", self.name)
        return ["dataset", self.name, rows, self.text_column, self.valid_fraction, self.seed]

    def pieces(self, part: str) -> Iterator[Piece]:
        fraction = self.valid_fraction
        if hasattr(self.rows, "__len__") and len(self.rows):
            fraction = at_least_one(fraction, len(self.rows))
        for i, row in enumerate(self.rows):
            if is_held_out(i, fraction, self.seed) != (part == "valid"):
                continue
            text = row[self.text_column]
            if not isinstance(text, str):
                raise ValueError(
                    f"{self.name}: row {i} has {type(text).__name__} in column "
                    f"{self.text_column!r} where text is needed: choose another text_column"
                )
            yield from cut_pieces([text])


def open_dataset(
    location: str,
    split: str,
    *,
    text_column: str,
    config_name: str | None,
    streaming: bool,
    valid_fraction: float,
    seed: int,
) -> DatasetSource:
    """Open a split of a hub data set ("owner/name"), of a folder of data, or a data file.

    Raises:
        ConnectionError: the hub can't be reached, or the data set isn't there.
        ValueError: unknown split, configuration or column; the message names those there are.
    """
    # datasets takes a second to import: only those who use it wait.
    import datasets

    path = Path(location)
    builder, options = location, {}
    if path.is_file():
        builder, options = BUILDERS[path.suffix.lower()], {"data_files": {"train": str(path)}}
    try:
        rows = datasets.load_dataset(
            builder, config_name, split=split, streaming=streaming, **options
        )
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, FileNotFoundError) as error:
        raise ConnectionError(
            f"could not load the data set {location!r}: {error}. Check the name and the network "
            "(HF_HUB_OFFLINE must not be set), log in with `hf auth login` if it is private, "
            "or download it and pass the folder or file"
        ) from error
    except ValueError as error:
        raise _explained(error, builder, location, split, config_name, options) from error
    columns = rows.column_names or list(next(iter(rows.take(1)), {}))
    if text_column not in columns:
        raise ValueError(
            f"{location} has no column {text_column!r}: pass text_column=, one of {sorted(columns)}"
        )
    short = path.name if path.exists() else location
    name = f"{short}:{split}" if config_name is None else f"{short}/{config_name}:{split}"
    rows = rows.select_columns([text_column])
    return DatasetSource(name, rows, text_column, valid_fraction, seed)


def _explained(
    error: ValueError,
    builder: str,
    location: str,
    split: str,
    config_name: str | None,
    options: dict,
) -> ValueError:
    """A ValueError of `load_dataset`, with the names of the splits if that was the matter."""
    import datasets

    if "split" not in str(error).lower():
        return ValueError(f"could not load the data set {location!r}: {error}")
    names = datasets.get_dataset_split_names(builder, config_name, **options)
    return ValueError(f"{location} has no split {split!r}: choose one of {sorted(names)}")
