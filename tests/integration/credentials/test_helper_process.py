"""Credential helpers: real programs that answer, fail, hang, print too much and leave processes behind."""

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from webhook.credentials.helper_process import LIMIT, Answer, ask
from webhook.errors import CredentialProviderError

_SECRET = "kept-secret"  # noqa: S105 - what is looked for
_SERVER = "registry.example.com"
_LIMIT_S = 20


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def _install(folder: Path, script: str, name: str = "test", shebang: str = "#!/bin/sh", mode: int = 0o755) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"{shebang}\n{script}\n")
    program.chmod(mode)


def _print(folder: Path, answer: str, status: int = 0) -> None:
    _install(folder, f"cat >/dev/null\nprintf %s {shlex.quote(answer)}\nexit {status}")


def _refusal(environment: dict[str, str], name: str = "test", timeout: float = _LIMIT_S) -> str:
    with pytest.raises(CredentialProviderError) as refused:
        ask(name, _SERVER, environment, timeout)
    said = refused.value.one_line
    assert _SECRET not in f"{said} {refused.value!r} {refused.value.__cause__!r}"
    assert said.isprintable()
    return said


def test_ask_docker_protocol_followed(tmp_path: Path, environment: dict[str, str]) -> None:
    script = f"""
import json, sys
asked = sys.stdin.read()
print(json.dumps({{"ServerURL": asked, "Username": f"{{asked}} {{sys.argv[1:]}}", "Secret": "{_SECRET}"}}))
"""
    _install(tmp_path, script, shebang=f"#!{sys.executable}")
    answer = ask("test", "https://index.docker.io/v1/", environment, _LIMIT_S)
    assert answer == Answer("https://index.docker.io/v1/ ['get']", _SECRET)


@pytest.mark.parametrize(
    "secret", [f'{_SECRET}"', f"{_SECRET}\\", f"${_SECRET}", f"{_SECRET}:x", f"{_SECRET}-密码", f"{_SECRET}\n"]
)
def test_ask_secret_special_characters_unchanged(tmp_path: Path, environment: dict[str, str], secret: str) -> None:
    script = f"import json\nprint(json.dumps({{'Username': 'robot$team+name', 'Secret': {secret!r}}}))"
    _install(tmp_path, script, shebang=f"#!{sys.executable}")
    assert ask("test", _SERVER, environment, _LIMIT_S) == Answer("robot$team+name", secret)


def test_ask_helper_ignoring_stdin_answer_read(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, f"""exec <&-\necho '{{"username": "robot", "secret": "{_SECRET}"}}'""")
    assert ask("test", _SERVER, environment, _LIMIT_S) == Answer("robot", _SECRET)


def test_ask_helper_stderr_dropped(
    tmp_path: Path, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    noise = f"i=0; while [ $i -lt 3000 ]; do echo {_SECRET}-{'x' * 100} >&2; i=$((i+1)); done"
    _install(tmp_path, f"""{noise}\necho '{{"Username": "robot", "Secret": "{_SECRET}"}}'""")
    assert ask("test", _SERVER, environment, _LIMIT_S) == Answer("robot", _SECRET)
    assert capfd.readouterr() == ("", "")


def test_ask_environment_without_registry_settings(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, """printf '{"Username": "%s", "Secret": "%s"}' "$TOLD" "$(env | grep -c PASSWORD)" """)
    environment |= {"TOLD": "robot", "OPENCTI__DAEMON__REGISTRY__PASSWORD": _SECRET, "REGISTRY__PASSWORD": _SECRET}
    assert ask("test", _SERVER, environment, _LIMIT_S) == Answer("robot", "0")


@pytest.mark.parametrize(
    "answer",
    [
        "credentials not found in native keychain",
        "credentials not found in native keychain\n",
        "error getting credentials - err: credentials not found in native keychain (-25300)",
    ],
)
def test_ask_not_found_message_none(tmp_path: Path, environment: dict[str, str], answer: str) -> None:
    _print(tmp_path, answer, status=1)
    assert ask("test", _SERVER, environment, _LIMIT_S) is None


@pytest.mark.parametrize("answer", ["{}", '{"Username": "", "Secret": ""}', '{"ServerURL": "x", "Secret": null}'])
def test_ask_empty_object_none(tmp_path: Path, environment: dict[str, str], answer: str) -> None:
    _print(tmp_path, answer)
    assert ask("test", _SERVER, environment, _LIMIT_S) is None


@pytest.mark.parametrize(
    ("member", "expires"),
    [
        ('"ExpiresAt": "2027-01-02T03:04:05Z"', 1_798_859_045),
        ('"Expires": "2027-01-02T03:04:05+01:00"', 1_798_855_445),
        ('"expires": "2027-01-02T03:04:05.500000000Z"', 1_798_859_045.5),
        ('"expiresAt": 1798859045', 1_798_859_045),
        ('"expires_at": 1798859045.5', 1_798_859_045.5),
        ('"Expiration": "1798859045"', 1_798_859_045),
        ('"expiry": 5', 5),
        ('"Expires": 1798859045, "ExpiresAt": 1798859000', 1_798_859_000),
        ('"ExpiresAt": null', None),
        ('"ExpiresAt": ""', None),
        ('"ExpiresAt": 0', None),
        ('"ExpiresAt": "0001-01-01T00:00:00Z"', None),
    ],
)
def test_ask_expiry_parsed(tmp_path: Path, environment: dict[str, str], member: str, expires: float | None) -> None:
    _print(tmp_path, f'{{"Username": "robot", "Secret": "{_SECRET}", {member}}}')
    assert ask("test", _SERVER, environment, _LIMIT_S) == Answer("robot", _SECRET, expires)


@pytest.mark.parametrize(
    "value",
    [
        '"soon"',
        '"2027-01-02T03:04:05"',
        '"2027-01-02"',
        '"١٢"',
        "true",
        "[1]",
        "NaN",
        "Infinity",
        "1e300",
        "1798859045000",
        "1" + "0" * 400,
    ],
)
def test_ask_expiry_invalid_refused(tmp_path: Path, environment: dict[str, str], value: str) -> None:
    _print(tmp_path, f'{{"Username": "robot", "Secret": "{_SECRET}", "ExpiresAt": {value}}}')
    assert "neither RFC 3339 nor POSIX seconds" in _refusal(environment)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("", "not JSON in UTF-8"),
        (_SECRET, "not JSON in UTF-8"),
        (f'{{"Username": "robot", "Secret": "{_SECRET}"', "not JSON in UTF-8"),
        ("[" * 100_000, "not JSON in UTF-8"),
        (f'"{_SECRET}"', "not a JSON object"),
        (f'["{_SECRET}"]', "not a JSON object"),
        (f'{{"Username": 1, "Secret": "{_SECRET}"}}', "must be strings"),
        (f'{{"Username": "robot", "Secret": ["{_SECRET}"]}}', "must be strings"),
    ],
)
def test_ask_invalid_answer_not_shown(tmp_path: Path, environment: dict[str, str], answer: str, problem: str) -> None:
    _print(tmp_path, answer)
    assert problem in _refusal(environment)


def test_ask_answer_not_utf8_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, r"""printf '{"Username": "robot", "Secret": "kept-secret\377"}'""")
    assert "not JSON in UTF-8" in _refusal(environment)


def test_ask_exit_status_in_error(tmp_path: Path, environment: dict[str, str]) -> None:
    _print(tmp_path, f"cannot log in with {_SECRET}", status=3)
    assert _refusal(environment).startswith("docker-credential-test: exited with status 3; run it")


def test_ask_signal_in_error(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, "kill -9 $$")
    assert "was killed by signal 9" in _refusal(environment)


def test_ask_helper_missing_error_names_path(environment: dict[str, str]) -> None:
    assert _refusal(environment, "missing").startswith("docker-credential-missing: not found on PATH")
    assert "not found on PATH" in _refusal({}, "missing")


def test_ask_helper_not_executable_error(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, "", mode=0o644)
    assert "not executable" in _refusal(environment)


def test_ask_interpreter_missing_error(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, "", shebang="#!/nonexistent/interpreter")
    assert "cannot start: no such file" in _refusal(environment)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "a;b", "$(x)", "é", "test\n", "a" * 5000 + "/"])
def test_ask_helper_name_invalid_refused(environment: dict[str, str], name: str) -> None:
    assert "must consist of letters, digits and . _ -" in _refusal(environment, name)


def test_ask_timeout_kills_process_group(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, f"sleep 600 &\necho $! >{tmp_path}/child\necho $$ >{tmp_path}/parent\necho {_SECRET}\nwait")
    before = time.monotonic()
    assert "timed out after 0.5 s" in _refusal(environment, timeout=0.5)
    assert time.monotonic() - before < _LIMIT_S
    assert _is_gone(tmp_path / "child")
    assert _is_gone(tmp_path / "parent")


def test_ask_output_closed_then_hanging_killed(tmp_path: Path, environment: dict[str, str]) -> None:
    _install(tmp_path, f"echo $$ >{tmp_path}/parent\nexec >&-\nsleep 600 >/dev/null")
    assert "timed out after 0.5 s" in _refusal(environment, timeout=0.5)
    assert _is_gone(tmp_path / "parent")


@pytest.mark.parametrize("chatter", ["exec yes", "yes &\nwait"])
def test_ask_endless_output_killed(tmp_path: Path, environment: dict[str, str], chatter: str) -> None:
    _install(tmp_path, f"echo $$ >{tmp_path}/group\n{chatter}")
    assert f"larger than {LIMIT // 1024} KiB" in _refusal(environment)
    group = int((tmp_path / "group").read_text())
    assert _soon(lambda: not _group_lives(group))


def test_ask_answer_at_size_limit_read(tmp_path: Path, environment: dict[str, str]) -> None:
    answer = f'{{"Username": "robot", "Secret": "{_SECRET}"}}'
    _install(tmp_path, f"printf '%s%{LIMIT - len(answer)}s' '{answer}' ''")
    assert ask("test", _SERVER, environment, _LIMIT_S) == Answer("robot", _SECRET)
    _install(tmp_path, f"printf '%s%{LIMIT + 1 - len(answer)}s' '{answer}' ''")
    assert "larger than" in _refusal(environment)


@pytest.mark.parametrize(
    ("end", "timeout"), [("echo '{answer}'", _LIMIT_S), ("exit 3", _LIMIT_S), ("echo x", _LIMIT_S), ("wait", 0.5)]
)
def test_ask_helper_children_killed(tmp_path: Path, environment: dict[str, str], end: str, timeout: float) -> None:
    answer = f'{{"Username": "robot", "Secret": "{_SECRET}"}}'
    _install(
        tmp_path, f"sleep 600 &\necho $! >{tmp_path}/child\necho $$ >{tmp_path}/group\n{end.format(answer=answer)}"
    )
    before = time.monotonic()
    with contextlib.suppress(CredentialProviderError):
        assert ask("test", _SERVER, environment, timeout) == Answer("robot", _SECRET)
    assert time.monotonic() - before < _LIMIT_S
    assert _soon(lambda: not _group_lives(int((tmp_path / "group").read_text())))
    assert _is_gone(tmp_path / "child")


def test_answer_repr_without_secret() -> None:
    assert repr(Answer(_SECRET, _SECRET, 5)) == "Answer(expires=5)"


def _is_gone(file: Path) -> bool:
    return _soon(lambda: _state(int(file.read_text())) in {None, "Z"})


def _state(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _group_lives(group: int) -> bool:
    stats = (_fields(path) for path in Path("/proc").glob("[0-9]*/stat"))
    return any(fields[2] == str(group) and fields[0] != "Z" for fields in stats if fields)


def _fields(stat: Path) -> list[str]:
    try:
        return stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _soon(holds: object) -> bool:
    assert callable(holds)
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False
