"""What all options have in common: frozen, checked, and refused by name where they are unknown."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from manticore.names import choose


def refuse_unknown(values: Any, known: Iterable[str], kind: str) -> None:
    """Refuse a table with a key that is not known.

    Args:
        values: The table; anything else is left to who validates it.
        known: The keys that there are.
        kind: What the keys name, such as `option`, for the message.

    Raises:
        UnknownNameError: A key is not known; the message suggests the nearest and lists all.
    """
    for key in values if isinstance(values, dict) else ():
        choose(key, known, kind)


class Options(BaseModel):
    """Options of a stage or a task. An unknown option is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_options(cls, values: Any) -> Any:
        refuse_unknown(values, cls.model_fields, "option")
        return values

    def is_given(self, option: str) -> bool:
        """Whether an option has another value than its field's default."""
        return getattr(self, option) != type(self).model_fields[option].default
