"""Runs commands as processes, in an empty folder, with a clean environment."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import webhook
from webhook.cli import main

Run = Callable[..., "subprocess.CompletedProcess[str]"]

_OURS = (
    *("OPENCTI__", "REGISTRY__", "WEBHOOK__", "REGISTRY_WEBHOOK_", "_REGISTRY_WEBHOOK_"),
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR"),
)
_LIMIT = 60


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give an environment without any setting of ours, in which the tested package is the one that is imported.

    `registry-webhook` is on the PATH, as where it is installed.
    """
    found = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "registry-webhook"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m webhook "$@"\n')
    program.chmod(0o755)
    path = os.pathsep.join([str(folder), found["PATH"]])
    return {**found, "PATH": path, "PYTHONPATH": str(Path(webhook.__file__).resolve().parents[1])}


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


@pytest.fixture
def api_queries() -> list[str]:
    """Return the paths and queries that `api_objects` was asked for."""
    return []


@pytest.fixture
def api_objects(tmp_path: Path, api_queries: list[str]) -> Iterator[dict[str, Any]]:
    """Serve an API with `kubeconfig` in the test's folder, and give its objects by their paths, to be changed."""
    objects: dict[str, Any] = {"/version": {"gitVersion": "v1.37.0"}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api_queries.append(self.path)
            found = objects.get(self.path.partition("?")[0])
            body = json.dumps(found or {"kind": "Status", "message": "not found"}).encode()
            self.send_response(found.get("code", 200) if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    yield objects
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)
