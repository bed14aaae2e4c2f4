"""What a command that touches a network need not import, and still gets when it asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import model, model.detector, torch
from model import checkpoints
spec = {"architecture": "ccm", "backbone": "tf_efficientnet_lite0", "input_size": [64, 64], "mixers": [8]}
network = model.build(spec, 2)
checkpoints.save(network, sys.argv[1], {"keypoint_names": ["a", "b"], "trained_on": "nothing"})
read = checkpoints.load(sys.argv[1]).state_dict()
assert all(torch.equal(value, read[name]) for name, value in network.state_dict().items())
assert "torch._dynamo" not in sys.modules
from torchvision.ops.roi_align import is_compile_supported
print(is_compile_supported("cpu"), is_compile_supported("meta"))
assert torch._dynamo is sys.modules["torch._dynamo"] and torch._dynamo.__file__
assert torch.compile(torch.nn.Linear(2, 3), backend="eager")(torch.zeros(1, 2)).shape == (1, 3)
"""


def test_the_compiler_is_imported_by_whoever_wants_it_and_nobody_else(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("True False\n", 0), ended.stderr
