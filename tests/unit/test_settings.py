"""The configuration hash is the same for the same decisions, and differs otherwise."""

import re

import pytest

from tests.support.setting_examples import SETTING_EXAMPLES
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


def test_digest_twelve_hex_digits_and_constant() -> None:
    assert re.fullmatch("[0-9a-f]{12}", _hash())
    # Written down, because processes of two versions and generated policies are compared by it.
    assert _hash() == "7a26d832f941"


@pytest.mark.parametrize("path", SETTING_EXAMPLES)
def test_digest_changes_only_with_what_decides(path: str) -> None:
    example = SETTING_EXAMPLES[path]
    changed = _hash("", **{path.upper().replace(".", "__"): example.variable}) != _hash("")
    assert changed == example.decides, f"_DECIDING in webhook/settings.py and the example of {path} do not agree"


def test_digest_equal_for_equivalent_settings() -> None:
    written_out = _BASE + "  on_error: allow\n  namespaces: {mode: labelled, deny: []}\n"
    assert _hash(written_out) == _hash()
    assert _hash(_BASE.replace("server: registry.example.com", "server: https://registry.example.com/")) == _hash()


def test_digest_depends_on_rule_order() -> None:
    first, second = (line for line in _BASE.splitlines() if "from" in line)
    assert _hash(_BASE.replace(f"{first}\n{second}", f"{second}\n{first}")) != _hash()
