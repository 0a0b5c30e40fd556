"""Entries that the kubelet would use, compared with its own keyring (Kubernetes 1.37)."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook.config.load import load
from webhook.errors import InvalidCredential
from webhook.images.prefix import canonical_host, normalize
from webhook.images.resolver import Resolver
from webhook.pull_secret.credential import Entry, check_key, create_entry, key_for, static_entries
from webhook.pull_secret.keyring import keyring_key, lookup, lookup_own


def _entries(*keys: str) -> list[Entry]:
    return [Entry(key, "robot", "kept-secret") for key in keys]


def _keys(entries: list[Entry]) -> list[str]:
    return [entry.key for entry in entries]


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("registry.example.com", "registry.example.com/app"),
        ("registry.example.com", "registry.example.com/team/app:1.0@sha256:" + "a" * 64),
        ("registry.example.com/", "registry.example.com/app"),
        ("https://registry.example.com", "registry.example.com/app"),
        ("http://registry.example.com", "registry.example.com/app"),
        ("https://registry.example.com/v1/", "registry.example.com/app"),
        ("https://registry.example.com/v2/", "registry.example.com/app"),
        ("registry.example.com/v2/team", "registry.example.com/team/app"),
        ("registry.example.com/v1/v1/", "registry.example.com/v1/app"),
        ("registry.example.com:5000", "registry.example.com:5000/app"),
        ("registry.example.com/team", "registry.example.com/team/app"),
        ("registry.example.com/team", "registry.example.com/teamwork/app"),
        ("registry.example.com/team", "registry.example.com/team"),
        ("registry.example.com/team/", "registry.example.com/team/app"),
        ("registry.example.com/t%65am", "registry.example.com/team/app"),
        ("robot@registry.example.com", "registry.example.com/app"),
        ("registry.example.com?query#fragment", "registry.example.com/app"),
        ("*.example.com", "registry.example.com/app"),
        ("reg*.example.com", "registry.example.com/app"),
        ("*try.ex*le.com", "registry.example.com/app"),
        ("r*g*y.*.*", "registry.example.com/app"),
        ("*.*.*/team/", "registry.example.com/team/app"),
        ("*.example.com:5000", "registry.example.com:5000/app"),
        ("127.0.0.1:5000", "127.0.0.1:5000/app"),
        ("[fd00::1]:5000", "[fd00::1]:5000/app"),
        ("registry.example.com:", "registry.example.com/app"),
        ("docker.io", "nginx"),
        ("docker.io/library/", "nginx"),
        ("docker.io/team/", "team/app"),
        ("docker.io/team/", "index.docker.io/team/app"),
        ("https://index.docker.io/v1/", "nginx"),
        ("https://index.docker.io/v1/", "team/app"),
        ("https://index.docker.io/v1/", "docker.io/team/app"),
        ("index.docker.io", "index.docker.io/team/app"),
        # To kubelet's keyring these are Docker Hub's, too.
        ("https://index.docker.io/v1/", "localhost/app"),
        ("https://index.docker.io/v1/", "Registry/app"),
    ],
)
def test_lookup_matching_entry_found(key: str, image: str) -> None:
    assert _keys(lookup(_entries(key), image)) == [key]


@pytest.mark.parametrize(
    ("key", "image"),
    [
        ("registry.example.com", "other.example.com/app"),
        ("registry.example.com", "registry.example.com:443/app"),
        ("registry.example.com:443", "registry.example.com/app"),
        ("registry.example.com:5000", "registry.example.com:05000/app"),
        ("registry.example.com", "a.registry.example.com/app"),
        ("registry.example.com", "Registry.example.com/app"),
        ("registry.example.com/team/", "registry.example.com/teamwork/app"),
        ("registry.example.com/team/", "registry.example.com/team"),
        ("registry.example.com/v1", "registry.example.com/app"),
        ("registry.example.com/v1/v1/", "registry.example.com/app"),
        ("registry.example.com/v10/", "registry.example.com/app"),
        ("*.example.com", "a.b.example.com/app"),
        ("*.example.com", "example.com/app"),
        ("a*a.example.com", "a.example.com/app"),
        ("*b*b.example.com", "ab.example.com/app"),
        ("HTTPS://registry.example.com", "registry.example.com/app"),
        ("ftp://registry.example.com", "registry.example.com/app"),
        ("registry.example.com/%zz", "registry.example.com/app"),
        ("registry.example.com#%zz", "registry.example.com/app"),
        ("registry.example.com/\n", "registry.example.com/app"),
        ("registry.example.com:port", "registry.example.com/app"),
        ("::1", "[::1]/app"),
        # Brackets that no port follows are a class of characters to kubelet.
        ("[fd00::1]", "[fd00::1]/app"),
        ("[registry]:5000", "[fd00::1]:5000/app"),
        ("index.docker.io/v1/team/", "docker.io/team/app"),
        ("registry-1.docker.io", "nginx"),
        ("docker.io/team/", "nginx"),
        ("https://index.docker.io/v1/", "registry.example.com/app"),
        ("https://index.docker.io/v1/", "localhost:5000/app"),
        ("*.*.*", "no valid reference"),
        ("", "nginx"),
    ],
)
def test_lookup_other_entry_not_found(key: str, image: str) -> None:
    assert lookup(_entries(key), image) == []


def test_lookup_longest_path_first_glob_last() -> None:
    keys = ["*.example.com", "a.example.com", "a.example.com/team/", "b.example.com", "https://a.example.com/team"]
    found = _keys(lookup(_entries(*keys), "a.example.com/team/app"))
    assert found == ["a.example.com/team/", "https://a.example.com/team", "a.example.com", "*.example.com"]


def test_lookup_equivalent_keys_all_found() -> None:
    keys = ["https://a.example.com/v1/", "a.example.com", "a.example.com/"]
    assert _keys(lookup(_entries(*keys), "a.example.com/app")) == keys


def test_lookup_default_registry_entry_only_as_fallback() -> None:
    keys = ["https://index.docker.io/v1/", "docker.io/team/"]
    assert _keys(lookup(_entries(*keys), "team/app")) == ["docker.io/team/"]
    assert _keys(lookup(_entries(*keys), "nginx")) == ["https://index.docker.io/v1/"]


@pytest.mark.parametrize(
    ("key", "filed"),
    [
        ("registry.example.com", "registry.example.com"),
        ("https://registry.example.com/v2/", "registry.example.com"),
        ("http://registry.example.com:5000/", "registry.example.com:5000"),
        ("registry.example.com/v1/team/", "registry.example.com/team/"),
        ("registry.example.com/v1", "registry.example.com/v1"),
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("[fd00::1]:5000/team", "[fd00::1]:5000/team"),
        ("[registry.example.com]", None),
        ("registry.example.com:port", None),
    ],
)
def test_keyring_key_equal_for_equivalent_keys(key: str, filed: str | None) -> None:
    assert keyring_key(key) == filed


_HOSTS = st.sampled_from(
    [
        "a.example.com",
        "a.example.com:5000",
        "127.0.0.1",
        "localhost:5000",
        "[fd00::1]:5000",
        "docker.io",
        "Registry.example.com",
    ]
)
_PATHS = st.lists(st.sampled_from(["v1", "v2", "v10", "team", "a"]), max_size=3)
_BELOW = st.lists(st.sampled_from(["v1", "v2", "team", "app"]), min_size=1, max_size=3)


@given(_HOSTS, _PATHS, _BELOW, st.sampled_from(["", ":1.0"]))
def test_key_for_prefix_matches_images_below(host: str, path: list[str], below: list[str], tag: str) -> None:
    # docker.io/v1 and docker.io/v2 are ways of writing docker.io itself.
    key = key_for(normalize("/".join([host, *path])))
    image = "/".join([host, *path, *below]) + tag
    assert _keys(lookup(_entries(key), image)) == [key]


@given(_HOSTS, _PATHS.filter(bool), _BELOW)
def test_key_for_prefix_matches_no_sibling(host: str, path: list[str], below: list[str]) -> None:
    prefix = "/".join([host, *path])
    assume(normalize(prefix) == prefix)
    entries = _entries(key_for(prefix))
    assert not lookup(entries, f"{prefix}work/{'/'.join(below)}")
    assert not lookup(entries, f"{prefix}-{below[0]}")
    assert not lookup(entries, "/".join([host, "beside", *below]))
    assert not lookup(entries, "/".join([f"other.{host}", *path, *below]))


@given(_HOSTS, _PATHS.filter(bool))
def test_key_for_image_matches_image(host: str, path: list[str]) -> None:
    prefix = "/".join([host, *path])
    assume(normalize(prefix) == prefix)
    assume(host != "docker.io" or len(path) > 1)  # a single component is in library/ there
    key = key_for(prefix, image=True)
    assert _keys(lookup(_entries(key), f"{prefix}:1.0")) == [key]


@given(st.text("ab1.:/*[]?#@%-_ \n\0é<v"))
def test_check_key_accepted_readable_by_kubelet(key: str) -> None:
    try:
        check_key(key)
    except InvalidCredential:
        return
    assert keyring_key(key)


@pytest.mark.parametrize("host", ["localhost", "docker.io", "index.docker.io"])
def test_own_default_registry_entry_removed_for_other_host(host: str) -> None:
    entries = [create_entry("https://index.docker.io/v1/", "robot", "kept-secret")]
    assert lookup(entries, f"{host}/image") == entries
    assert lookup_own(entries, f"{host}/image") == ([] if host == "localhost" else entries)


def test_own_entry_of_same_host_retained() -> None:
    entries = [create_entry("localhost", "robot", "kept-secret")]
    assert lookup_own(entries, "localhost/image") == entries


@given(
    st.sampled_from(["registry.example.com", "Registry.Example.com", "REGISTRY.example.com:443", "r.example.com:5000"]),
    st.sampled_from(["", "/team"]),
    st.sampled_from(["Registry.example.com/quay", "registry.EXAMPLE.com:0443/quay", "R.example.com:5000/quay"]),
)
def test_lookup_rewritten_image_any_server_spelling(server: str, path: str, target: str) -> None:
    text = (
        f"opencti: {{daemon: {{registry: {{server: '{server}{path}'}}}}}}\n"
        f"webhook: {{rules: [{{from: q.io, to: '{target}'}}]}}"
    )
    configuration = load(text.encode(), "c.yaml", {}).configuration
    targets = [rule.target for rule in configuration.webhook.rules]
    entries = static_entries(configuration.registry.server or "", targets, "robot", "hunter2")
    resolve = Resolver(configuration).resolve
    assert lookup(entries, resolve("nginx:1").image)
    same = canonical_host(normalize(server)) == canonical_host(normalize(target))
    # Another registry is not told the credential.
    assert bool(lookup(entries, resolve("Q.io/x:1").image)) is same
