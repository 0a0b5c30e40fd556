"""`explain` as a command; tests/installed shows its findings on a real cluster."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run
from tests.support.refresher_fixtures import pair, place
from tests.support.refresher_process import Place

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

#: The fixtures that are the same there.
__all__ = ["pair", "place"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "expected KIND/NAME or --filename FILE"),
        (("pod/x", "-f", "x.yaml"), "--filename cannot be used with pod/x"),
    ],
)
def test_explain_arguments_invalid_exit_2(call: _Run, words: tuple[str, ...], says: str) -> None:
    done = call("explain", *words)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error == f"error: {says}"
    assert hint.startswith("hint: ")


def test_explain_misspelt_kind_suggested(place: Place, call: _Run) -> None:
    done = call("explain", "--kubeconfig=kubeconfig", "deplyoment/web")
    assert done.returncode == 2
    assert "hint: did you mean deployment?" in done.stderr.splitlines()
    assert not place.api.asked


def test_explain_api_server_unreachable_one_line(place: Place, call: _Run) -> None:
    place.api.stop()
    done = call("explain", "--kubeconfig=kubeconfig", "pod/x")
    assert (done.returncode, done.stdout) == (2, "")
    line, hint = done.stderr.splitlines()
    assert line.startswith("error: cannot connect to https://")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: [", "(file.yaml:1)"),
        ("kind: ConfigMap", "no Pods or workloads"),
        ("{}", "not a Kubernetes manifest"),
    ],
)
def test_explain_file_without_pod_named(tmp_path: Path, call: _Run, text: str, says: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    done = call("explain", "--filename=file.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert "(file.yaml" in done.stderr


def test_explain_file_is_a_pipe(place: Place, call: _Run) -> None:
    """A process substitution, `-f <(helm template ...)`, is a pipe: it is read once, and cannot be searched."""
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: app, image: nginx}]}}"
    writing = threading.Thread(target=pipe.write_text, args=(pod,))
    writing.start()
    done = call("explain", "--kubeconfig=kubeconfig", "-f", str(pipe))
    writing.join()
    assert done.stderr.startswith("error: cannot reach the API server: ")


def test_explain_standard_input_empty_named_in_words(run: Run) -> None:
    done = run("explain", "-f", "-", stdin="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0].endswith("(standard input)")
