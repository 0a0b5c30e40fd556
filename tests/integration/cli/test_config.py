"""`config`: the current configuration, and whether a file is valid."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from webhook.config import json_schema

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_TEXT = """\
opencti:
  daemon:
    registry:
      server: https://registry.example.com/
      username: robot
      password: hunter2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(_TEXT)
    return path


@pytest.mark.usefixtures("file")
def test_config_values_shown_with_origin(run: _Run) -> None:
    done = run("config", "--config", "config.yaml", variables={"WEBHOOK__VERIFY": "strict"})
    assert (done.returncode, done.stderr) == (0, "")
    for value, origin in (
        ('server: "registry.example.com"', "config.yaml:4"),
        ("username: robot", "config.yaml:5"),
        ('password: "********"', "config.yaml:6"),
        ("token_ttl: 1800", "default"),
        ("verify: strict", "WEBHOOK__VERIFY"),
    ):
        (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith(f"{value.split(':')[0]}: ")]
        assert [part.strip() for part in line.split("  # ")] == [value, origin]


@pytest.mark.usefixtures("file")
def test_config_password_masked(run: _Run) -> None:
    variables = {"OPENCTI__DAEMON__REGISTRY__PASSWORD": "hunter3"}
    for done in (
        run("config", "--config", "config.yaml"),
        run("config", "--config", "config.yaml", variables=variables),
    ):
        assert done.returncode == 0
        assert "hunter" not in done.stdout + done.stderr


@pytest.mark.usefixtures("file")
def test_config_output_valid_configuration(run: _Run, tmp_path: Path) -> None:
    shown = run("config", "--config", "config.yaml").stdout
    (tmp_path / "again.yaml").write_text(shown)
    assert run("config", "--config", "again.yaml", "--check").returncode == 0
    again = run("config", "--config", "again.yaml").stdout
    values = [[line.partition("  # ")[0].rstrip() for line in text.splitlines()] for text in (shown, again)]
    assert values[0] == values[1]


@pytest.mark.parametrize("text", ["", "\n"])
def test_config_empty_pipe_error(run: _Run, text: str) -> None:
    done = run("config", "--check", "-", stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error == "error: the configuration is empty (standard input)"
    assert "pipe" in hint


def test_config_empty_file_valid(run: _Run, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    for name in ("empty.yaml", "/dev/null"):
        assert run("config", "--check", name).returncode == 0


def test_config_no_file_shows_defaults(run: _Run) -> None:
    done = run("config")
    assert done.returncode == 0
    origins = {line.partition("  # ")[2] for line in done.stdout.splitlines()} - {""}
    assert origins == {"default"}


@pytest.mark.usefixtures("file")
def test_config_check_valid_file_reported(run: _Run) -> None:
    done = run("config", "--config", "config.yaml", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("config.yaml: ")


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("webhook:\n  verify: maybe\n", 1),
        ("webhook:\n  verify: maybe\n  zzz: 1\n", 2),
        ("webhook:\n  verify: maybe\n  zzz: 1\n  yyy: 1\n", 3),
        ("webhook: [}", 1),
        ("opencti: {daemon: {registry: {server: harbor}}}", 1),
    ],
)
def test_config_check_invalid_file_every_error(run: _Run, tmp_path: Path, text: str, errors: int) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    done = run("config", "--config", "bad.yaml", "--check")
    assert (done.returncode, done.stdout) == (2, "")
    found = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [line for line in found if "bad.yaml:" in line] == found
    assert len(found) == errors


def test_config_check_missing_file_one_line(run: _Run) -> None:
    done = run("config", "--config", "gone.yaml", "--check")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize("name", ["EMAIL", "PASSWORD"])
def test_config_variable_not_utf8_no_crash(run: _Run, name: str) -> None:
    done = run("config", variables={f"OPENCTI__DAEMON__REGISTRY__{name}": "a\udcff"})
    assert done.returncode in {0, 2}


def test_config_invalid_file_password_not_shown(run: _Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(_TEXT.replace("https://", "https://robot:hunter2@") + "      pasword: hunter2\n")
    for words in (["config"], ["config", "--check"]):
        done = run(*words, "--config", "bad.yaml", variables={"OPENCTI__DAEMON__REGISTRY__PASWORD": "hunter2"})
        assert done.returncode == 2
        assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("text", ["", "registry: {server: }", 'registry: {server: ""}', "registry: {username: robot}"])
@pytest.mark.parametrize("words", [(), ("--check",)])
def test_config_without_registry_and_rules_warns(run: _Run, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "config.yaml").write_text(text)
    done = run("config", "--config", "config.yaml", *words)
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert first.startswith("warning: no image is rewritten")
    assert second.startswith("hint: ")
    assert "config.yaml" in second


_CONFIG_MAP = """\
apiVersion: v1
kind: Namespace
metadata: {name: registry-webhook}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: registry-webhook, namespace: registry-webhook}
data:
  config.yaml: |
    registry:
      server: registry.example.com
"""


@pytest.mark.parametrize("words", [("--check", "-"), ("-", "--check"), ("--check", "--config", "-")])
@pytest.mark.parametrize("text", [_TEXT, _CONFIG_MAP])
def test_config_check_standard_input_and_config_map(run: _Run, words: tuple[str, ...], text: str) -> None:
    done = run("config", *words, stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "standard input: valid\n", "")


def test_config_check_manifests_errors_of_both_levels(run: _Run, tmp_path: Path) -> None:
    (tmp_path / "cm.yaml").write_text(_CONFIG_MAP.replace("server:", "sever:"))
    done = run("config", "--check", "cm.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "(cm.yaml:11)" in done.stderr
    done = run("config", "--check", "-", stdin=_CONFIG_MAP.partition("---")[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]


@pytest.mark.usefixtures("file")
def test_config_file_named_twice_refused(run: _Run) -> None:
    done = run("config", "config.yaml", "--config", "config.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    # The variable is only a default.
    done = run("config", "--check", "config.yaml", variables={"REGISTRY_WEBHOOK_CONFIG": "missing.yaml"})
    assert done.returncode == 0


def test_config_larger_than_limit_refused(run: _Run) -> None:
    done = run("config", "--check", "-", stdin=f"#{'x' * 1024 * 1024}\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "1 MiB" in done.stderr


def test_config_schema_printed(run: _Run) -> None:
    done = run("config", "--schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json_schema.document()
    done = run("config", "--schema", "--check")
    assert (done.returncode, done.stdout) == (2, "")
