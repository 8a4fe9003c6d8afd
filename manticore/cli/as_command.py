"""A run as the command that starts it."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from manticore.cli.flags import Flags
from manticore.config.run import HybridConfig, RunConfig, RunSettings
from manticore.config.text import TextConfig
from manticore.names import STAGES
from manticore.views.as_code import given_hybrid, given_options, given_text


def command_of(config: RunConfig) -> str:
    """The command that does what a run does; options that have their defaults are left out.

    Args:
        config: The configuration.

    Raises:
        ValueError: The run was started with a hybrid that came from elsewhere, or an option cannot
            be given on a command line.
    """
    stage, parent = STAGES[config.stage], config.start and config.start.parent
    words = ["manticore", config.stage]
    if parent:
        words.append(parent.run)
    elif config.start and not config.start.built:
        raise ValueError(
            "The hybrid of this run was made elsewhere: a command can start from its run alone."
        )
    else:
        words += config.components
        words += _flags(HybridConfig, given_hybrid(config))
    if stage.needs_text:
        # Where tokens are kept is a matter of $MANTICORE_CACHE.
        text = {k: v for k, v in given_text(config).items() if k != "cache_dir"}
        words += _flags(TextConfig, text)
    options = given_options(config.options)
    words += _flags(type(config.options), options, others=True)
    settings = config.model_dump(mode="json", exclude_defaults=True)
    words += _flags(
        RunSettings, {k: settings[k] for k in RunSettings.model_fields if k in settings}
    )
    return shlex.join(words)


def _flags(model: Any, values: Mapping[str, Any], others: bool = False) -> list[str]:
    """The words that give some options of a model.

    Args:
        model: The model.
        values: The options.
        others: Whether what has no flag is given by `--set`.
    """
    words, left = Flags(model).words(values)
    if left and not others:
        raise ValueError(f"{', '.join(left)} cannot be given on a command line: use Python.")
    for name, value in left.items():
        written = json.dumps(value) if isinstance(value, list | dict) else value
        words += ["--set", f"{name}={written}"]
    return words
