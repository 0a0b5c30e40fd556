"""The JSON Schema accepts every configuration that the loader accepts, and refuses nothing else than it refuses.

The loader refuses more, which a schema cannot express: `LOOSER` has an example of each such rule.
"""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.json_schema_validator import is_valid, violations
from tests.support.setting_examples import SETTING_EXAMPLES
from webhook.config import json_schema, schema
from webhook.config.load import load
from webhook.config.yaml_nodes import compose, value_of
from webhook.errors import ConfigurationError

_SCHEMA = json_schema.document()

#: What the loader refuses in spite of the schema: the key that the error names, and a configuration.
LOOSER: dict[str, tuple[str, Any]] = {
    "a registry's syntax": ("registry.server", {"registry": {"server": "harbor"}}),
    "a registry's API": ("registry.server", {"registry": {"server": "https://a.com/v2/"}}),
    "a colon in a username": ("registry.username", {"registry": {"username": "robot:x"}}),
    "a rule's registry": ("webhook.rules[0].from", {"webhook": {"rules": [{"from": "nginx", "to": "a.com"}]}}),
    "rules that chain": (
        "webhook.rules[1].from",
        {"webhook": {"rules": [{"from": "a.com", "to": "b.com"}, {"from": "b.com", "to": "c.com"}]}},
    ),
    "a pattern's syntax": ("webhook.exclude[0]", {"webhook": {"exclude": ["docker.io/nginx:1"]}}),
    "a namespace's name": ("webhook.namespaces.deny[0]", {"webhook": {"namespaces": {"deny": ["A"]}}}),
    "an allowed namespace's name": ("webhook.namespaces.allow[0]", {"webhook": {"namespaces": {"allow": ["A"]}}}),
    "a Secret's name": ("webhook.pull_secret.name", {"webhook": {"pull_secret": {"name": "A"}}}),
    "a private registry": ("webhook.pull_secret.registries[0]", {"webhook": {"pull_secret": {"registries": ["a"]}}}),
    "two providers": (
        "webhook.credential.docker_config",
        {"webhook": {"credential": {"file": "a", "docker_config": "b"}}},
    ),
    "three providers": (
        "webhook.credential.helper",
        {"webhook": {"credential": {"docker_config": "b", "helper": "c"}}},
    ),
    "two usernames": (
        "webhook.credential.username_file",
        {"registry": {"username": "a"}, "webhook": {"credential": {"username_file": "b"}}},
    ),
    "a certificate that outlives its CA": (
        "webhook.certificate.life",
        {"webhook": {"certificate": {"authority_life": 60}}},
    ),
    "an overlap longer than a CA's renewal": (
        "webhook.certificate.overlap",
        {"webhook": {"certificate": {"life": 60, "authority_life": 600}}},
    ),
}


def _refused(configuration: Any) -> list[str]:
    """Return the keys of the loader's errors, without the place of an item."""
    try:
        load(json.dumps(configuration).encode(), "config.yaml", {})
    except ConfigurationError as error:
        return [issue.key for issue in error.issues]
    return []


def _nested(path: str, value: Any) -> Any:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


@pytest.mark.parametrize("spelling", schema.spellings())
def test_schema_default_and_example_valid(spelling: str) -> None:
    example = SETTING_EXAMPLES[schema.spellings()[spelling].canonical]
    node = compose(f"value: {example.yaml}".encode())
    assert node is not None
    for value in (value_of(node)["value"], None):
        assert list(violations(_SCHEMA, _nested(spelling, value))) == []


@pytest.mark.parametrize("key", schema.spellings().values(), ids=lambda key: key.path)
def test_schema_has_description_and_default(key: schema.SettingKey) -> None:
    found = _SCHEMA
    for name in key.path.split("."):
        found = found["properties"][name]
    assert found["description"] == key.description
    assert found.get("default") == (list(key.default) if isinstance(key.default, tuple) else key.default)


@pytest.mark.parametrize("name", LOOSER)
def test_loader_refuses_what_schema_cannot_express(name: str) -> None:
    key, configuration = LOOSER[name]
    assert key in _refused(configuration)
    assert list(violations(_SCHEMA, configuration)) == []


@pytest.mark.parametrize(
    ("configuration", "violation"),
    [
        ([], "/: type"),
        ({"Webhook": {}}, "/Webhook: not"),
        ({"registry": {"Server": "a.com"}}, "/registry/Server: not"),
        ({"webhook": {"verify": "Off"}}, "/webhook/verify: enum"),
        ({"webhook": {"verify": False}}, "/webhook/verify: type"),
        ({"registry": {"token_ttl": "1800"}}, "/registry/token_ttl: type"),
        ({"registry": {"token_ttl": 1.5}}, "/registry/token_ttl: type"),
        ({"registry": {"token_ttl": True}}, "/registry/token_ttl: type"),
        ({"registry": {"token_ttl": 9}}, "/registry/token_ttl: minimum"),
        ({"registry": {"token_ttl": 10**9}}, "/registry/token_ttl: maximum"),
        ({"registry": {"server": "a" * 4097}}, "/registry/server: maxLength"),
        ({"webhook": {"exclude": "nginx"}}, "/webhook/exclude: type"),
        ({"webhook": {"exclude": [None]}}, "/webhook/exclude/0: type"),
        ({"webhook": {"rules": [{"from": "a.com"}]}}, "/webhook/rules/0: required"),
        ({"webhook": {"rules": [{"from": "a.com", "to": None}]}}, "/webhook/rules/0/to: type"),
        ({"webhook": {"rules": [{"from": "a.com", "to": "b.com", "x": 1}]}}, "/webhook/rules/0/x: not"),
        (
            {"registry": {"server": "a.com"}, "opencti": {"daemon": {"registry": {"server": "a.com"}}}},
            "/opencti/daemon/registry/server: type",
        ),
    ],
)
def test_schema_and_loader_refuse(configuration: Any, violation: str) -> None:
    assert violation in list(violations(_SCHEMA, configuration))
    assert _refused(configuration)


@pytest.mark.parametrize("key", ["webhook.exclude", "webhook.rules", "webhook.namespaces.allow"])
def test_schema_and_loader_limit_of_items(key: str) -> None:
    item = {"from": "a.com", "to": "b.com"} if key == "webhook.rules" else "a"
    configuration = _nested(key, [item] * 10_001)
    assert _refused(configuration) == [key]
    assert not is_valid(_SCHEMA, configuration)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 400_000_000),
    st.sampled_from([0.5, 60.0, 1e3]),
    st.sampled_from(
        ["", "a.com", "nginx", "a.com/b", "off", "Off", "warn", "all", "allow", "debug", "0", "a:b", "x" * 4097]
    ),
)
_RULES = st.fixed_dictionaries({}, optional={"from": _SCALARS, "to": _SCALARS, "x": _SCALARS})
_VALUES = st.one_of(_SCALARS, st.lists(st.one_of(_SCALARS, _RULES), max_size=3), _RULES)


def _usual(path: str) -> st.SearchStrategy[Any]:
    """Return values of which most are allowed."""
    node = compose(f"value: {SETTING_EXAMPLES[schema.spellings()[path].canonical].yaml}".encode())
    assert node is not None
    default = schema.spellings()[path].default
    example = value_of(node)["value"]
    return st.sampled_from([example, msgspec.to_builtins(default)])


@st.composite
def _configurations(draw: st.DrawFn) -> Any:
    """Draw a configuration, most of whose keys and values are allowed."""
    configuration: dict[str, Any] = {}
    for path in draw(st.lists(st.sampled_from(sorted(schema.spellings())), max_size=6, unique=True)):
        *above, last = path.split(".")
        below = configuration
        for name in above:
            below = below.setdefault(name, {})
        below[last] = draw(st.one_of(_usual(path), _usual(path), _VALUES))
    places = [configuration, *(value for value in configuration.values() if isinstance(value, dict))]
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from(["unknown", "Registry", "registry", "webhook", "daemon", "rules"]))
        draw(st.sampled_from(places)).setdefault(name, draw(_VALUES))
    return configuration


@given(st.one_of(_configurations(), _VALUES))
def test_schema_accepts_what_loader_accepts(configuration: Any) -> None:
    refused = {re.sub(r"\[\d+\]", "[0]", key) for key in _refused(configuration)}
    problems = list(violations(_SCHEMA, configuration))
    if not refused:
        assert problems == []
    elif not problems:
        spelled = {"opencti.daemon.registry" + key.removeprefix("registry") for key, _ in LOOSER.values()}
        assert refused <= {key for key, _ in LOOSER.values()} | spelled | {"webhook.rules[0].to"}
