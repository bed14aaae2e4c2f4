"""The order of the test files."""

from __future__ import annotations

import pytest

FIRST = "tests/test_miniature.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file comes first: its tests stay on one worker, and the others have the rest to do meanwhile."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))
