"""Whether output gets colors, and how errors are labelled."""

import io
from collections.abc import Mapping

import click
import pytest

from webhook.output import terminal


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "on_terminal", "in_file"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, True, True),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colors_follow_variables(
    monkeypatch: pytest.MonkeyPatch,
    variables: Mapping[str, str],
    on_terminal: bool,
    in_file: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (terminal.is_colored(_Terminal()), terminal.is_colored(io.StringIO())) == (on_terminal, in_file)


@pytest.mark.parametrize("chosen", [True, False])
def test_colors_option_overrides_variables(monkeypatch: pytest.MonkeyPatch, *, chosen: bool) -> None:
    monkeypatch.setenv("NO_COLOR" if chosen else "FORCE_COLOR", "1")
    with click.Context(click.Command(None), color=chosen):
        assert terminal.is_colored(io.StringIO()) is chosen


def test_error_label_colored_message_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal.error("a\x1bb", "do it")
    assert capsys.readouterr().err == "\x1b[31merror:\x1b[0m a\\x1bb\n\x1b[36mhint:\x1b[0m do it\n"
