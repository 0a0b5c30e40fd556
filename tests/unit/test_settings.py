"""The hash of a configuration: the same wherever the same is decided, another one where anything else is."""

import re

import pytest

from webhook.config.load import load

_BASE = """\
opencti: {daemon: {registry: {server: registry.example.com}}}
webhook:
  rules:
    - {from: quay.io, to: registry.example.com/quay}
    - {from: ghcr.io, to: registry.example.com/ghcr}
"""


def _hash(text: str = _BASE, **variables: str) -> str:
    return load(text.encode(), "config.yaml", variables).configuration.digest


def test_it_is_twelve_digits_that_never_change() -> None:
    assert re.fullmatch("[0-9a-f]{12}", _hash())
    # Written down, because processes of two versions and generated policies are compared by it.
    assert _hash() == "7a26d832f941"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENCTI__DAEMON__REGISTRY__SERVER", "other.example.com"),
        ("WEBHOOK__RULES", '[{"from": "quay.io", "to": "registry.example.com/q"}]'),
        ("WEBHOOK__EXCLUDE", "**/pause"),
        ("WEBHOOK__NAMESPACES__MODE", "all"),
        ("WEBHOOK__NAMESPACES__ALLOW", "team-*"),
        ("WEBHOOK__NAMESPACES__DENY", "team-*"),
        ("WEBHOOK__POD_OPT_OUT", "ignore"),
        ("WEBHOOK__PULL_SECRET__NAME", "pull"),
        ("WEBHOOK__PULL_SECRET__ENABLED", "false"),
        ("WEBHOOK__PULL_SECRET__REGISTRIES", "ghcr.io"),
        ("WEBHOOK__PULL_SECRET__LINGER", "60"),
        ("WEBHOOK__ON_ERROR", "deny"),
    ],
)
def test_it_changes_with_all_that_decides(variable: str, value: str) -> None:
    assert _hash(**{variable: value}) != _hash()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OPENCTI__DAEMON__REGISTRY__USERNAME", "robot"),
        ("OPENCTI__DAEMON__REGISTRY__PASSWORD", "kept-secret"),
        ("OPENCTI__DAEMON__REGISTRY__TOKEN_TTL", "60"),
        ("WEBHOOK__CREDENTIAL__FILE", "/run/password"),
        ("WEBHOOK__CERTIFICATE__LIFE", "3600"),
        ("WEBHOOK__VERIFY", "off"),
    ],
)
def test_no_credential_and_no_certificate_is_in_it(variable: str, value: str) -> None:
    assert _hash(**{variable: value}) == _hash()


def test_what_means_the_same_has_the_same() -> None:
    written_out = _BASE + "  on_error: allow\n  namespaces: {mode: labelled, deny: []}\n"
    assert _hash(written_out) == _hash()
    assert _hash(_BASE.replace("server: registry.example.com", "server: https://registry.example.com/")) == _hash()


def test_the_order_of_rules_makes_another_one() -> None:
    first, second = (line for line in _BASE.splitlines() if "from" in line)
    assert _hash(_BASE.replace(f"{first}\n{second}", f"{second}\n{first}")) != _hash()
