"""The kubelet can decode the pull secret's content, and the rest of the manifest does not reveal it."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.constants import DESELECTED_ANNOTATION, EXPIRES_ANNOTATION, REFRESHED_ANNOTATION
from webhook.errors import InvalidCredential
from webhook.pull_secret.credential import Credential, Entry, cleaned, create_entry
from webhook.pull_secret.manifest import MASK, PullSecret, build, digest, redacted, to_manifest
from webhook.timestamps import format_rfc3339, parse_rfc3339

_PASSWORD = "kept-secret"  # noqa: S105 - what is looked for
_NOW = 1_790_000_000.0
_SERVER = "registry.example.com"
_PLACE = {"name": "pull", "namespace": "team", "installation": "own"}


def made(*entries: Entry, expires: float | None = None, told: bool = False) -> PullSecret:
    return build(Credential(entries or (create_entry(_SERVER, "robot", _PASSWORD),), expires, told), _NOW)


def logins(content: bytes) -> dict[str, tuple[str, str]]:
    """Decode as kubelet does: `auth` goes before the other two, and what is behind its first colon is the password.

    https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/credentialprovider/config.go
    """
    found = {}
    for key, entry in json.loads(content.decode("utf-8"))["auths"].items():
        username, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        assert colon
        found[key] = (username, password)
    return found


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("robot", _PASSWORD),
        ("robot$team+name", f"{_PASSWORD}:with:colons"),
        ("robot", f'{_PASSWORD}"quoted"'),
        ("robot", f"{_PASSWORD}\\back\\slash\\"),
        ("robot", f"{_PASSWORD}\n-"),
        ("robot", f"{_PASSWORD}\r\n\t"),
        ("robot", f"$HOME ${{{_PASSWORD}}} $$"),
        ("robot", f" {_PASSWORD} "),
        ("robot", f"{_PASSWORD}-пароль-密码-🔑-\u2028\ufeff"),
        ("робот", f"{_PASSWORD}</script>&amp;%00%2f"),
        ("_json_key", '{"private_key": "-----BEGIN\\n kept-secret \\n-----END\\n", "type": "x"}'),
        ("robot", "kept-secret" * 4000),
    ],
    ids=range(12),
)
def test_content_decoded_by_kubelet(username: str, password: str) -> None:
    content = made(create_entry(_SERVER, username, password)).content
    assert logins(content) == {_SERVER: (username, password)}
    entry = json.loads(content)["auths"][_SERVER]
    assert (entry["username"], entry["password"]) == (username, password)


_TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


_CLEAN = _TEXTS.filter(lambda text: text == cleaned(text))


@given(username=_CLEAN.filter(lambda text: ":" not in text and text != "<token>"), password=_CLEAN)
def test_content_any_login_round_trips(username: str, password: str) -> None:
    assert logins(made(create_entry(_SERVER, username, password)).content) == {_SERVER: (username, password)}


def test_content_email_only_if_set() -> None:
    with_one = json.loads(made(create_entry(_SERVER, "robot", _PASSWORD, "robot@example.com")).content)["auths"][
        _SERVER
    ]
    without = json.loads(made().content)["auths"][_SERVER]
    assert with_one["email"] == "robot@example.com"
    assert sorted(without) == ["auth", "password", "username"]


@given(st.permutations([f"{name}.example.com" for name in "abcde"]))
def test_build_independent_of_entry_order(keys: list[str]) -> None:
    entries = [create_entry(key, "robot", _PASSWORD) for key in keys]
    assert made(*entries) == made(*sorted(entries, key=lambda entry: entry.key))


def test_build_hash_identifies_content() -> None:
    assert made().hash == made().hash == digest(made().content)
    others = {made(create_entry(_SERVER, "robot", f"{_PASSWORD}{more}")).hash for more in ("", " ", "1")}
    assert len(others) == 3


@pytest.mark.parametrize(
    ("expires", "told", "written"),
    [
        (None, False, None),
        (_NOW + 60, False, None),  # assumed: nobody said so
        (_NOW + 60, True, "2026-09-21T14:14:20Z"),
    ],
)
def test_build_expiry_only_if_stated(expires: float | None, told: bool, written: str | None) -> None:
    document = made(expires=expires, told=told)
    assert document.expires == written
    annotations = to_manifest(document, **_PLACE)["metadata"]["annotations"]
    assert annotations.get(EXPIRES_ANNOTATION) == written


_META = {"name", "namespace", "labels", "annotations"}
_MARKS = {REFRESHED_ANNOTATION}


@pytest.mark.parametrize(
    ("deselected_since", "uid", "metadata", "annotations"),
    [
        (None, None, _META, _MARKS),
        (None, "1-2-3", _META | {"uid"}, _MARKS),
        ("2026-09-21T14:14:20Z", "1-2-3", _META | {"uid"}, _MARKS | {DESELECTED_ANNOTATION}),
    ],
)
def test_manifest_exact_keys(
    deselected_since: str | None, uid: str | None, metadata: set[str], annotations: set[str]
) -> None:
    document = made()
    secret = to_manifest(document, **_PLACE, deselected_since=deselected_since, uid=uid)
    assert {key: value for key, value in secret.items() if key != "metadata"} == {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(document.content).decode()},
    }
    assert set(secret["metadata"]) == metadata
    assert set(secret["metadata"]["annotations"]) == annotations
    assert secret["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "registry-webhook",
        "registry-webhook/installation": "own",
    }
    assert secret["metadata"].get("uid") == uid
    # Who may read metadata alone must not be able to guess the password.
    assert metadata_of(made(create_entry(_SERVER, "robot", "another"))) == metadata_of(document)
    assert secret["metadata"]["annotations"][REFRESHED_ANNOTATION] == "2026-09-21T14:13:20Z"
    # An annotation is a text, whatever it says.
    assert all(isinstance(value, str) for value in secret["metadata"]["annotations"].values())


def metadata_of(document: PullSecret) -> Any:
    return to_manifest(document, **_PLACE)["metadata"]


def hiding(text: str) -> bool:
    """Tell that nothing of the test's credential is in a text."""
    document = made()
    auth = base64.b64encode(f"robot:{_PASSWORD}".encode()).decode()
    content = base64.b64encode(document.content).decode()
    return not any(
        word in text for word in (_PASSWORD, auth, content, document.hash, document.hash.partition(":")[2], "c2VjcmV0")
    )


def test_redacted_manifest_hides_content() -> None:
    secret = to_manifest(made(), **_PLACE, deselected_since="2026-09-21T14:14:20Z")
    shown: dict[str, Any] = redacted(secret)
    assert not hiding(json.dumps(secret))
    assert hiding(json.dumps(shown))
    assert shown["data"] == {".dockerconfigjson": MASK}
    assert shown["metadata"] == secret["metadata"]


def test_pull_secret_repr_hides_content() -> None:
    document = made()
    for shown in (repr(document), str(document), f"{document}", repr((document,)), repr({"document": document})):
        assert hiding(shown)


@given(st.integers(0, 253_402_300_799))
def test_rfc3339_round_trips(seconds: int) -> None:
    assert parse_rfc3339(format_rfc3339(float(seconds))) == float(seconds)


def test_format_rfc3339_truncates_to_second() -> None:
    assert format_rfc3339(_NOW + 0.999) == format_rfc3339(_NOW) == "2026-09-21T14:13:20Z"


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-09-21", "2026-09-21T14:13:20", "1790000000"),
        *("2026-09-21T14:13:20+02:00", "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        *("2026-09-21T14:13:20Z\n", " 2026-09-21T14:13:20Z"),
    ],
)
def test_parse_rfc3339_other_format_none(text: str) -> None:
    assert parse_rfc3339(text) is None


def test_build_over_secret_size_limit_raises() -> None:
    password = "kept-secret" * 5000
    entries = tuple(create_entry(f"r{number}.example.com", "robot", password) for number in range(20))
    with pytest.raises(InvalidCredential, match="a Secret holds at most 1024 KiB"):
        build(Credential(entries), 0.0)
