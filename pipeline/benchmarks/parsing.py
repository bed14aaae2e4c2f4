"""How a benchmark's options are declared."""

from __future__ import annotations

import argparse


def bench_parser(command: str, text: str | None, example: str) -> argparse.ArgumentParser:
    """A parser for a benchmark: described by its module's text, with an example; it prints JSON when asked to."""
    parser = argparse.ArgumentParser(
        prog=command,
        description=(text or "").strip(),
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print conditions and figures as JSON, and nothing else")
    return parser
