"""Kernels: Mamba's selective scan and the linear recurrence of the RG-LRU."""

from manticore.ops.backends import scan_backend, usable_backends
from manticore.ops.linear_recurrence import linear_recurrence
from manticore.ops.selective_scan import selective_scan
from manticore.ops.selective_step import selective_step

__all__ = [
    "linear_recurrence",
    "scan_backend",
    "selective_scan",
    "selective_step",
    "usable_backends",
]
