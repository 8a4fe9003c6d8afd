"""Flags made from options: what an option is called, takes, defaults to and means is written once.

An option's flag has its name with hyphens; `--no-NAME` turns off what is on by default. An option
of several values is repeated, one of a fixed number takes them in a row, and one that maps names to
numbers takes NAME=NUMBER. The options of an option have its name before theirs, as `--lora-rank`.
What fits none of these, such as a table of tables, has no flag.
"""

import inspect
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from manticore.config.options import FlagNames, Options
from manticore.names import NameIn

COMMON = {
    *("--data", "--seq-len", "--blocks", "--strategy", "--task", "--preset", "--steps"),
    *("--batch-size", "--batches", "--name", "--seed", "--device"),
}
"""Flags that help shows first, before the panels."""


@dataclass(frozen=True)
class Flag:
    """One option of a model and the parameter of a command that asks for it.

    Attributes:
        path: Name of the option, after those of the options that it is an option of.
        name: The flag, such as `--blocks`.
        parameter: The parameter, as typer reads it.
        pairs: Whether values are NAME=NUMBER.
        repeats: Whether it is repeated for several values.
    """

    path: tuple[str, ...]
    name: str
    parameter: inspect.Parameter
    pairs: bool = False
    repeats: bool = False

    def value(self, given: Any) -> Any:
        """The option's value, from what the command line gave."""
        return _table(self.name, given) if self.pairs else given

    def words(self, value: Any) -> list[str]:
        """The words of a command line that give a value, as JSON holds it."""
        if isinstance(value, bool):
            return [self.name if value else self.name.replace("--", "--no-", 1)]
        if self.pairs:
            return [
                word for pair in value.items() for word in (self.name, "=".join(map(str, pair)))
            ]
        if isinstance(value, list) and self.repeats:
            return [word for item in value for word in (self.name, str(item))]
        return [self.name, *map(str, value if isinstance(value, list) else [value])]


class Flags:
    """The flags of a model of options.

    Args:
        model: The options; without it there are no flags.
        skip: Names of options without a flag.
    """

    def __init__(self, model: type[Options] | None = None, skip: Collection[str] = ()) -> None:
        self._flags = [] if model is None else list(_flags(model, skip))

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """Parameters for the signature of a command."""
        return [flag.parameter for flag in self._flags]

    def given(self, context: typer.Context) -> dict[str, Any]:
        """The options whose flags are on the command line, and their values."""
        found: dict[str, Any] = {}
        for flag in self._given(context):
            where = found
            for part in flag.path[:-1]:
                where = where.setdefault(part, {})
            where[flag.path[-1]] = flag.value(context.params[flag.parameter.name])
        return found

    def words(self, values: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """The words of a command line that give some options, and the options without a flag.

        Args:
            values: Options as JSON holds them, by name.
        """
        words: list[str] = []
        left = {name: value for name, value in values.items() if not self._has_flags(name, value)}
        for flag in self._flags:
            value: Any = {} if flag.path[0] in left else values
            for part in flag.path:
                value = value.get(part) if isinstance(value, Mapping) else None
            words += [] if value is None else flag.words(value)
        return words, left

    def _has_flags(self, name: str, value: Any) -> bool:
        """Whether flags give all of an option, also where it has options of its own."""
        paths = {flag.path for flag in self._flags}
        inner = [(name, key) for key in value] if isinstance(value, Mapping) else []
        return (name,) in paths or (bool(inner) and paths.issuperset(inner))

    def names_given(self, context: typer.Context) -> list[str]:
        """The flags that are on the command line, such as `--blocks`."""
        return [flag.name for flag in self._given(context)]

    def _given(self, context: typer.Context) -> list[Flag]:
        sources = {flag: context.get_parameter_source(flag.parameter.name) for flag in self._flags}
        return [flag for flag, source in sources.items() if source and source.name != "DEFAULT"]


def _flags(
    model: type[Options], skip: Collection[str] = (), inside: tuple[str, ...] = ()
) -> Iterator[Flag]:
    for name, field in model.model_fields.items():
        inner, _ = _unwrapped(field.annotation)
        if name in skip:
            continue
        if isinstance(inner, type) and issubclass(inner, Options):
            yield from _flags(inner, (), (*inside, name))
        elif (takes := _takes(field.annotation, field.metadata)) is not None:
            yield _flag(model, name, field, takes, inside)


@dataclass(frozen=True)
class _Takes:
    """What a flag takes.

    Attributes:
        annotation: Type of a parameter of a command.
        least, most: Bounds, where a flag can state them.
        choices: What can be chosen, in words.
        pairs: Whether values are NAME=NUMBER.
    """

    annotation: Any
    least: float | None = None
    most: float | None = None
    choices: str = ""
    pairs: bool = False

    @property
    def repeats(self) -> bool:
        return get_origin(self.annotation) is list


def _takes(annotation: Any, metadata: Collection[Any] = ()) -> _Takes | None:
    """What the flag of an option takes; None where it can have none, or leaves no choice."""
    annotation, inner = _unwrapped(annotation)
    metadata = (*metadata, *inner)
    origin, args = get_origin(annotation), get_args(annotation)
    for registry in (known.registry for known in metadata if isinstance(known, NameIn)):
        return _Takes(str, choices=registry.described())
    if origin is Literal:
        *names, last = map(str, args)
        return _Takes(str, choices=f"{', '.join(names)} or {last}") if names else None
    if annotation in (bool, str):
        return None if 0 in _bounds(metadata, "max_length") else _Takes(annotation)
    if annotation in (int, float):
        takes = _number(annotation, metadata)
        return None if takes.least is not None and takes.least == takes.most else takes
    if origin is tuple:
        items = [takes for arg in args if (takes := _single(arg))]
        if Ellipsis in args:
            return replace(items[0], annotation=list[items[0].annotation]) if items else None
        kinds = tuple(item.annotation for item in items)
        return _Takes(tuple[kinds]) if len(kinds) == len(args) else None
    if origin is dict and _single(args[1]) is not None:
        names = _single(args[0])
        return None if names is None else replace(names, annotation=list[str], pairs=True)
    return None


def _single(annotation: Any) -> _Takes | None:
    """What a flag takes for one value of several; None where that is a table or a list itself."""
    takes = _takes(annotation)
    return takes if takes is not None and takes.annotation in (int, float, str) else None


def _number(kind: type, metadata: Collection[Any]) -> _Takes:
    """A number with its bounds; bounds that a fraction must not reach are left to the options."""
    least, most = _bounds(metadata, "ge"), _bounds(metadata, "le")
    if kind is int:
        least += [bound + 1 for bound in _bounds(metadata, "gt")]
        most += [bound - 1 for bound in _bounds(metadata, "lt")]
    return _Takes(kind, max(least, default=None), min(most, default=None))


def _bounds(metadata: Collection[Any], name: str) -> list[Any]:
    """The bounds of one kind, such as `ge`, that an option is annotated with."""
    return [getattr(bound, name) for bound in metadata if hasattr(bound, name)]


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """A type without `| None`, and what `Annotated` says of it."""
    metadata: list[Any] = []
    while True:
        args = get_args(annotation)
        if get_origin(annotation) is Annotated:
            annotation, *found = args
            metadata += found
        elif get_origin(annotation) in (Union, UnionType):
            others = [arg for arg in args if arg is not NoneType]
            if len(others) != 1:
                return annotation, metadata
            (annotation,) = others
        else:
            return annotation, metadata


def _flag(
    model: type[Options], name: str, field: FieldInfo, takes: _Takes, inside: tuple[str, ...]
) -> Flag:
    path = (*inside, name)
    called = next((known for known in field.metadata if isinstance(known, FlagNames)), None)
    names = called.names if called else (_flag_name(path, takes, field.default),)
    option = typer.Option(
        *names,
        metavar=(called and called.value) or _value_name(takes),
        min=takes.least,
        max=takes.most,
        help=_help(model, name, field, takes),
        rich_help_panel=None if names[0] in COMMON else model.panel_of(name),
    )
    parameter = inspect.Parameter(
        f"{model.__name__}__{'__'.join(path)}",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[takes.annotation | None, option],
        default=_default(field),
    )
    return Flag(path, names[0].partition("/")[0], parameter, takes.pairs, takes.repeats)


def _flag_name(path: tuple[str, ...], takes: _Takes, default: Any) -> str:
    name = "-".join(path).replace("_", "-")
    if takes.repeats:
        name = name.removesuffix("s")
    return f"--{name}/--no-{name}" if default is True else f"--{name}"


def _value_name(takes: _Takes) -> str | None:
    if takes.pairs:
        return "NAME[=NUMBER]"
    if takes.choices:
        return "NAME"
    return "NUMBER" if takes.repeats and takes.annotation != list[str] else None


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return inspect.Parameter.empty
    return None if field.default_factory is not None or field.default == () else field.default


def _help(model: type[Options], name: str, field: FieldInfo, takes: _Takes) -> str:
    sentences = [field.description, model.note(name)]
    if takes.choices:
        sentences.append(f"One of {takes.choices}.")
    if takes.repeats:
        sentences.append("Repeat it for several.")
    return " ".join(filter(None, sentences))


def _table(flag: str, pairs: list[str]) -> dict[str, str]:
    """NAME=NUMBER pairs as a table; a name alone has the number 1.

    Raises:
        ValueError: A pair lacks its name or number, or a name comes twice.
    """
    table: dict[str, str] = {}
    for pair in pairs:
        name, equals, number = (part.strip() for part in pair.partition("="))
        name = name.replace("_", "-")
        if not name or (equals and not number):
            raise ValueError(
                f"{flag} {pair!r} is neither NAME nor NAME=NUMBER, such as memorization=0.5."
            )
        if name in table:
            raise ValueError(f"{flag} gives {name} twice. Give it once.")
        table[name] = number or "1"
    return table
