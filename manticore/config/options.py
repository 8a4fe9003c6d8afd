"""What all options have in common: frozen, checked, described, and refused by name if unknown."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from manticore.names import choose


def refuse_unknown(values: Any, known: Iterable[str], kind: str) -> None:
    """Refuse a table with a key that is not known.

    Args:
        values: The table; anything else is left to the code that validates it.
        known: The known keys.
        kind: What the keys name, such as `option`, for the message.

    Raises:
        UnknownNameError: A key is not known; the message suggests the nearest and lists all.
    """
    for key in values if isinstance(values, dict) else ():
        choose(key, known, kind)


@dataclass(frozen=True)
class FlagNames:
    """Annotation of an option whose flag has other names than the option.

    Without it the flag of `mixture_lr` is `--mixture-lr`, and the flag of an option that takes
    several values is in the singular: `--length` for `lengths`.

    Attributes:
        names: The flag's names, such as `--blocks`; the first one is shown.
        value: What its value is called in help, where the type does not say it.
    """

    names: tuple[str, ...]
    value: str | None = None

    def __init__(self, *names: str, value: str | None = None) -> None:
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "value", value)


class Options(BaseModel, frozen=True):
    """Options, each described by the string under it; an unknown one is refused by name.

    Flags and forms read type, default and description from here, so that an option is written
    once. A class that is derived from this one says `frozen=True` too: type checkers then accept
    an option that is narrowed.

    Attributes:
        panel: Heading under which help shows the options that the class adds.
        kind: What an option is called in errors.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    panel: ClassVar[str] = "Options"
    kind: ClassVar[str] = "option"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Let an option that is declared again keep its description."""
        super().__pydantic_init_subclass__(**kwargs)
        bases = [base for base in cls.__mro__[1:] if issubclass(base, Options)]
        for name, field in cls.model_fields.items():
            known = (
                base.model_fields[name].description for base in bases if name in base.model_fields
            )
            description = field.description or next(filter(None, known), "")
            field.description = " ".join(description.split())

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_options(cls, values: Any) -> Any:
        refuse_unknown(values, cls.model_fields, cls.kind)
        return values

    @classmethod
    def note(cls, option: str) -> str:
        """A sentence on when an option has an effect; empty where it always has."""
        return ""

    @classmethod
    def panel_of(cls, option: str) -> str:
        """Heading of the option in help: that of the class which added it."""
        owners = (base for base in reversed(cls.__mro__) if issubclass(base, Options))
        return next(base.panel for base in owners if option in base.model_fields)

    def is_given(self, option: str) -> bool:
        """Whether an option has another value than its field's default."""
        return getattr(self, option) != type(self).model_fields[option].default
