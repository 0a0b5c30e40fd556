"""Commands that wait for a cluster say so on a terminal, and nowhere else."""

import contextlib
import os

import pytest

from tests.integration.cli.conftest import Run
from tests.support.refresher_fixtures import pair, place
from tests.support.refresher_process import Place
from webhook.cli import main

#: The fixtures that are the same there.
__all__ = ["pair", "place"]

_COMMANDS = {
    "doctor": ["doctor"],
    "explain": ["explain", "pod/web"],
    "plan": ["plan", "team-0"],
    "report": ["report"],
    "cleanup": ["cleanup", "--dry-run"],
    "policy": ["policy", "guard", "--from-cluster"],
}


def _read_all(terminal: int) -> str:
    """Read what was written to a terminal whose other end is closed; it arrives in pieces."""
    pieces = []
    with contextlib.suppress(OSError):  # after the last piece
        while piece := os.read(terminal, 65_536):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()


@pytest.mark.parametrize("words", _COMMANDS.values(), ids=_COMMANDS)
def test_command_on_terminal_says_that_it_reads(
    place: Place, words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place.api.put("team-0", ours=True)
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.argv", ["registry-webhook", *words, "--kubeconfig=kubeconfig"])
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        with pytest.raises(SystemExit):
            main()
        monkeypatch.undo()
    shown = _read_all(ours)
    assert shown.startswith("\r\x1b[KReading ")
    assert "Reading" not in shown.split("\x1b[K")[-1]
    assert "Reading" not in capfd.readouterr().out


@pytest.mark.parametrize("words", _COMMANDS.values(), ids=_COMMANDS)
def test_command_without_terminal_is_silent(place: Place, words: list[str], call: Run) -> None:
    place.api.put("team-0", ours=True)
    done = call(*words, "--kubeconfig=kubeconfig")
    assert "Reading" not in done.stdout + done.stderr
