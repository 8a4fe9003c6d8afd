"""Kernels: the selective scan of Mamba."""

from manticore.ops.selective_scan import scan_backend, selective_scan

__all__ = ["scan_backend", "selective_scan"]
