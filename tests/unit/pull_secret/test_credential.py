"""Valid entries of the pull secret, and the keys under which the kubelet finds them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import InvalidCredential
from webhook.images.prefix import covers
from webhook.pull_secret.credential import (
    LIMIT,
    Entry,
    create_entry,
    key_for,
    likely_mistakes,
    static_entries,
    without_covered,
)

_PASSWORD = "kept-secret"  # noqa: S105 - what is looked for


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("registry.example.com", "registry.example.com"),
        ("registry.example.com:5000", "registry.example.com:5000"),
        ("registry.example.com/team", "registry.example.com/team/"),
        ("registry.example.com:5000/team/sub", "registry.example.com:5000/team/sub/"),
        ("[fd00::1]:5000/team", "[fd00::1]:5000/team/"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io/team", "docker.io/team/"),
        # kubelet drops the first /v1/ or /v2/ of a path.
        ("registry.example.com/v1", "registry.example.com/v1/v1/"),
        ("registry.example.com/v2/team", "registry.example.com/v1/v2/team/"),
        ("registry.example.com/v10", "registry.example.com/v10/"),
        ("registry.example.com/team/v2", "registry.example.com/team/v2/"),
    ],
)
def test_key_for_prefix_as_kubelet(prefix: str, key: str) -> None:
    assert key_for(prefix) == key
    assert create_entry(key, "robot", _PASSWORD).key == key


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("registry.example.com", "registry.example.com"),
        ("registry.example.com/mirror/nginx", "registry.example.com/mirror/nginx"),
        ("registry.example.com/v2", "registry.example.com/v1/v2"),
        ("docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_key_for_image_without_trailing_slash(prefix: str, key: str) -> None:
    assert key_for(prefix, image=True) == key


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("robot", f"{_PASSWORD}:with:colons"),
        ("robot", f'{_PASSWORD}"quoted"'),
        ("robot", f"{_PASSWORD}\\backslash"),
        ("robot", f"${_PASSWORD}"),
        ("robot", f" {_PASSWORD} with blanks "),
        ("robot", f"{_PASSWORD}-пароль-密码-🔑"),
        ("robot", f'{{\n  "private_key": "{_PASSWORD}"\n}}'),
        ("robot", f"{_PASSWORD}\t\x7f"),
        ("robot$team+name", _PASSWORD),
        ("_json_key", _PASSWORD),
        ("user@example.com", _PASSWORD),
        ("ro bot", _PASSWORD),
        ("robót", _PASSWORD),
        ("r" * LIMIT, _PASSWORD),
        ("robot", _PASSWORD + "p" * (LIMIT - len(_PASSWORD))),
    ],
)
def test_make_entry_unusual_characters_unchanged(username: str, password: str) -> None:
    entry = create_entry("registry.example.com", username, password)
    assert (entry.username, entry.password, entry.email) == (username, password, None)


@pytest.mark.parametrize(
    ("username", "password", "problem"),
    [
        ("", _PASSWORD, "the username is empty"),
        ("robot", "", "the password is empty"),
        ("robot:" + _PASSWORD, _PASSWORD, "the username contains a colon"),
        (":", _PASSWORD, "the username contains a colon"),
        ("robot\n" + _PASSWORD, _PASSWORD, "the username contains a line break"),
        ("ro\nbot", _PASSWORD, "the username contains a line break"),
        ("\trobot", _PASSWORD, "the username contains a line break or another control character"),
        ("robot\x7f", _PASSWORD, "control character"),
        ("robot\0", _PASSWORD, "control character"),
        ("robot", _PASSWORD + "\0", "the password contains a NUL byte"),
        ("robot\udc80" + _PASSWORD, _PASSWORD, "the username is not UTF-8"),
        ("robot", _PASSWORD + "\ud800", "the password is not UTF-8"),
        ("<token>", _PASSWORD, "identity token"),
        ("r" * (LIMIT + 1), _PASSWORD, "the username is larger than 64 KiB"),
        ("robot", _PASSWORD + "p" * LIMIT, "the password is larger than 64 KiB"),
        ("robot", "é" * (LIMIT // 2 + 1), "the password is larger than 64 KiB"),
    ],
)
def test_make_entry_unusable_login_raises(username: str, password: str, problem: str) -> None:
    with pytest.raises(InvalidCredential, match=problem) as refused:
        create_entry("registry.example.com", username, password)
    _shows_nothing(refused.value)


def test_make_entry_email_optional() -> None:
    assert create_entry("registry.example.com", "robot", _PASSWORD, "ops@example.com").email == "ops@example.com"
    assert create_entry("registry.example.com", "robot", _PASSWORD, "").email is None
    with pytest.raises(InvalidCredential, match="email address"):
        create_entry("registry.example.com", "robot", _PASSWORD, "\ud800")


@pytest.mark.parametrize(
    "key",
    [
        "registry.example.com",
        "registry.example.com:5000/team/",
        "https://registry.example.com/v2/",
        "http://localhost:5000",
        "*.example.com",
        "*.dkr.ecr.*.amazonaws.com",
        "[fd00::1]:5000",
        "https://index.docker.io/v1/",
    ],
)
def test_make_entry_docker_and_kubelet_keys_accepted(key: str) -> None:
    assert create_entry(key, "robot", _PASSWORD).key == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/team",
        "ftp://registry.example.com",
        "https://",
        f"robot:{_PASSWORD}@registry.example.com",
        f"registry.example.com?{_PASSWORD}",
        f"registry.example.com/#{_PASSWORD}",
        f"registry.example.com/%{_PASSWORD}",
        "registry.example.com:port",
        "registry.example.com:",
        "registry.example.com\n",
        "registry.example.com/team\n",
        "registry example.com",
        "régistry.example.com",
        "[registry.example.com]",
        "[::g]",
        "[1:2]:5000",
        "fd00::1",
        "a" * (LIMIT + 1),
    ],
)
def test_make_entry_impossible_key_raises_with_hint(key: str) -> None:
    with pytest.raises(InvalidCredential) as refused:
        create_entry(key, "robot", _PASSWORD)
    assert "host with an optional port and path" in refused.value.hint
    _shows_nothing(refused.value)


def test_entry_repr_shows_only_key() -> None:
    entry = create_entry("registry.example.com", _PASSWORD, _PASSWORD, _PASSWORD)
    assert repr(entry) == str(entry) == "Entry(key='registry.example.com')"


@pytest.mark.parametrize(
    ("prefixes", "left"),
    [
        ([], ()),
        (["a.com"], ("a.com",)),
        (["a.com", "a.com"], ("a.com",)),
        (["a.com/team/sub", "a.com/team", "a.com/teamwork"], ("a.com/team", "a.com/teamwork")),
        (["a.com/team/sub/x", "a.com/team"], ("a.com/team",)),
        (["a.com/team", "a.com", "a.com:5000/team"], ("a.com", "a.com:5000/team")),
        (["docker.io/team", "docker.io"], ("docker.io",)),
    ],
)
def test_covering_removes_covered_prefixes(prefixes: list[str], left: tuple[str, ...]) -> None:
    assert without_covered(prefixes) == left


def test_static_entries_same_host_and_port_only() -> None:
    others = [
        "registry.example.com/mirror",
        "registry.example.com/mirror/quay",
        "registry.example.com/team/below",
        "registry.example.com:5000/other-port",
        "sub.registry.example.com",
        "other.example.com",
        "docker.io",
    ]
    entries = static_entries("registry.example.com/team", others, "robot", _PASSWORD, "ops@example.com")
    assert entries == (
        Entry("registry.example.com/mirror/", "robot", _PASSWORD, "ops@example.com"),
        Entry("registry.example.com/team/", "robot", _PASSWORD, "ops@example.com"),
    )


def test_static_entries_one_per_host_spelling() -> None:
    others = ["Registry.Example.com:443/quay", "registry.example.com:0443/hub", "registry.example.com:5000/x"]
    entries = static_entries("registry.example.com", others, "robot", _PASSWORD)
    assert {entry.key for entry in entries} == {
        "registry.example.com",
        "Registry.Example.com:443/quay/",
        "registry.example.com:0443/hub/",
    }


def test_static_entries_whole_registry_one_entry() -> None:
    others = ["registry.example.com/team", "registry.example.com"]
    (entry,) = static_entries("registry.example.com", others, "robot", _PASSWORD)
    assert entry.key == "registry.example.com"


def test_static_entries_image_target_exact_key() -> None:
    others = ["registry.example.com/mirror/nginx", "registry.example.com/other"]
    entries = static_entries("registry.example.com/team", others, "robot", _PASSWORD, images=set(others[:1]))
    assert [entry.key for entry in entries] == [
        "registry.example.com/mirror/nginx",
        "registry.example.com/other/",
        "registry.example.com/team/",
    ]


_PATHS = st.lists(st.sampled_from(["team", "teamwork", "v1", "v2", "a"]), max_size=3)
_PREFIXES = st.builds(
    lambda host, path: "/".join([host, *path]),
    st.sampled_from(["a.example.com", "a.example.com:5000", "docker.io"]),
    _PATHS,
)


@given(st.lists(_PREFIXES, max_size=8))
def test_covering_covers_each_prefix_once(prefixes: list[str]) -> None:
    left = without_covered(prefixes)
    assert set(left) <= set(prefixes)
    for prefix in prefixes:
        assert len([one for one in left if covers(one, prefix)]) == 1


@given(st.text(), st.text())
def test_make_entry_auth_round_trips(username: str, password: str) -> None:
    try:
        entry = create_entry("registry.example.com", username, password)
    except InvalidCredential:
        return
    auth = base64.b64encode(f"{entry.username}:{entry.password}".encode()).decode()
    decoded = base64.b64decode(json.loads(json.dumps({"auth": auth}))["auth"]).decode()
    assert decoded.split(":", 1) == [username, password]


def _shows_nothing(error: Exception) -> None:
    assert _PASSWORD not in f"{error} {error!r} {error.__cause__!r}"
    assert str(error).isprintable()


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r", "\n\n", "\r\n\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_make_entry_line_endings_and_bom_removed(start: str, end: str) -> None:
    entry = create_entry("a.com", f"{start}robot{end}", f"{start} {_PASSWORD}\nx {end}")
    assert (entry.username, entry.password) == ("robot", f" {_PASSWORD}\nx ")


@pytest.mark.parametrize(
    ("username", "password", "said"),
    [
        ("robot", _PASSWORD, ()),
        ("robot", f"{_PASSWORD} ", ("the password ends with a space",)),
        ("robot", f"\t{_PASSWORD}", ("the password starts with a space",)),
        (
            " robot",
            f'"{_PASSWORD}"',
            ("the username starts with a space", "the password is in quotation marks"),
        ),
        ("'robot'", f"'{_PASSWORD}\"", ("the username is in quotation marks",)),
        ("robot", '"', ()),
    ],
)
def test_likely_mistakes_hide_values(username: str, password: str, said: tuple[str, ...]) -> None:
    assert likely_mistakes(create_entry("a.com", username, password)) == said
