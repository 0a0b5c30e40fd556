"""`resolve`: resolution of images, with reasons."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_CONFIGURATION = """\
opencti: {daemon: {registry: {server: registry.example.com}}}
webhook:
  rules:
    - from: quay.io
      to: registry.example.com/quay
  exclude: ["**/pause"]
"""

#: Written, resolved, reason, and what the words of the reason name.
_CASES = [
    ("nginx", "registry.example.com/nginx", "server", "registry.example.com"),
    ("team/app:1.0", "registry.example.com/team/app:1.0", "server", "registry.example.com"),
    (
        "quay.io/coreos/etcd:v3",
        "registry.example.com/quay/coreos/etcd:v3",
        "rule",
        "quay.io -> registry.example.com/quay",
    ),
    ("registry.example.com/app", "registry.example.com/app", "already-prefixed", "registry.example.com"),
    ("ghcr.io/team/app", "ghcr.io/team/app", "qualified", "ghcr.io"),
    ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10", "excluded", "**/pause"),
    ("Team/App", "Team/App", "invalid", "lower case"),
    ("nginx:", "nginx:", "invalid", "tag"),
    ("a b", "a b", "invalid", "character"),
]


@pytest.fixture
def resolve(run: _Run, tmp_path: Path) -> _Run:
    (tmp_path / "config.yaml").write_text(_CONFIGURATION)

    def resolve(*words: str, stdin: str | bytes = "") -> "subprocess.CompletedProcess[str]":
        done = run("resolve", "--config", "config.yaml", *words, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, "")
        return done

    return resolve


def test_resolve_text_shows_result_and_reason(resolve: _Run) -> None:
    lines = resolve(*(case[0] for case in _CASES)).stdout.splitlines()
    assert len(lines) == len(_CASES)
    for line, (written, resolved, _, why) in zip(lines, _CASES, strict=True):
        quote = '"' if " " in written else ""  # so that one sees where it ends
        arrow = "==" if written == resolved else "->"
        assert line.startswith(f"{quote}{written}{quote} {arrow} {quote}{resolved}{quote}  (")
        assert why in line


def test_resolve_json_one_object_per_line(resolve: _Run) -> None:
    lines = resolve("--output", "json", *(case[0] for case in _CASES)).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(entry["image"], entry["resolved"], entry["reason"]) for entry in found] == [case[:3] for case in _CASES]


def test_resolve_dash_reads_image_per_line(resolve: _Run) -> None:
    done = resolve("busybox", "-", "alpine", stdin="nginx\n\r\n\nredis:7\r\n")
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["busybox", "nginx", "redis:7", "alpine"]


@pytest.mark.parametrize("text", ["", "\n \r\n"])
@pytest.mark.parametrize("output", ["text", "json"])
def test_resolve_empty_stdin_error(run: _Run, text: str, output: str) -> None:
    done = run("resolve", "--output", output, "-", stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: standard input is empty")


def test_resolve_byte_order_mark_skipped(resolve: _Run) -> None:
    assert resolve("-", stdin="\ufeffnginx\n".encode()).stdout == resolve("nginx").stdout


_NO_IMAGES = b"a\xffb\n\xc3\xa9\na\x1b[31mb\na\x00b\na\xe2\x80\xaeb\n"


def test_resolve_invalid_bytes_escaped(resolve: _Run) -> None:
    done = resolve("-", stdin=_NO_IMAGES)
    lines = done.stdout.split("\n")[:-1]
    assert len(lines) == 5
    assert all(line.isascii() and line.isprintable() and " == " in line for line in lines)


def test_resolve_invalid_bytes_valid_json(resolve: _Run) -> None:
    lines = resolve("--output", "json", "-", stdin=_NO_IMAGES).stdout.split("\n")[:-1]
    assert [json.loads(line)["reason"] for line in lines] == ["invalid"] * 5
    assert "\x1b" not in "".join(lines)


def test_resolve_newline_in_image_one_line(resolve: _Run) -> None:
    assert len(resolve("nginx\nbusybox -> evil.example.com/busybox").stdout.splitlines()) == 1


def test_resolve_no_server_image_unchanged(run: _Run) -> None:
    done = run("resolve", "--output", "json", "nginx")
    assert json.loads(done.stdout)["reason"] == "no-registry"
    assert json.loads(done.stdout)["resolved"] == "nginx"


def test_resolve_configured_by_environment_alone(run: _Run) -> None:
    done = run("resolve", "nginx", variables={"OPENCTI__DAEMON__REGISTRY__SERVER": "https://r.example.com/"})
    assert done.stdout.startswith("nginx -> r.example.com/nginx ")
