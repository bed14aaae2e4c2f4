"""Freed memory stays with the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# Pages that come back from the kernel are faulted in again, one by one: 16 MB are 4,096 of them.
FAULTS = """
import ctypes
import resource
import sys
import numpy as np
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: where the kernel has huge pages left, it faults in few
if sys.argv[1] == "kept":
    from flows.memory import keep_freed_memory
    keep_freed_memory()
np.ones(2**24, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(2**25, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_large_blocks_are_not_faulted_in_again() -> None:
    def faults(how: str) -> int:
        # Another test may have called `ccm` in this very process, which leaves its wish in the environment.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        command = [sys.executable, "-c", FAULTS, how]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)

    assert faults("kept") < faults("default") / 2
