"""What the command understands."""

from __future__ import annotations

import pytest

from flows.cli import _arguments


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        (["exp", "show", "--csv", "--no-pager"], ["--csv", "--no-pager"]),
        (["exp", "show"], []),
        (["bench", "data", "--json", "--parts", "store"], ["--json", "--parts", "store"]),
    ],
)
def test_options_of_the_commands_behind_are_handed_on(typed: list[str], rest: list[str]) -> None:
    assert _arguments(typed).rest == rest


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _arguments(["run", "--fast"])
    assert "unrecognized arguments: --fast" in capsys.readouterr().err
