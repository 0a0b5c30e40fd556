"""The helper provider: a real program is called for every registry, and says how long its credential is valid."""

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.provider_factory import NOW, PASSWORD, SERVER, configured, keys, refusal
from webhook.credentials.provider import CredentialProvider
from webhook.errors import CredentialProviderError, InvalidCredential

#: A helper that answers for the registry it is asked for with what the file `answers.json` beside it holds.
_PROGRAM = """
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__))
asked = sys.stdin.read()
with open(f"{folder}/asked", "a") as file:
    print(asked, file=file)
answer = json.load(open(f"{folder}/answers.json")).get(asked)
if answer is None:
    print("credentials not found in native keychain")
    sys.exit(1)
if isinstance(answer, int):
    sys.exit(answer)
print(json.dumps(answer))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "docker-credential-test"
    program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
    program.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def _answers(folder: Path, **answers: Any) -> None:
    (folder / "answers.json").write_text(json.dumps(answers))


def _told(username: str = "robot", secret: str = PASSWORD, **more: Any) -> dict[str, Any]:
    return {"Username": username, "Secret": secret, **more}


def _asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().split()


def _helped(environment: dict[str, str], server: str | None = SERVER, **webhook: Any) -> CredentialProvider:
    credential = {"helper": "test"} | webhook.pop("credential", {})
    return configured({"server": server} if server else {}, environment, credential=credential, **webhook)


def _jwt(exp: float) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, {"exp": exp})]
    return ".".join([*parts, PASSWORD])


def test_helper_asked_once_per_host_server_first(tmp_path: Path, environment: dict[str, str]) -> None:
    hub, mirror, server = "https://index.docker.io/v1/", "mirror.example.com:5000", f"{SERVER}/team"
    _answers(tmp_path, **{hub: _told("hub"), mirror: _told("mirror"), SERVER: _told("server")})
    made = _helped(
        environment,
        server,
        pull_secret={"registries": ["docker.io", f"{mirror}/tools", f"{SERVER}/tools"]},
        rules=[{"from": "quay.io", "to": f"{mirror}/quay"}],
    )
    reading = made.read()
    assert _asked(tmp_path) == [SERVER, mirror, hub]
    assert {entry.key: entry.username for entry in reading.credential.entries} == {
        f"{SERVER}/team/": "server",
        f"{SERVER}/tools/": "server",
        hub: "hub",
        f"{mirror}/tools/": "mirror",
        f"{mirror}/quay/": "mirror",
    }
    assert not reading.notes
    assert made.fingerprint() is None


def test_helper_host_spellings_asked_once(tmp_path: Path, environment: dict[str, str]) -> None:
    _answers(tmp_path, **{SERVER: _told()})
    rules = [{"from": "quay.io", "to": f"{SERVER.title()}:443/quay"}]
    read = _helped(environment, rules=rules).read()
    assert _asked(tmp_path) == [SERVER]
    assert {entry.key for entry in read.credential.entries} == {SERVER, f"{SERVER.title()}:443/quay/"}


@pytest.mark.parametrize(
    ("answer", "life", "told"),
    [
        (_told(), None, False),
        (_told(ExpiresAt=NOW + 60), 60, True),
        (_told(secret=_jwt(NOW + 90)), 90, True),
        (_told(secret=_jwt(NOW + 90), expires=NOW + 60), 60, True),
        (_told(secret=_jwt(NOW - 90), expires=NOW + 60), 60, True),
    ],
)
def test_helper_credential_expiry_as_stated(
    tmp_path: Path, environment: dict[str, str], answer: Any, life: int | None, told: bool
) -> None:
    _answers(tmp_path, **{SERVER: answer})
    credential = _helped(environment).read().credential
    assert (credential.expires, credential.expiry_stated) == (None if life is None else NOW + life, told)


def test_helper_life_setting_sets_assumed_expiry(tmp_path: Path, environment: dict[str, str]) -> None:
    _answers(tmp_path, **{SERVER: _told()})
    assert _helped(environment, credential={"helper_life": 100}).read().credential.expires == NOW + 100


@pytest.mark.parametrize(("first", "told"), [(60, True), (7200, False)])
def test_helper_earliest_expiry_wins(tmp_path: Path, environment: dict[str, str], first: int, told: bool) -> None:
    _answers(tmp_path, **{SERVER: _told(), "b.com": _told(expires=NOW + first)})
    made = _helped(environment, credential={"helper_life": 3600}, pull_secret={"registries": ["b.com"]})
    credential = made.read().credential
    assert (credential.expires, credential.expiry_stated) == (NOW + min(first, 3600), told)


@pytest.mark.parametrize("answer", [_told(expires=NOW - 5), _told(secret=_jwt(NOW - 5)), _told(expires=NOW)])
def test_helper_expired_credential_refused(tmp_path: Path, environment: dict[str, str], answer: Any) -> None:
    _answers(tmp_path, **{SERVER: answer})
    assert f"for {SERVER}: the credential expired" in refusal(_helped(environment))


@pytest.mark.parametrize("answer", [None, 3, _told("<token>")])
def test_helper_failing_for_server_others_read(tmp_path: Path, environment: dict[str, str], answer: Any) -> None:
    _answers(tmp_path, **{SERVER: answer, "b.com": _told()})
    reading = _helped(environment, pull_secret={"registries": ["b.com"]}).read()
    assert [entry.key for entry in reading.credential.entries] == ["b.com"]
    assert f"for {SERVER}" in str(reading.failure)
    _answers(tmp_path, **{SERVER: answer})
    refused = refusal(
        _helped(environment), CredentialProviderError if not isinstance(answer, dict) else InvalidCredential
    )
    assert f"for {SERVER}" in refused


def test_helper_failing_named_in_error(tmp_path: Path, environment: dict[str, str]) -> None:
    _answers(tmp_path, **{SERVER: 4})
    assert "exited with status 4" in refusal(_helped(environment))
    assert "not found on PATH" in refusal(_helped({"PATH": ""}))


def test_helper_identity_token_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    _answers(tmp_path, **{SERVER: _told("<token>")})
    assert f"for {SERVER}: the kubelet does not support identity tokens" in refusal(
        _helped(environment), InvalidCredential
    )


def test_helper_azure_identity_token_used_as_password(tmp_path: Path, environment: dict[str, str]) -> None:
    host = "myregistry.azurecr.io"
    _answers(tmp_path, **{host: {"ServerURL": "", **_told("<token>", f"{PASSWORD}\n")}})
    (entry,) = _helped(environment, host).read().credential.entries
    assert (entry.username, entry.password) == ("00000000-0000-0000-0000-000000000000", PASSWORD)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "no credential; log in"),
        (3, "exited with status 3"),
        (_told("<token>"), "identity token"),
        (_told(expires=NOW - 5), "expired 5 s ago"),
    ],
)
def test_helper_failing_for_further_registry_noted(
    tmp_path: Path, environment: dict[str, str], answer: Any, why: str
) -> None:
    _answers(tmp_path, **{SERVER: _told(), "b.com": answer, "c.com": _told()})
    reading = _helped(environment, pull_secret={"registries": ["b.com", "c.com"]}).read()
    assert [entry.key for entry in reading.credential.entries] == [SERVER, "c.com"]
    assert "for b.com" in reading.notes[0]
    assert why in reading.notes[0]
    assert "no entry is for images of b.com" in reading.notes[1]
    assert PASSWORD not in repr(reading)


def test_helper_no_server_one_registry_required(tmp_path: Path, environment: dict[str, str]) -> None:
    made = _helped(environment, server=None, pull_secret={"registries": ["b.com", "c.com"]})
    _answers(tmp_path, **{"c.com": _told()})
    assert keys(made) == ["c.com"]
    _answers(tmp_path)
    assert "for b.com: no credential" in refusal(made)


def test_helper_failing_later_entry_dropped(tmp_path: Path, environment: dict[str, str]) -> None:
    made = _helped(environment, pull_secret={"registries": ["b.com"]})
    _answers(tmp_path, **{SERVER: _told(), "b.com": _told("before", expires=NOW + 60)})
    assert [entry.expires for entry in made.read().credential.entries] == [None, NOW + 60]
    for failure in (1, None):
        _answers(tmp_path, **{SERVER: _told(), "b.com": failure})
        assert keys(made) == [SERVER]


@pytest.mark.parametrize(
    ("answer", "settings", "within"),
    [
        (_told(), {}, 120.0),
        (_told(), {"helper_life": 100}, None),
        (_told(expires=NOW + 60), {}, None),
        (_told(secret=_jwt(NOW + 90)), {}, None),
    ],
)
def test_helper_expiry_unstated_asked_in_two_minutes(
    tmp_path: Path, environment: dict[str, str], answer: Any, settings: dict[str, Any], within: float | None
) -> None:
    _answers(tmp_path, **{SERVER: _told(expires=NOW + 600), "b.com": answer})
    made = _helped(environment, credential=settings, pull_secret={"registries": ["b.com"]})
    assert made.read().refresh_after == within


def test_helper_expired_but_newer_credential_published(tmp_path: Path, environment: dict[str, str]) -> None:
    clock = iter([NOW, NOW + 1_000_000, NOW + 1_000_000, NOW]).__next__
    made = configured({"server": SERVER}, environment, clock, credential={"helper": "test"})
    for end in (60, 120):
        _answers(tmp_path, **{SERVER: _told(expires=NOW + end)})
        assert made.read().credential.expires == NOW + end
    assert "the credential expired 999880 s ago" in refusal(made)
    assert made.read().credential.expires == NOW + 120


def test_helper_timeout_setting_ends_process(tmp_path: Path) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text("#!/bin/sh\nsleep 600\n")
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    before = time.monotonic()
    said = refusal(_helped(environment, credential={"helper_timeout": 1}))
    assert f"timed out after 1 s (for {SERVER})" in said
    assert time.monotonic() - before < 20


def test_helper_registry_count_limited(tmp_path: Path, environment: dict[str, str]) -> None:
    registries = [f"r{number}.example.com" for number in range(60)]
    _answers(tmp_path, **{SERVER: _told()} | {registry: _told() for registry in registries})
    reading = _helped(environment, pull_secret={"registries": registries}).read()
    assert len(reading.credential.entries) == len(_asked(tmp_path)) == 51
    assert "not for r50.example.com" in reading.notes[0]
