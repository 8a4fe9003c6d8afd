"""Imported once by the server that forks workers for the tests: all that their work needs."""

from importlib import import_module

import accelerate  # noqa: F401
import numba  # noqa: F401
import peft  # noqa: F401
import pytest  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

import manticore.components.mixers.fast
import manticore.data
import manticore.hybrid.build
import manticore.runs.stages
import manticore.runs.worker  # noqa: F401
from manticore.names import STAGES
from tests.tiny import FAMILY_NAMES

for stage in STAGES.values():
    stage.load()
for family in FAMILY_NAMES:
    import_module(f"transformers.models.{family}.modeling_{family}")
