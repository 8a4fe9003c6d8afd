"""What a list of things that have names is, and one way to say that a name is unknown."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from manticore.importing import without_collecting

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which a list of commands need not wait for
    from pydantic import GetCoreSchemaHandler
    from pydantic_core.core_schema import CoreSchema


class UnknownNameError(ValueError):
    """A name that is not in its list; the message suggests one that is."""


def choose(name: object, known: Iterable[str], kind: str) -> str:
    """`name`, if it is one of `known`.

    Args:
        name: What was asked for.
        known: The names that there are.
        kind: What they are names of, such as `strategy`, for the message.

    Raises:
        UnknownNameError: It is not; the message suggests the nearest name and lists all.
    """
    known = list(known)
    if isinstance(name, str) and name in known:
        return name
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownNameError(f"Unknown {kind} {name!r}.{hint} Choose from: {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that can be chosen by name.

    Attributes:
        home: Where it is defined, as `package.module:NAME`; or the thing itself.
        about: One sentence for help, forms and tables.
    """

    home: Any
    about: str = ""

    def load(self) -> Any:
        """The thing itself; its module is imported when this is first called."""
        if not isinstance(self.home, str):
            return self.home
        module, _, attribute = self.home.partition(":")
        with without_collecting():
            return getattr(import_module(module), attribute)


E = TypeVar("E", bound=Entry)


class Registry(MutableMapping[str, E], Generic[E]):
    """Entries of one kind, by name, in the order in which people should see them.

    Args:
        kind: What the entries are, in the singular, for messages.
        entries: The first ones.
    """

    def __init__(self, kind: str, entries: Mapping[str, E]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> E:
        return self._entries[name]

    def __setitem__(self, name: str, entry: E) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, name: object) -> E:
        """The entry of this name.

        Raises:
            UnknownNameError: There is none; the message suggests the nearest name and lists all.
        """
        return self._entries[choose(name, self, self.kind)]

    def load(self, name: object) -> Any:
        """The thing of this name; raises as `find` does."""
        return self.find(name).load()

    def described(self) -> str:
        """The names in one line, such as `darts, gaea or fixed`, for help texts."""
        *names, last = self
        return f"{', '.join(names)} or {last}" if names else last


class NameIn:
    """Annotation of an option whose value is a name of a registry: `Annotated[str, NameIn(X)]`.

    Names are checked when a value is validated, so that what was registered later counts too.
    """

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: "GetCoreSchemaHandler"
    ) -> "CoreSchema":
        from pydantic_core import core_schema

        def known(value: str) -> str:
            return choose(value, self.registry, self.registry.kind)

        return core_schema.no_info_after_validator_function(known, handler(source))
