"""Runs the command line as a user does: as a process of its own, in an empty folder, with a clean environment."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

import webhook
from webhook.cli import main

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_OURS = ("OPENCTI__", "WEBHOOK__", "REGISTRY_WEBHOOK_", "_REGISTRY_WEBHOOK_", "NO_COLOR")
_LIMIT = 60


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Give an environment without any setting of ours, in which the tested package is the one that is imported."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**found, "PYTHONPATH": str(Path(webhook.__file__).resolve().parents[1])}


@pytest.fixture
def run(tmp_path: Path, module_run: Run) -> Run:
    """Give a function that runs a command in the test's folder: its words, its input, and variables to add."""
    return partial(module_run, folder=tmp_path)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Give what does the same as `run` without a process, for commands that leave nothing behind in this one."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith((*_OURS, "KUBE"))]:
        monkeypatch.delenv(name)

    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["registry-webhook", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(words, ended.value.code, out, err)

    return call


@pytest.fixture(scope="session")
def module_run(environment: dict[str, str]) -> Run:
    """Give a function that runs a command to its end in a folder, for what several tests look at."""

    def run(
        *words: str, folder: Path, stdin: str | bytes = "", variables: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**environment, **(variables or {})},
            start_new_session=True,
        )
        try:
            out, err = (text.decode() for text in process.communicate(_bytes(stdin), _LIMIT))
        except subprocess.TimeoutExpired:
            # A server that was not to start has workers, which would outlive it.
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"still running: {process.communicate()}")
        assert "Traceback" not in out + err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run
