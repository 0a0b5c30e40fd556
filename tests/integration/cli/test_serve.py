"""`serve` when it fails to start: one line, and the exit status."""

import socket
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from webhook.pki import ca

_Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("option", "address"),
    [
        *(("--bind", address) for address in ("", "localhost", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1")),
        *(("--bind", address) for address in ("::1:8443", "[::1", "[::1]", "[::1:0")),
        ("--health-bind", "127.0.0.1:http"),
    ],
)
def test_serve_address_invalid_refused_with_example(run: _Run, option: str, address: str) -> None:
    other = "--health-bind" if option == "--bind" else "--bind"
    done = run("serve", option, address, other, "127.0.0.1:0")
    assert (done.returncode, done.stdout) == (2, "")
    line, hint = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert option in line
    assert "127.0.0.1:8443" in line
    assert hint.startswith("hint: registry-webhook serve ")


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    now = datetime.now(UTC)
    made = ca.sign(ca.create_ca("test", now, timedelta(days=1)), ["localhost"], now, timedelta(days=1))
    (tmp_path / "tls.crt").write_bytes(made.certificate)
    (tmp_path / "tls.key").write_bytes(made.key)
    return ["--cert", "tls.crt", "--key", "tls.key", "--log-level", "error"]


@pytest.mark.parametrize("taken", ["--bind", "--health-bind"])
def test_serve_address_in_use_one_line(run: _Run, pair: list[str], taken: str) -> None:
    free = "--health-bind" if taken == "--bind" else "--bind"
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        done = run("serve", taken, address, free, "127.0.0.1:0", *pair)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert address in line


def test_serve_unknown_host_one_line(run: _Run, pair: list[str]) -> None:
    done = run("serve", "--bind", "host.invalid:0", "--health-bind", "127.0.0.1:0", *pair)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "host.invalid:0" in line
    assert "bind on address" not in line


def test_serve_bind_error_before_certificate_wait(run: _Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        done = run("serve", "--bind", address, "--health-bind", "127.0.0.1:0", "--cert", "gone", "--key", "gone")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_serve_client_name_without_ca_refused(run: _Run, pair: list[str]) -> None:
    done = run("serve", *pair, "--bind=127.0.0.1:0", "--health-bind=127.0.0.1:0", "--client-name=kube-apiserver")
    assert (done.returncode, done.stdout) == (2, "")
    line, hint = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert hint.startswith("hint: ")
    assert all(option in line for option in ("--client-name", "--client-ca"))
