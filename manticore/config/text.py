"""Options of a text: what `load_text` takes, as recipes and commands give it."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, model_validator

from manticore.config.options import FlagNames, Options


class TextConfig(Options, frozen=True):
    """A text. A plain string is its source.

    Its seed is its own: the seed of a run does not change the text, so that seeds can be compared.
    """

    panel: ClassVar[str] = "Text"
    kind: ClassVar[str] = "text option"

    source: Annotated[str, FlagNames("--data", value="TEXT")]
    """Text file, folder, data file, hub/dataset:split or bundled:NAME."""
    seq_len: int = Field(default=256, ge=2)
    """Tokens per sequence."""
    valid_fraction: float = Field(default=0.05, gt=0, lt=1)
    """Share of the text that is held out."""
    text_column: str = "text"
    """Column of a data set that holds the text."""
    config_name: str | None = None
    """Configuration of a data set on the hub."""
    streaming: bool = False
    """Tokenize while reading instead of filling the cache first."""
    max_tokens: PositiveInt | None = None
    """Largest number of tokens to train on."""
    seed: Annotated[int, FlagNames("--data-seed")] = Field(default=0, ge=0)
    """Random seed of generated stories, or of the choice of held-out documents."""
    document_separator: str | None = None
    """Text between the documents of a file; without it a file is one document."""

    @model_validator(mode="before")
    @classmethod
    def _a_string_is_the_source(cls, values: Any) -> Any:
        if isinstance(values, str | Path):
            return {"source": str(values)}
        if isinstance(values, dict) and isinstance(values.get("source"), Path):
            return {**values, "source": str(values["source"])}
        return values
