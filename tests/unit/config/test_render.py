"""The output of `show` can be loaded, has the origin of each value, and contains no password."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.config import schema
from webhook.config.load import Loaded, load
from webhook.config.render import MASK, show
from webhook.settings import Configuration

_REGISTRY = "OPENCTI__DAEMON__REGISTRY__"

_FULL = """\
opencti:
  daemon:
    registry:
      server: https://registry.example.com:5000/team/
      username: robot$team
      password: hunter2
      email: ops@example.com
      token_ttl: 60
      retry_attempts: 1
      retry_delay: 0
webhook:
  rules:
    - from: docker.io
      to: mirror.example.com/hub
    - {from: quay.io, to: mirror.example.com/quay}
  exclude:
    - "**/pause"
    - registry.k8s.io/**
  namespaces: {mode: all, allow: ["*"], deny: ["team-*", "1"]}
  pod_opt_out: ignore
  pull_secret: {name: "123", enabled: false, registries: [ghcr.io], linger: 0}
  credential: {file: "/run/a b #c"}
  verify: off
  on_error: deny
"""

_CASES = {
    "nothing": "",
    "everything": _FULL,
    "an empty list beside none": "webhook: {namespaces: {allow: [], deny: []}}",
    "texts that look like something else": (
        'opencti: {daemon: {registry: {username: "true", email: "12", password: "null"}}}'
    ),
    "texts with marks": "opencti: {daemon: {registry: {username: '#a', email: '- b'}}}",
    "the word null": 'opencti: {daemon: {registry: {username: "~", email: "Null"}}}',
}


def _load(text: str, environment: dict[str, str] | None = None) -> Loaded:
    return load(text.encode(), "config.yaml", environment or {})


def _masked(configuration: Configuration) -> Configuration:
    if configuration.registry.password is None:
        return configuration
    return msgspec.structs.replace(
        configuration, registry=msgspec.structs.replace(configuration.registry, password=MASK)
    )


@pytest.mark.parametrize("case", _CASES)
def test_show_loads_again_except_password(case: str) -> None:
    loaded = _load(_CASES[case])
    assert _load(show(loaded)).configuration == _masked(loaded.configuration)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.text(st.sampled_from(" #:'\"-[]{},&*!|>%@`\\\n\tab0")),
)
def test_show_any_string_loads_again(email: str, path: str) -> None:
    loaded = _load("", {f"{_REGISTRY}EMAIL": email, "WEBHOOK__CREDENTIAL__FILE": path})
    assert _load(show(loaded)).configuration == loaded.configuration


def test_show_every_key_once_with_origin() -> None:
    shown = show(_load("")).splitlines()
    assert len([line for line in shown if line.endswith("  # default")]) == len(schema.table())


@pytest.mark.parametrize(
    ("key", "value", "origin"),
    [
        ("server", '"registry.example.com:5000/team"', "config.yaml:4"),
        ("username", '"robot$team"', "config.yaml:5"),
        ("password", '"********"', "config.yaml:6"),
        ("token_ttl", "90", f"{_REGISTRY}TOKEN_TTL"),
        ("verify", '"off"', "config.yaml:23"),
        ("name", '"123"', "config.yaml:21"),
    ],
)
def test_show_value_with_origin(key: str, value: str, origin: str) -> None:
    shown = show(_load(_FULL, {f"{_REGISTRY}TOKEN_TTL": "90"})).splitlines()
    (line,) = [line for line in shown if line.lstrip().startswith(f"{key}: ")]
    assert line.split("#")[0].strip() == f"{key}: {value}"
    assert line.endswith(f"  # {origin}")


def test_show_list_one_item_per_line() -> None:
    shown = show(_load(_FULL))
    assert '    - "**/pause"\n' in shown
    assert shown.count("mirror.example.com") == 2


@pytest.mark.parametrize("password", ["hunter2", "x", "*" * 8, "pässwörd", "a\nb"])
def test_show_same_mask_for_any_password(password: str) -> None:
    one = show(_load("", {f"{_REGISTRY}PASSWORD": password}))
    assert one == show(_load("", {f"{_REGISTRY}PASSWORD": "another of another length"}))
    assert MASK in one


def test_show_missing_password_null() -> None:
    assert "password: null" in show(_load(""))


def test_show_origins_aligned() -> None:
    lines = [line for line in show(_load("")).splitlines() if "  # " in line]
    assert len({line.index("#") for line in lines}) == 1
