"""Progress is one line on a terminal, cleared afterwards, and nothing elsewhere."""

import fcntl
import os
import struct
import termios
from collections.abc import Callable
from contextlib import suppress

import pytest

from webhook.output import progress, terminal

_CLEAR = "\r\x1b[K"


def _shown(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None], columns: int = 80) -> str:
    """Return what a terminal gets on standard error."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        work()
        monkeypatch.undo()
    shown = b""
    with suppress(OSError):  # the other end is closed, and everything has been read
        while piece := os.read(ours, 65_536):
            shown += piece
    os.close(ours)
    return shown.decode()


def test_step_on_terminal_shown_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with progress.step("Reading Pods") as report:
            report(500, 10_000)
            report(10_000, None)

    lines = _shown(monkeypatch, work).split(_CLEAR)
    assert lines == ["", "Reading Pods ...", "Reading Pods ... 500 of 10,000", "Reading Pods ... 10,000", ""]


def test_step_nested_outer_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with progress.step("Reading the cluster"), progress.step("Reading Pods"):
            pass

    lines = [line for line in _shown(monkeypatch, work).split(_CLEAR) if line]
    assert lines == ["Reading the cluster ...", "Reading Pods ...", "Reading the cluster ..."]


def test_step_failed_cleared_before_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with suppress(ValueError), progress.step("Reading Pods"):
            raise ValueError
        terminal.error("refused")

    assert _shown(monkeypatch, work) == f"{_CLEAR}Reading Pods ...{_CLEAR}\x1b[31merror:\x1b[0m refused\r\n"


def test_line_written_in_step_does_not_share_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with progress.step("Reading Pods"):
            terminal.hint("end it")

    assert f"{_CLEAR}\x1b[36mhint:\x1b[0m end it\r\n" in _shown(monkeypatch, work)


def test_step_narrow_terminal_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    def work() -> None:
        with progress.step("Waiting until the refreshers have stopped"):
            pass

    assert max(map(len, _shown(monkeypatch, work, 20).split(_CLEAR))) < 20


def test_step_dumb_terminal_one_line_without_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    def work() -> None:
        with progress.step("Reading Pods") as report:
            report(1, 2)

    assert _shown(monkeypatch, work) == "Reading Pods ...\r\n"


def test_step_without_terminal_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.step("Reading Pods") as report:
        report(500, 10_000)
    assert capfd.readouterr() == ("", "")


def test_step_standard_error_closed_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with progress.step("Reading Pods") as report:
        report(1, None)
