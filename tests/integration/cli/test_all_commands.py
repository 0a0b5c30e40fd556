"""Common behavior of all commands: help, one-line errors, exit statuses."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import webhook

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_COMMANDS = ["serve", "resolve", "review", "config", "certs", "cleanup", "demo", "completion"]

#: A call of each command that reads the configuration.
_READING = {
    "serve": ["serve", "--bind", "127.0.0.1:0", "--health-bind", "127.0.0.1:0"],
    "resolve": ["resolve", "nginx"],
    "review": ["review", "-"],
    "config": ["config"],
    "config --check": ["config", "--check"],
}


def test_version_option_prints_version(run: _Run) -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert webhook.__version__ in done.stdout
    assert "registry-webhook" in done.stdout


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(run: _Run, flag: str) -> None:
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    for command in _COMMANDS:
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_command_has_examples(run: _Run, command: str) -> None:
    done = run(command, "-h")
    assert (done.returncode, done.stderr) == (0, "")
    _, found, examples = done.stdout.partition("Examples:\n")
    assert found
    assert f"registry-webhook {command}" in examples


def test_no_command_prints_help(run: _Run) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "'bogus'"),
        (["revew"], "'review'"),
        (["--bogus"], "'--bogus'"),
        (["resolve"], "'IMAGE...'"),
        (["resolve", "--bogus", "nginx"], "'--bogus'"),
        (["resolve", "--output", "xml", "nginx"], "'xml'"),
        (["review"], "'FILE...'"),
        (["review", "--output", "xml", "-"], "'xml'"),
        (["config", "extra"], "(extra)"),
        (["completion", "tcsh"], "'tcsh'"),
        (["serve", "--drain", "soon"], "'soon'"),
    ],
)
def test_usage_error_one_line(run: _Run, words: list[str], said: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert hint.startswith("hint: registry-webhook ")


@pytest.mark.parametrize("command", _READING)
def test_configuration_invalid_one_line_per_error(run: _Run, command: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("webhook:\n  verify: maybe\n  zzz: 1\n")
    done = run(*_READING[command], "--config", "broken.yaml", variables={"WEBHOOK__ON_ERROR": "explode"})
    assert (done.returncode, done.stdout) == (2, "")
    errors = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert [line.startswith("error: ") for line in errors] == [True] * 3
    for key, origin in (
        ('webhook.verify = "maybe"', "broken.yaml:2"),
        ("webhook.zzz", "broken.yaml:3"),
        ('webhook.on_error = "explode"', "WEBHOOK__ON_ERROR"),
    ):
        assert [key in line and origin in line for line in errors].count(True) == 1
    (verify,) = [line for line in errors if "webhook.verify" in line]
    assert all(value in verify for value in ("off", "strict", "warn"))


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        *((command, "gone.yaml", "") for command in _READING),
        ("config", "folder", ""),
        ("config", "large.yaml", "1 MiB"),
    ],
)
def test_configuration_unreadable_one_line(run: _Run, command: str, name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    done = run(*_READING[command], "--config", name)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert line.startswith("error: ")
    assert name in line
    assert said in line


def test_configuration_path_from_variable(run: _Run, tmp_path: Path) -> None:
    (tmp_path / "named.yaml").write_text("opencti: {daemon: {registry: {server: r.example.com}}}")
    done = run("resolve", "nginx", variables={"REGISTRY_WEBHOOK_CONFIG": "named.yaml"})
    assert done.stdout.startswith("nginx -> r.example.com/nginx ")


def test_config_option_overrides_variable(run: _Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"opencti: {{daemon: {{registry: {{server: {name}.example.com}}}}}}")
    done = run("resolve", "nginx", "--config", "b.yaml", variables={"REGISTRY_WEBHOOK_CONFIG": "a.yaml"})
    assert done.stdout.startswith("nginx -> b.example.com/nginx ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("words", [["config"], ["resolve", "nginx"]])
def test_output_device_full_one_line(environment: dict[str, str], tmp_path: Path, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "webhook", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    (line,) = done.stderr.decode().splitlines()
    assert "no space left on device" in line.lower()


@pytest.mark.parametrize("words", [["resolve", "-"], ["review", "-"], ["review", "--output", "yaml", "-"]])
def test_output_closed_by_reader_no_error(environment: dict[str, str], tmp_path: Path, words: list[str]) -> None:
    pod = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: nginx}]}\n---\n"
    # Far more than any pipe holds, so that the writer is still writing when the reader goes.
    (tmp_path / "input").write_text("nginx\n" * 20_000 if words[0] == "resolve" else pod * 2000)
    with (tmp_path / "input").open("rb") as source:
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook", *words],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment,
        )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert said == b""
