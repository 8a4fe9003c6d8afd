"""A run as the Python that starts it, for readers who continue in a notebook or a script."""

from pprint import pformat
from typing import Any

from manticore.config.options import Options
from manticore.config.run import HybridConfig, RunConfig, RunSettings, option_field
from manticore.config.text import TextConfig
from manticore.names import STAGES

_WIDTH = 88


def python_of(config: RunConfig, start: str | None = None) -> str:
    """Python that builds the hybrid of a run, or finds the run that it came from, and starts it.

    Options that have their defaults are left out.

    Args:
        config: The configuration.
        start: Python of the run or the hybrid that it starts from, if that is at hand; None to
            find or build it.

    Raises:
        ValueError: The run was started with a hybrid that came from elsewhere, so that nothing is
            known that builds it.
    """
    parent, stage = config.start and config.start.parent, option_field(config.stage)
    lines, name = ["import manticore as mc", ""], "start" if parent else "hybrid"
    if start is not None:
        lines.append(f"{name} = {start}")
    elif parent:
        lines.append(f"start = mc.get_run({parent.run!r})")
    elif config.start and not config.start.built:
        raise ValueError(
            "The hybrid of this run was made elsewhere: load it with "
            f"mc.ManticoreForCausalLM.from_pretrained(FOLDER), and pass it to mc.{stage}."
        )
    else:
        lines.append(f"hybrid = {_call('mc.build_hybrid', _hybrid_arguments(config))}")
    tokenizer = f"{name}.hybrid().tokenizer" if parent else f"{name}.tokenizer"
    return "\n".join([*lines, *stage_lines(config, name, tokenizer)]) + "\n"


def stage_lines(config: RunConfig, name: str, tokenizer: str) -> list[str]:
    """Python that starts a run and watches it.

    Args:
        config: The configuration.
        name: Name of the hybrid, or of the run, that it starts from.
        tokenizer: Python of its tokenizer.
    """
    lines, arguments = [], [name]
    if STAGES[config.stage].needs_text:
        source, *others = _text_arguments(config)
        text = [source, f"tokenizer={tokenizer}", *others]
        lines.append(f"text = {_call('mc.load_text', text)}")
        arguments.append("text")
    options = given_options(config.options) | given_settings(config)
    arguments += [f"{name}={_literal(value)}" for name, value in options.items()]
    function = f"mc.{option_field(config.stage)}"
    return [*lines, f"run = {_call(function, arguments)}", "run.watch()"]


def given_options(options: Options) -> dict[str, Any]:
    """The options of a stage that differ from their defaults.

    Args:
        options: The options.
    """
    dumped = options.model_dump(mode="json", exclude_defaults=True)
    # What is the default in general may not be that of the strategy.
    again, every = type(options).model_validate(dumped), options.model_dump(mode="json")
    names = type(options).model_fields
    return {
        name: dumped.get(name, every[name])
        for name in names
        if name in dumped or getattr(again, name) != getattr(options, name)
    }


def given_hybrid(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults of a hybrid, apart from its components.

    Args:
        config: The configuration of a run.
    """
    skip = {*RunSettings.model_fields, "components", "n_blocks"}
    dumped = config.model_dump(mode="json", exclude_defaults=True)
    rows = config.mixture_weights or ()
    if all(share == row[0] for row in rows for share in row):
        skip.add("mixture_weights")  # uniform, as by default
    fields = [name for name in HybridConfig.model_fields if name not in skip and name in dumped]
    return {"n_blocks": config.n_blocks} | {name: dumped[name] for name in fields}


def given_text(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults of a text, and its source.

    Args:
        config: The configuration of a run that has a text.
    """
    usual = {name: field.default for name, field in TextConfig.model_fields.items()}
    usual["cache_dir"] = None
    given = {name: config.data.get(name, default) for name, default in usual.items()}
    return {name: value for name, value in given.items() if value != usual[name]}


def given_settings(config: RunConfig) -> dict[str, Any]:
    """What differs from the defaults of every run, such as its name.

    Args:
        config: The configuration of a run.
    """
    dumped = config.model_dump(mode="json", exclude_defaults=True)
    return {name: dumped[name] for name in RunSettings.model_fields if name in dumped}


def _hybrid_arguments(config: RunConfig) -> list[str]:
    given = given_hybrid(config)
    blocks = given.pop("n_blocks")
    seed = {"seed": config.seed} if config.seed else {}
    return [
        _literal(list(config.components)),
        str(blocks),
        *(f"{name}={_literal(value)}" for name, value in (given | seed).items()),
    ]


def _text_arguments(config: RunConfig) -> list[str]:
    text = given_text(config)
    source = text.pop("source")
    return [_literal(source), *(f"{name}={_literal(value)}" for name, value in text.items())]


def _literal(value: Any) -> str:
    return pformat(value, width=_WIDTH, sort_dicts=False, compact=True)


def _call(function: str, arguments: list[str]) -> str:
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    indented = [argument.replace("\n", "\n    ") for argument in arguments]
    return f"{function}(\n    " + ",\n    ".join(indented) + ",\n)"
