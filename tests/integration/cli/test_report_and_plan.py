"""`registry-webhook report` and `plan` without a cluster: what they say then, and what they take."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

_Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("command", ["report", "plan"])
def test_without_a_cluster_it_is_one_line_and_status_2(call: _Run, tmp_path: Path, command: str) -> None:
    ran = call(command, "--kubeconfig", str(tmp_path / "missing"))
    assert ran.returncode == 2
    assert ran.stderr.startswith("registry-webhook: no cluster to connect to: ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(("command", "form"), [("report", "html"), ("report", "table"), ("plan", "json")])
def test_every_form_is_offered(call: _Run, command: str, form: str) -> None:
    ran = call(command, "--help")
    assert ran.returncode == 0
    assert form in ran.stdout


@pytest.mark.parametrize("words", [("report", "--fail-on", "rain"), ("plan", "-o", "html")])
def test_what_there_is_not_is_refused(call: _Run, words: tuple[str, ...]) -> None:
    ran = call(*words)
    assert ran.returncode == 2
    assert "Invalid value" in ran.stderr
