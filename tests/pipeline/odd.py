"""Odd values anywhere in a content, for tests of what foreign files may hold."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**70, 10**9, "a" * 300, "\0", "../../a", [], {}, [[]], {"a": 1}, [None] * 3])
    | st.floats()
    | st.text(max_size=4)
)
PLENTY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def places(values: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and item of a content; of long lists the first."""
    inner = values.items() if isinstance(values, dict) else enumerate(values[:4]) if isinstance(values, list) else ()
    return [place, *(deeper for key, value in inner for deeper in places(value, (*place, key)))]


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    content = node = copy.deepcopy(content)
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return content
