"""A progress bar is shown only on a terminal."""

import os
from contextlib import suppress

import pytest

from webhook.output import progress


def test_bar_on_terminal_shows_count_and_total(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with progress.bar("Reading Pods") as report:
            report(500, 10_000)
            report(10_000, None)
        monkeypatch.undo()
    shown = b""
    with suppress(OSError):  # the other end is closed, and all has come
        while piece := os.read(ours, 65_536):
            shown += piece
    os.close(ours)
    assert b"Reading Pods" in shown
    assert b"10000/10000" in shown


def test_bar_without_terminal_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.bar("Reading Pods") as report:
        report(500, 10_000)
    assert capfd.readouterr() == ("", "")
