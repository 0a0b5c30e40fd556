"""Credential providers: results, omissions and errors."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.provider_factory import LOGIN, PASSWORD, SERVER, chosen, configured, keys, refusal
from webhook.credentials.provider import CredentialProvider
from webhook.errors import InvalidCredential
from webhook.pull_secret.credential import Entry
from webhook.pull_secret.keyring import lookup

_REGISTRY = {"server": SERVER, **LOGIN}
_RULE = {"from": "quay.io", "to": "mirror.example.com/quay"}


@pytest.mark.parametrize(
    ("registry", "webhook"),
    [
        ({}, {}),
        (LOGIN, {}),
        ({}, {"credential": {"helper": "x"}}),
        ({"server": SERVER}, {}),
        ({"server": SERVER, "email": "ops@example.com"}, {"rules": [_RULE]}),
        ({}, {"rules": [_RULE], "pull_secret": {"registries": [SERVER]}}),
    ],
)
def test_create_provider_without_credential_none(registry: dict[str, Any], webhook: dict[str, Any]) -> None:
    assert chosen(registry, **webhook) is None


@pytest.mark.parametrize(
    ("registry", "webhook", "named"),
    [
        ({"server": SERVER, "username": "robot"}, {}, "username opencti.daemon.registry.password"),
        ({"server": SERVER, "password": PASSWORD}, {}, "password opencti.daemon.registry.username"),
        (_REGISTRY, {"credential": {"file": "/x"}}, "opencti.daemon.registry.password webhook.credential.file"),
        ({"server": SERVER}, {"credential": {"file": "/x"}}, "opencti.daemon.registry.username"),
        ({"server": SERVER, "password": PASSWORD}, {"credential": {"docker_config": "/x"}}, "username password"),
        ({"server": SERVER, "username": "robot"}, {"credential": {"docker_config": "/x"}}, "username password"),
        (_REGISTRY, {"credential": {"helper": "x"}}, "webhook.credential.helper"),
        ({"server": SERVER, "username": "robot"}, {"credential": {"helper": "x"}}, "webhook.credential.helper"),
        ({"server": SERVER}, {"credential": {"username_file": "/x"}}, "webhook.credential.username_file opencti"),
        (
            {"server": SERVER},
            {"credential": {"username_file": "/x", "helper": "x"}},
            "webhook.credential.username_file",
        ),
        ({}, {"rules": [_RULE], "credential": {"username_file": "/x", "file": "/x"}}, "server"),
        (LOGIN, {"rules": [_RULE]}, "server"),
        ({"username": "robot"}, {"rules": [_RULE], "credential": {"file": "/x"}}, "server"),
        (LOGIN, {"rules": [_RULE], "credential": {"docker_config": "/x"}}, "server"),
    ],
)
def test_read_conflicting_settings_raises(registry: dict[str, Any], webhook: dict[str, Any], named: str) -> None:
    made = configured(registry, **webhook)
    said = refusal(made)
    assert all(name in said for name in named.split())
    assert made.fingerprint() is None


def test_static_entries_for_server_host_only() -> None:
    made = configured(
        _REGISTRY | {"server": f"{SERVER}/team", "email": "ops@example.com"},
        pull_secret={"registries": [f"{SERVER}/tools", "other.example.com"]},
        rules=[
            {"from": "gcr.io", "to": f"{SERVER}/quay"},
            {"from": "ghcr.io", "to": f"{SERVER}/team/ghcr"},
            _RULE,
        ],
    )
    reading = made.read()
    assert reading.credential.entries == tuple(
        Entry(f"{SERVER}/{path}/", "robot", PASSWORD, "ops@example.com") for path in ("quay", "team", "tools")
    )
    assert (reading.credential.expires, reading.credential.expiry_stated) == (None, False)
    (note,) = reading.notes
    assert "mirror.example.com/quay, other.example.com" in note
    assert made.fingerprint() is None
    assert PASSWORD not in repr(reading)


@pytest.mark.parametrize(
    ("source_prefix", "key"),
    [
        ("quay.io/coreos/etcd", f"{SERVER}/mirror/etcd"),
        ("quay.io", f"{SERVER}/mirror/etcd/"),
        ("docker.io/library/etcd", f"{SERVER}/mirror/etcd"),
        ("docker.io/etcd", f"{SERVER}/mirror/etcd/"),
    ],
)
def test_static_rule_target_covered(source_prefix: str, key: str) -> None:
    rules = [{"from": source_prefix, "to": f"{SERVER}/mirror/etcd"}]
    made = configured(_REGISTRY | {"server": f"{SERVER}/team"}, rules=rules)
    assert keys(made) == [key, f"{SERVER}/team/"]
    assert not made.read().notes


def test_static_many_registries_one_short_note() -> None:
    registries = [f"r{number}.example.com" for number in range(300)]
    (note,) = configured(_REGISTRY, pull_secret={"registries": registries}).read().notes
    assert "r0.example.com, r1.example.com" in note
    assert " 94 " in note
    assert len(note) < 300


def test_static_docker_hub_key_is_kubelet_default() -> None:
    assert keys(configured(_REGISTRY | {"server": "docker.io"})) == ["https://index.docker.io/v1/"]


def test_static_ipv6_without_port_noted() -> None:
    (note,) = configured(_REGISTRY | {"server": "[fd00::1]"}).read().notes
    assert "[fd00::1]" in note


def test_static_username_control_character_raises() -> None:
    assert "control character" in refusal(configured(_REGISTRY | {"username": "ro\nbot"}), InvalidCredential)


def _file(path: Path, **registry: Any) -> CredentialProvider:
    return configured({"server": SERVER, "username": "robot", **registry}, credential={"file": str(path)})


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (f"{PASSWORD}", PASSWORD),
        (f"{PASSWORD}\n", PASSWORD),
        (f"{PASSWORD}\r\n", PASSWORD),
        (f"{PASSWORD}\n\n", PASSWORD),
        (f" {PASSWORD} \t\n", f" {PASSWORD} \t"),
        (f"\n{PASSWORD}\nmore\n", f"\n{PASSWORD}\nmore"),
        (f'{PASSWORD}:"\\$пароль\n', f'{PASSWORD}:"\\$пароль'),
    ],
)
def test_password_file_trailing_newline_removed(tmp_path: Path, content: str, password: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content.encode())
    made = _file(path, email="ops@example.com")
    assert made.read().credential.entries == (Entry(SERVER, "robot", password, "ops@example.com"),)


def test_password_file_read_again_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("first")
    made = _file(path)
    assert made.read().credential.entries[0].password == "first"  # noqa: S105
    path.write_text("second")
    assert made.read().credential.entries[0].password == "second"  # noqa: S105


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the file is empty"),
        (b"\n\r\n", "the file is empty"),
        (b"kept-secret\xff", "not UTF-8"),
        (b"kept-secret" * 100_000, "larger than 1 MiB"),
    ],
)
def test_password_file_invalid_content_names_path(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    said = refusal(_file(path))
    assert said.startswith("webhook.credential.file: ")
    assert str(path) in said
    assert problem in said


def test_password_file_unreadable_names_path(tmp_path: Path) -> None:
    assert "no such file" in refusal(_file(tmp_path / "missing"))
    assert "directory" in refusal(_file(tmp_path))
    assert "\\n" in refusal(_file(tmp_path / "line\nbreak"))


def test_password_file_unusable_password_raises(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\0")
    assert "NUL" in refusal(_file(path), InvalidCredential)
    path.write_text(PASSWORD * 10_000)
    assert "64 KiB" in refusal(_file(path), InvalidCredential)


def _both(folder: Path, username: str | None, password: str | None = PASSWORD) -> CredentialProvider:
    """Give a source whose user name and password are files, like a Secret that is mounted."""
    for name, text in (("username", username), ("password", password)):
        if text is not None:
            (folder / name).write_text(text)
    credential = {"username_file": str(folder / "username"), "file": str(folder / "password")}
    return configured({"server": SERVER}, credential=credential)


@pytest.mark.parametrize(
    ("content", "username"), [("robot", "robot"), ("robot\n", "robot"), ("robot$team+x\r\n", "robot$team+x")]
)
def test_username_file_trailing_newline_removed(tmp_path: Path, content: str, username: str) -> None:
    assert _both(tmp_path, content).read().credential.entries == (Entry(SERVER, username, PASSWORD),)


def test_username_file_with_configured_password(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("robot\n")
    registry = {"server": SERVER, "password": PASSWORD, "email": "ops@example.com"}
    made = configured(registry, credential={"username_file": str(tmp_path / "username")})
    assert made.read().credential.entries == (Entry(SERVER, "robot", PASSWORD, "ops@example.com"),)
    before = made.fingerprint()
    assert before is not None
    (tmp_path / "username").write_text("other\n")
    assert made.fingerprint() != before
    assert made.read().credential.entries[0].username == "other"


def test_username_file_with_docker_config(tmp_path: Path) -> None:
    path = _write(tmp_path / "config.json", {SERVER: {"username": "theirs", "password": "x"}, "b.com": LOGIN})
    (tmp_path / "username").write_text("own\n")
    credential = {"username_file": str(tmp_path / "username"), "docker_config": str(path)}
    made = configured({"server": SERVER, "password": PASSWORD}, credential=credential)
    assert [entry.username for entry in made.read().credential.entries] == ["own", "robot"]
    before = made.fingerprint()
    (tmp_path / "username").write_text("other\n")
    assert made.fingerprint() != before


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_username_file_invalid_content_names_path(tmp_path: Path, content: str | None) -> None:
    said = refusal(_both(tmp_path, content))
    assert said.startswith("webhook.credential.username_file: ")
    assert str(tmp_path / "username") in said


def test_username_file_unusable_username_raises(tmp_path: Path) -> None:
    assert "colon" in refusal(_both(tmp_path, f"robot:{PASSWORD}"), InvalidCredential)
    assert "control character" in refusal(_both(tmp_path, f"robot\n{PASSWORD}"), InvalidCredential)


def test_fingerprint_changes_with_each_mounted_file(tmp_path: Path) -> None:
    made = _both(tmp_path, None, None)
    seen = [made.fingerprint()]
    for name in ("password", "username"):
        (tmp_path / name).write_text("kept-secret")
        seen.append(made.fingerprint())
    (tmp_path / "password").write_text("kept-secret, another")
    assert len({*seen, made.fingerprint()}) == 4


def _docker(path: Path, registry: dict[str, Any] | None = None, **webhook: Any) -> CredentialProvider:
    return configured(registry or {"server": SERVER}, credential={"docker_config": str(path)}, **webhook)


@pytest.mark.parametrize("make", [_file, _docker])
def test_fingerprint_depends_on_file_content(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "watched"
    made = make(path)
    missing = made.fingerprint()
    path.write_text("first")
    first = made.fingerprint()
    path.write_text("second")
    second = made.fingerprint()
    path.write_text("first")
    assert made.fingerprint() == first
    path.write_bytes(b"x" * 2_000_000)
    assert made.fingerprint() == missing
    path.unlink()
    path.mkdir()
    assert made.fingerprint() == missing
    assert len({missing, first, second}) == 3


def _write(path: Path, auths: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"auths": auths}))
    return path


def test_docker_config_all_entries_read(tmp_path: Path) -> None:
    auth = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
    path = _write(tmp_path / "config.json", {SERVER: {"auth": auth}, "https://other.example.com/v2/": LOGIN})
    reading = _docker(path).read()
    assert reading.credential.entries == (
        Entry(SERVER, "robot", PASSWORD),
        Entry("https://other.example.com/v2/", "robot", PASSWORD),
    )
    assert (reading.notes, reading.credential.expires) == ((), None)


def test_docker_config_without_server(tmp_path: Path) -> None:
    path = _write(tmp_path / "config.json", {"mirror.example.com": LOGIN})
    made = configured({}, credential={"docker_config": str(path)}, rules=[_RULE])
    assert keys(made) == ["mirror.example.com"]


@pytest.mark.parametrize(
    ("server", "theirs", "ours"),
    [
        (SERVER, SERVER, SERVER),
        (SERVER, f"https://{SERVER}/v1/", SERVER),
        (f"{SERVER}/team", f"{SERVER}/team", f"{SERVER}/team/"),
        (f"{SERVER}/team", f"http://{SERVER}/team/", f"{SERVER}/team/"),
        (f"{SERVER}/v2/team", f"{SERVER}/v2/v2/team", f"{SERVER}/v1/v2/team/"),
        ("docker.io", "https://index.docker.io/v1/", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_docker_config_own_login_replaces_server_entry(tmp_path: Path, server: str, theirs: str, ours: str) -> None:
    path = _write(tmp_path / "config.json", {theirs: {"username": "theirs", "password": "x"}, "b.com": LOGIN})
    reading = _docker(path, _REGISTRY | {"server": server}).read()
    assert [(entry.key, entry.username) for entry in reading.credential.entries] == [
        (ours, "robot"),
        ("b.com", "robot"),
    ]
    (note,) = reading.notes
    assert note.startswith(f"{theirs} ")
    (first, *_) = lookup(reading.credential.entries, f"{server}/image")
    assert first.username == "robot"


def test_docker_config_more_specific_entry_first(tmp_path: Path) -> None:
    path = _write(tmp_path / "config.json", {f"{SERVER}/team/": {"username": "team", "password": PASSWORD}})
    reading = _docker(path, _REGISTRY).read()
    found = lookup(reading.credential.entries, f"{SERVER}/team/app")
    assert [entry.username for entry in found] == ["team", "robot"]


def test_docker_config_invalid_entry_skipped_with_note(tmp_path: Path) -> None:
    path = _write(tmp_path / "config.json", {SERVER: LOGIN, "b.com": {"identitytoken": PASSWORD}, "c.com": {}})
    reading = _docker(path).read()
    assert reading.credential.entries == (Entry(SERVER, "robot", PASSWORD),)
    assert [note.split()[0] for note in reading.notes] == ['auths["b.com"]', 'auths["c.com"]']
    assert PASSWORD not in repr(reading)


def test_docker_config_without_server_entry_noted(tmp_path: Path) -> None:
    path = _write(tmp_path / "config.json", {"registry.example.org": LOGIN, f"{SERVER}:443": LOGIN})
    (note,) = _docker(path).read().notes
    assert f"no entry is for images of {SERVER}" in note


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{}", "auths has no entry"),
        ('{"auths": {"a.com": {}}, "credsStore": "desktop"}', 'auths["a.com"] is ignored: no username'),
        (f'{{"auths": {{"a.com": {{"identitytoken": "{PASSWORD}"}}}}}}', "the kubelet does not support tokens"),
        (f'{{"auths": "{PASSWORD}"}}', "auths must be a JSON object"),
        (PASSWORD, "invalid JSON"),
        (" " * 1_100_000, "larger than 1 MiB"),
    ],
)
def test_docker_config_without_usable_entry_names_path(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    said = refusal(_docker(path))
    assert said.startswith("webhook.credential.docker_config: ")
    assert str(path) in said
    assert problem in said


def test_docker_config_empty_own_login_used(tmp_path: Path) -> None:
    assert keys(_docker(_write(tmp_path / "config.json", {}), _REGISTRY)) == [SERVER]
    assert "no such file" in refusal(_docker(tmp_path / "missing", _REGISTRY))
