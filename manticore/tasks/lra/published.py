"""Published data sets, from the hub or from a folder that holds them in the same form."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manticore.data.hub import in_words
from manticore.tasks.lra.settings import PUBLISHED

if TYPE_CHECKING:
    from datasets import Dataset


def published(
    data: str,
    hub: str,
    split: str,
    columns: Mapping[str, str],
    table_file: str | None = None,
    **options: Any,
) -> Any:
    """A split of a published data set.

    Args:
        data: `published`, or a folder.
        hub: Name of the data set on the hub.
        split: Name of the split.
        columns: The columns that are needed, and what they hold.
        table_file: Path in the data set of a table that is the whole split; None where the library
            finds the splits itself.
        options: How the table is read, as for the library's builder of CSV files.

    Returns:
        A `datasets.Dataset`.

    Raises:
        ConnectionError: The hub cannot be reached, or does not have the data set.
        ValueError: The folder's files cannot be read, or lack a column.
        FileNotFoundError: There is no such folder.
    """
    import datasets

    location = hub if data == PUBLISHED else data
    if data != PUBLISHED and not Path(data).is_dir():
        raise FileNotFoundError(
            f"There is no folder {data!r}: give data=stand-in, data=published, or a folder that "
            f"holds {hub} as the hub has it."
        )
    with in_words(location):
        table: Dataset
        if table_file is None:
            table = datasets.load_dataset(location, split=split)
        else:
            folder = f"hf://datasets/{hub}" if data == PUBLISHED else data
            options["data_files"] = {split: f"{folder}/{table_file}"}
            table = datasets.load_dataset("csv", split=split, **options)
    missing = [f"{name} ({what})" for name, what in columns.items() if name not in table.features]
    if missing:
        raise ValueError(
            f"The data set {location!r} has no column {', '.join(missing)}: give one in the form "
            f"of {hub}."
        )
    return table
