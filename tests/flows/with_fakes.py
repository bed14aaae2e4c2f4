"""`ccm`, with the stand-in stages of this folder beside the real ones."""

import sys
from pathlib import Path

import pipeline.steps
from flows.cli import main

pipeline.steps.__path__.append(str(Path(__file__).parent / "steps"))

if __name__ == "__main__":
    sys.exit(main())
