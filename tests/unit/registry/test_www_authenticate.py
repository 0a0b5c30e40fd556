"""Parsing a registry's challenge, and choosing how its server is reached."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.registry import proxy, www_authenticate
from webhook.registry.proxy import Proxy, UnusableProxy


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        ([""], []),
        ([" , ,"], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a registry"'], [("basic", {"realm": "a registry"})]),
        (["BASIC REALM=plain"], [("basic", {"realm": "plain"})]),
        (["Negotiate"], [("negotiate", {})]),
        (["Negotiate dG9rZW4=="], [("negotiate", {})]),
        (["Negotiate dG9rZW4, Basic realm=x"], [("negotiate", {}), ("basic", {"realm": "x"})]),
        (["Basic,Bearer realm=x"], [("basic", {}), ("bearer", {"realm": "x"})]),
        (["Basic , , Bearer realm=x , ,service=y,"], [("basic", {}), ("bearer", {"realm": "x", "service": "y"})]),
        (['Bearer realm="https://a.test/t",service="b",scope="c:d:e"'],
         [("bearer", {"realm": "https://a.test/t", "service": "b", "scope": "c:d:e"})]),
        (['Bearer realm = "x" ,\tservice="y"'], [("bearer", {"realm": "x", "service": "y"})]),
        (['Bearer realm="a, b=\\"c\\", Basic d", service="\\\\"'],
         [("bearer", {"realm": 'a, b="c", Basic d', "service": "\\"})]),
        (['Bearer realm=""'], [("bearer", {"realm": ""})]),
        (["Bearer realm=x,realm=y"], [("bearer", {"realm": "y"})]),
        # RFC 9110, section 11.6.1
        (['Basic realm="simple", Newauth realm="apps", type=1, title="Login to \\"apps\\""'],
         [("basic", {"realm": "simple"}), ("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'})]),
        # several lines, each by itself
        (['Bearer realm="unfinished', "Basic realm=x"], [("bearer", {}), ("basic", {"realm": "x"})]),
        (["Bearer realm=x", "service=y", "Basic"], [("bearer", {"realm": "x"}), ("basic", {})]),
        # up to where a line is malformed
        (["realm=x"], []),
        (["@, Basic"], []),
        (["Bearer realm=x; service=y, Basic"], [("bearer", {})]),
        (['Bearer realm="x"y, Basic'], [("bearer", {})]),
        (["Bearer realm=x, =y, Basic"], [("bearer", {"realm": "x"})]),
        (["Bearer\x00realm=x"], []),
    ],
)  # fmt: skip
def test_parse_challenges(lines: list[str], expected: list[tuple[str, Mapping[str, str]]]) -> None:
    assert www_authenticate.parse(lines) == expected


_WORDS = st.text("abXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=9)
_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)


@given(st.lists(st.tuples(_WORDS, st.dictionaries(_WORDS.map(str.lower), _VALUES, max_size=4)), max_size=4))
def test_parse_written_challenge_round_trips(offers: list[tuple[str, dict[str, str]]]) -> None:
    def written(value: str) -> str:
        return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'

    parts = [f"{scheme} {', '.join(f'{k}={written(v)}' for k, v in values.items())}" for scheme, values in offers]
    expected = [(scheme.lower(), values) for scheme, values in offers]
    assert www_authenticate.parse([", ".join(parts)]) == expected
    assert www_authenticate.parse(parts) == expected


@given(st.lists(st.one_of(st.text(max_size=60), st.text('ab"\\=, \t/', max_size=60))))
def test_parse_arbitrary_input_lowercase_schemes(lines: list[str]) -> None:
    for offer in www_authenticate.parse(lines):
        assert offer.scheme == offer.scheme.lower()


@pytest.mark.parametrize(
    "text", ['a="' + '\\"' * 30_000, "a " * 30_000, "a" + " " * 60_000, "a=b," * 15_000, "," * 60_000]
)
def test_parse_long_line_no_backtracking(text: str) -> None:
    www_authenticate.parse([text, f"Bearer {text}", f"{text}x"])


# The cases of Go's own test are among these:
# https://github.com/golang/net/blob/master/http/httpproxy/proxy_test.go
@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("", "registry.test", False),
        ("*", "registry.test", True),
        ("x, *", "10.0.0.1", True),
        ("registry.test", "registry.test", True),
        (" REGISTRY.test ", "Registry.TEST", True),
        ("registry.test", "a.b.registry.test", True),
        ("registry.test", "myregistry.test", False),
        (".registry.test", "registry.test", False),
        (".registry.test", "a.registry.test", True),
        ("*.registry.test", "registry.test", False),
        ("*.registry.test", "a.registry.test", True),
        ("registry.test:5000", "registry.test", True),
        (".test:5000", "registry.test", True),
        ("registry.test:443", "registry.test", False),
        ("registry.test:", "registry.test", True),
        ("registry.test:https", "registry.test", False),
        ("*registry.test", "a.registry.test", False),
        (":5000", "registry.test", False),
        ("a.test,,registry.test", "registry.test", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1:5000", "10.0.0.1", True),
        ("10.0.0.1:80", "10.0.0.1", False),
        ("10.0.0.1", "10.0.0.11", False),
        ("0.0.1", "10.0.0.1", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.9/8", "10.1.2.3", True),
        ("10.0.0.0/16", "10.1.2.3", False),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "a.10.0.0.0", False),
        ("fd00::/8", "fd00::1", True),
        ("fd00::/8", "fe00::1", False),
        ("fd00::/8", "10.0.0.1", False),
        ("fd00::1", "fd00:0::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("[fd00::1]:5000", "fd00::1", True),
        ("[fd00::1]:5001", "fd00::1", False),
        # never through a proxy
        ("", "localhost", True),
        ("", "127.8.9.1", True),
        ("", "::1", True),
        ("", "::ffff:127.0.0.1", True),
        ("", "localhost.test", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_proxy_no_proxy_host_connects_directly(no_proxy: str, host: str, direct: bool, variable: str) -> None:
    environment = {"HTTPS_PROXY": "http://proxy.test:3128", variable: no_proxy}
    expected = None if direct else Proxy("http", "proxy.test", 3128)
    assert proxy.choose(environment, host, 5000) == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"https_proxy": ""}, None),
        ({"http_proxy": "http://a.test", "all_proxy": "http://a.test"}, None),
        ({"https_proxy": "a.test"}, Proxy("http", "a.test", 80)),
        ({"https_proxy": "a.test:3128"}, Proxy("http", "a.test", 3128)),
        ({"https_proxy": "http://a.test:3128/"}, Proxy("http", "a.test", 3128)),
        ({"https_proxy": "HTTPS://a.test"}, Proxy("https", "a.test", 443)),
        ({"https_proxy": "http://[fd00::1]:3128"}, Proxy("http", "fd00::1", 3128)),
        ({"https_proxy": "http://a.test", "HTTPS_PROXY": "http://b.test"}, Proxy("http", "b.test", 80)),
        ({"https_proxy": "http://u:p%40@a.test"}, Proxy("http", "a.test", 80, "Basic dTpwQA==")),
        ({"https_proxy": "u@a.test"}, Proxy("http", "a.test", 80, "Basic dTo=")),
    ],
)
def test_proxy_from_environment(environment: dict[str, str], expected: Proxy | None) -> None:
    assert proxy.choose(environment, "registry.test", 443) == expected


@pytest.mark.parametrize(
    "url", ["socks5://{}@a.test", "http://", "http://[{}", "http://a.test:{}", "http://{}\udcff@a.test"]
)
def test_proxy_invalid_url_raises_without_password(url: str) -> None:
    with pytest.raises(UnusableProxy) as error:
        proxy.choose({"https_proxy": url.format("kept-secret")}, "registry.test", 443)
    assert "kept-secret" not in repr(error.value)


def test_proxy_repr_hides_password() -> None:
    chosen = proxy.choose({"https_proxy": "http://user:kept-secret@a.test"}, "registry.test", 443)
    assert repr(chosen) == "Proxy(scheme='http', host='a.test', port=80)"
