"""Imported once by the server that forks workers for the tests."""

import accelerate  # noqa: F401
import peft  # noqa: F401
import pytest  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401

import manticore.runs.stages
import manticore.runs.worker  # noqa: F401
