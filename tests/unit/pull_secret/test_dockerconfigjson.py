"""Entries read from a docker config.json, and those that are ignored or rejected without being shown."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import CredentialProviderError, InvalidCredential
from webhook.pull_secret.credential import Entry, create_entry
from webhook.pull_secret.dockerconfigjson import LIMIT, parse

_PASSWORD = "kept-secret"  # noqa: S105 - what is looked for
_LOGIN = {"username": "robot", "password": _PASSWORD}


def _auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _parse(auths: dict[str, Any]) -> tuple[list[Entry], list[str]]:
    entries, notes = parse(json.dumps({"auths": auths}).encode())
    assert not [note for note in notes if _PASSWORD in note or not note.isprintable()]
    return entries, notes


def test_parse_all_registries_in_file_order() -> None:
    entries, notes = _parse(
        {
            "https://index.docker.io/v1/": {"auth": _auth(f"hub:{_PASSWORD}")},
            "registry.example.com": _LOGIN | {"email": "ops@example.com"},
            "*.dkr.ecr.eu-west-1.amazonaws.com": _LOGIN,
            "http://localhost:5000/team": _LOGIN,
        }
    )
    assert not notes
    assert entries == [
        Entry("https://index.docker.io/v1/", "hub", _PASSWORD),
        Entry("registry.example.com", "robot", _PASSWORD, "ops@example.com"),
        Entry("*.dkr.ecr.eu-west-1.amazonaws.com", "robot", _PASSWORD),
        Entry("http://localhost:5000/team", "robot", _PASSWORD),
    ]


def test_parse_other_docker_keys_ignored() -> None:
    content = {"auths": {"a.com": _LOGIN | {"x": 1}}, "credsStore": "desktop", "HttpHeaders": {"User-Agent": "x"}}
    assert parse(json.dumps(content).encode()) == ([Entry("a.com", "robot", _PASSWORD)], [])


@pytest.mark.parametrize(
    ("auth", "username", "password"),
    [
        (_auth(f"robot:{_PASSWORD}"), "robot", _PASSWORD),
        (_auth(f"robot:{_PASSWORD}!"), "robot", f"{_PASSWORD}!"),
        (_auth(f"robot:{_PASSWORD}!").rstrip("="), "robot", f"{_PASSWORD}!"),
        (_auth(f"robot:{_PASSWORD}:with:colons"), "robot", f"{_PASSWORD}:with:colons"),
        (_auth(f"robot$team+name:{_PASSWORD}-密码"), "robot$team+name", f"{_PASSWORD}-密码"),
        (_auth(f"robot:{_PASSWORD}\n"), "robot", _PASSWORD),
        (_auth(f"\ufeffrobot:{_PASSWORD}\r\n\n"), "robot", _PASSWORD),
        (_auth(f"robot:{_PASSWORD}" * 8)[:76] + "\n" + _auth(f"robot:{_PASSWORD}" * 8)[76:] + "\n", "robot", None),
    ],
)
def test_parse_auth_with_or_without_padding(auth: str, username: str, password: str | None) -> None:
    ((entry,), notes) = _parse({"a.com": {"auth": auth}})
    assert not notes
    assert (entry.username, entry.password) == (username, password or (f"robot:{_PASSWORD}" * 8)[6:])


def test_parse_auth_precedes_username_and_password() -> None:
    ((entry,), _) = _parse({"a.com": {"username": "other", "password": "x", "auth": _auth(f"robot:{_PASSWORD}")}})
    assert entry == Entry("a.com", "robot", _PASSWORD)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "no username and password; docker may have stored them in a credential store or helper"),
        (None, "no username and password"),
        ({"email": "ops@example.com"}, "no username and password"),
        ({"username": "robot"}, "the password is empty"),
        ({"password": _PASSWORD}, "the username is empty"),
        ({"auth": "!" + _PASSWORD}, "auth is not a base64-encoded"),
        ({"auth": "a"}, "auth is not a base64-encoded"),
        ({"auth": "ключ"}, "auth is not a base64-encoded"),
        ({"auth": base64.urlsafe_b64encode(b"robot:\xfb\xff").decode()}, "auth is not a base64-encoded"),
        ({"auth": base64.b64encode(b"robot:\xff").decode()}, "auth is not a base64-encoded UTF-8 string"),
        ({"auth": _auth(_PASSWORD)}, "auth has no colon"),
        ({"auth": _auth(f":{_PASSWORD}")}, "the username is empty"),
        ({"auth": _auth("robot:")}, "the password is empty"),
        ({"username": "<token>", "password": _PASSWORD}, "identity token"),
        ({"auth": _auth(f"robot:{_PASSWORD}"), "identitytoken": _PASSWORD}, "the kubelet does not support tokens"),
        ({"registrytoken": _PASSWORD}, "the kubelet does not support tokens"),
        ({"username": "ro\nbot", "password": _PASSWORD}, "control character"),
    ],
)
def test_parse_unusable_entry_skipped_with_note(value: Any, why: str) -> None:
    entries, (note,) = _parse({"bad.example.com": value, "a.com": _LOGIN})
    assert entries == [Entry("a.com", "robot", _PASSWORD)]
    assert note.startswith('auths["bad.example.com"] is ignored: ')
    assert why in note


@pytest.mark.parametrize(
    "key", [f"https://robot:{_PASSWORD}@a.com", f"{_PASSWORD} {_PASSWORD}", "", "a.com:port", "x\n"]
)
def test_parse_invalid_key_skipped_and_hidden(key: str) -> None:
    entries, (note,) = _parse({"a.com": _LOGIN, key: _LOGIN})
    assert entries == [Entry("a.com", "robot", _PASSWORD)]
    assert note.startswith("entry 2 of auths is ignored: ")


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("registry.example.com", "https://registry.example.com/v2/", "registry.example.com"),
        ("https://registry.example.com/v2/", "registry.example.com", "registry.example.com"),
        ("https://registry.example.com/v1/", "https://registry.example.com", "https://registry.example.com"),
        ("https://index.docker.io/v1/", "index.docker.io", "https://index.docker.io/v1/"),
        ("index.docker.io/v2/", "https://index.docker.io/v1/", "https://index.docker.io/v1/"),
    ],
)
def test_parse_equivalent_keys_docker_key_or_last_wins(first: str, second: str, kept: str) -> None:
    out = second if kept == first else first
    entries, notes = _parse({first: _LOGIN | {"username": "first"}, second: _LOGIN | {"username": "second"}})
    assert entries == [Entry(kept, "first" if kept == first else "second", _PASSWORD)]
    assert notes == [f"{out} is ignored: for the kubelet it is the same key as {kept}"]


def test_parse_equivalent_keys_same_login_no_note() -> None:
    entries, notes = _parse({"https://a.com": _LOGIN, "a.com": _LOGIN})
    assert [entry.key for entry in entries] == ["a.com"]
    assert not notes


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "invalid JSON at line 1, column 1"),
        (_PASSWORD, "invalid JSON at line 1, column 1"),
        (f'{{"auths":\n{{"a.com": {{"password": "{_PASSWORD}" "x"', "invalid JSON at line 2"),
        ("[" * 100_000, "invalid JSON: nested too deeply"),
        ('{"x": 1' + "0" * 5000 + "}", "invalid JSON: nested too deeply"),
        (f'"{_PASSWORD}"', "the file must be a JSON object"),
        (f'["{_PASSWORD}"]', "the file must be a JSON object"),
        (f'{{"auths": "{_PASSWORD}"}}', "auths must be a JSON object"),
        (f'{{"auths": ["{_PASSWORD}"]}}', "auths must be a JSON object"),
        ('{"auths": {}, "auths": {}}', "the file has a duplicate key"),
        ('{"auths": {"a.com": {}, "a.com": {}}}', "auths has a duplicate key"),
    ],
)
def test_parse_invalid_file_raises_without_values(content: str, problem: str) -> None:
    with pytest.raises(CredentialProviderError) as refused:
        parse(content.encode())
    assert str(refused.value).startswith(problem)
    assert str(refused.value).isprintable()
    assert _PASSWORD not in f"{refused.value} {refused.value!r} {refused.value.__cause__!r}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f'{{"auths": {{"a.com": "{_PASSWORD}"}}}}', 'auths["a.com"] must be a JSON object'),
        (f'{{"auths": {{"a.com": [["{_PASSWORD}", 1]]}}}}', 'auths["a.com"] must be a JSON object'),
        (f'{{"auths": {{"{_PASSWORD}?": 3}}}}', "entry 2 of auths must be a JSON object"),
        ('{"auths": {"a.com": {"password": 5}}}', 'auths["a.com"].password is not a string'),
        (f'{{"auths": {{"a.com": {{"auth": ["{_PASSWORD}"]}}}}}}', 'auths["a.com"].auth is not a string'),
        (
            f'{{"auths": {{"a.com": {{"username": {{"x": "{_PASSWORD}"}}}}}}}}',
            'auths["a.com"].username is not a string',
        ),
        ('{"auths": {"a.com": {"identitytoken": true}}}', 'auths["a.com"].identitytoken is not a string'),
        (f'{{"auths": {{"a.com": {{"auth": "", "auth": "{_PASSWORD}"}}}}}}', 'auths["a.com"] has a duplicate key'),
        ('{"auths": {"a.com": {"auth": "cm9ib3Q6eA==", "email": 5}}}', 'auths["a.com"].email is not a string'),
    ],
)
def test_parse_malformed_entry_skipped_with_note(content: str, problem: str) -> None:
    content = content.replace('{"auths": {', '{"auths": {"good.com": {"auth": "cm9ib3Q6eA=="}, ', 1)
    entries, (note,) = parse(content.encode())
    assert entries == [Entry("good.com", "robot", "x")]
    assert problem in note
    assert note.isprintable()
    assert _PASSWORD not in note


@pytest.mark.parametrize("content", [b'{"auths": {"a.com": {"password": "kept-secret\xff"}}}', b"\xff\xfe{\0}\0"])
def test_parse_not_utf8_raises(content: bytes) -> None:
    with pytest.raises(CredentialProviderError, match="invalid JSON: not UTF-8"):
        parse(content)


@pytest.mark.parametrize(
    "content",
    [
        {"auths": {"a.com": _LOGIN}},
        {"Auths": {"a.com": {"Auth": _auth(f"robot:{_PASSWORD}")}}},
        {"AUTHS": {"a.com": {"UserName": "robot", "PASSWORD": _PASSWORD}}},
        {"a.com": {"auth": _auth(f"robot:{_PASSWORD}"), "email": "ops@example.com"}},
        {"a.com": _LOGIN},
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_parse_all_docker_formats(content: Any, mark: str) -> None:
    ((entry,), notes) = parse(f"{mark}{json.dumps(content)}".encode())
    assert (entry.key, entry.username, entry.password, notes) == ("a.com", "robot", _PASSWORD, [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"credHelpers": {"a.com": "ecr-login"}}, "credHelpers; set webhook.credential.helper"),
        ({"credsStore": "desktop"}, "credsStore; set webhook.credential.helper"),
        ({"auths": {}, "credsStore": "desktop", "credHelpers": {"a.com": "x"}}, "credHelpers and credsStore"),
    ],
)
def test_parse_credential_helpers_noted(content: Any, words: str) -> None:
    entries, (note,) = parse(json.dumps(content).encode())
    assert entries == []
    assert words in note
    assert "webhook.credential.helper" in note


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"apiVersion": "v1", "kind": "Secret", "data": {".dockerconfigjson": _PASSWORD}}),
        f"apiVersion: v1\nkind: Secret\ndata:\n  .dockerconfigjson: {_PASSWORD}\n",
    ],
)
def test_parse_secret_manifest_raises_with_command(content: str) -> None:
    with pytest.raises(CredentialProviderError, match="found a Kubernetes manifest") as refused:
        parse(content.encode())
    assert refused.value.hint.startswith("kubectl get secret NAME -o jsonpath")
    assert _PASSWORD not in refused.value.one_line


@pytest.mark.parametrize("host", ["a.azurecr.io", "https://A.AzureCR.io", "a.azurecr.cn", "a.azurecr.us/v2/"])
def test_parse_azure_identity_token_as_password(host: str) -> None:
    guid = "00000000-0000-0000-0000-000000000000"
    for value in (
        {"auth": _auth(f"{guid}:"), "identitytoken": _PASSWORD},
        {"username": "<token>", "password": _PASSWORD},
    ):
        ((entry,), notes) = _parse({host: value})
        assert (entry.username, entry.password, notes) == (guid, _PASSWORD, [])


@pytest.mark.parametrize("host", ["azurecr.io", "a.azurecr.io.example.com", "a.azurecr.de", "example.com/a.azurecr.io"])
def test_parse_other_identity_token_skipped(host: str) -> None:
    entries, (note,) = _parse({host: {"identitytoken": _PASSWORD}})
    assert entries == []
    assert "the kubelet does not support tokens" in note


@pytest.mark.parametrize("content", ["{}", '{"auths": null}', '{"auths": {}}'])
def test_parse_file_without_entries(content: str) -> None:
    assert parse(content.encode()) == ([], [])


def test_parse_entry_count_limited() -> None:
    entries, _ = _parse({f"r{number}.example.com": _LOGIN for number in range(LIMIT)})
    assert len(entries) == LIMIT
    with pytest.raises(CredentialProviderError, match=f"{LIMIT + 1} entries; the limit is {LIMIT}"):
        _parse({f"r{number}.example.com": _LOGIN for number in range(LIMIT + 1)})


@given(st.text(), st.text(), st.booleans())
def test_parse_accepted_login_round_trips(username: str, password: str, padded: bool) -> None:
    try:
        entry = create_entry("registry.example.com", username, password)
    except InvalidCredential:
        return
    auth = _auth(f"{username}:{password}")
    content = {"auths": {entry.key: {"auth": auth if padded else auth.rstrip("=")}}}
    assert parse(json.dumps(content).encode()) == ([entry], [])
