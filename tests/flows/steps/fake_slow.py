"""A stage that takes `slow.seconds` (a file in the workspace), with a bar, a child process and a picture."""

import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

from pipeline.records.artefacts import written


def run(params, progress, item=None):
    seconds = float(Path("slow.seconds").read_text())
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("pids").write_text(f"{os.getpid()} {child.pid}")
    with progress.task("work"):
        for _ in progress.track(range(20), description="samples", unit="sample"):
            time.sleep(seconds / 20)
    child.kill()
    child.wait()
    progress.image("gradient", gradient(64, 48), "a gradient")
    with written(Path("out/slow.txt")) as temporary:
        temporary.write_text("done\n")
    return {"samples": 20}


def gradient(width, height):
    """A grey PNG, written by hand."""
    rows = b"".join(b"\0" + bytes(4 * x % 256 for x in range(width)) for _ in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
