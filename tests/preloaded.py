"""Imported once by the server that forks workers for the tests: all that their work needs."""

import gc
from importlib import import_module

from manticore.importing import without_collecting

with without_collecting():
    import accelerate  # noqa: F401
    import datasets  # noqa: F401  (by accelerate, where there are two processes)
    import peft.utils.transformers_weight_conversion  # noqa: F401
    import pytest  # noqa: F401
    import torch.distributed.checkpoint
    import torch.distributed.fsdp  # noqa: F401
    import transformers  # noqa: F401

    import manticore.components.mixers.fast
    import manticore.data
    import manticore.hybrid.build
    import manticore.ops.cpu.recurrence
    import manticore.ops.cpu.scan
    import manticore.runs.stages
    import manticore.runs.worker  # noqa: F401
    from manticore.names import STAGES, STRATEGIES
    from tests.tiny import FAMILY_NAMES

    for entry in (*STAGES.values(), *STRATEGIES.values()):
        entry.load()
    for family in FAMILY_NAMES:
        import_module(f"transformers.models.{family}.modeling_{family}")
gc.freeze()  # as the spare worker does it
