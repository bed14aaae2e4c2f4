"""Memory that the allocator keeps: a training step frees and asks for the same large tensors again and again."""

from __future__ import annotations

import ctypes
import os

# glibc's names and mallopt's numbers. By default it gives every large block back to the kernel and faults it in anew.
_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 2**31 - 1),
    "MALLOC_TRIM_THRESHOLD_": (-1, 2**31 - 1),
    "MALLOC_TOP_PAD_": (-2, 2**28),
}


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks for reuse, here and in the processes we start; elsewhere nothing changes.

    Variables that the user has set win.
    """
    allocator = ctypes.CDLL(None)
    for variable, (number, value) in _SETTINGS.items():
        if variable not in os.environ and hasattr(allocator, "mallopt"):
            allocator.mallopt(number, value)
            os.environ[variable] = str(value)
