"""What a command that touches a network need not import, and still gets when it asks for it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import model, model.detector, torch
assert "torch._dynamo" not in sys.modules
from torchvision.ops.roi_align import is_compile_supported
print(is_compile_supported("cpu"), is_compile_supported("meta"))
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__file__
assert torch.compile(torch.nn.Linear(2, 3), backend="eager")(torch.zeros(1, 2)).shape == (1, 3)
"""


def test_the_compiler_is_imported_by_whoever_wants_it_and_nobody_else() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("True False\n", 0), ended.stderr
