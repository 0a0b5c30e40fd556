"""The table of keys has what the reference page and the error messages need."""

import re

import pytest

from tests.support.setting_examples import SETTING_EXAMPLES
from webhook.config import schema


@pytest.mark.parametrize("key", schema.table().values(), ids=lambda key: key.path)
def test_key_described_in_sentences(key: schema.SettingKey) -> None:
    for description in (key.description, *key.items.values()):
        assert re.fullmatch(r"[A-Z`].*\.", description)
        assert "\n" not in description


def test_every_spelling_has_the_same_description() -> None:
    for key in schema.spellings().values():
        assert key.description == schema.table()[key.canonical].description


def test_rules_items_are_described() -> None:
    assert list(schema.table()["webhook.rules"].items) == ["from", "to"]
    assert schema.table()["webhook.exclude"].items == {}


@pytest.mark.parametrize("path", SETTING_EXAMPLES)
def test_default_and_example_are_allowed(path: str) -> None:
    key, example = schema.table()[path], SETTING_EXAMPLES[path]
    for value in (example.default, example.value):
        if key.type_name == "whole number" and value is not None:
            low, _, high = key.allowed.partition(" to ")
            assert int(low) <= value <= int(high)
        elif key.allowed and value is not None:
            assert str(value).lower() in key.allowed.split(", ")


@pytest.mark.parametrize(
    ("path", "type_name", "allowed"),
    [
        ("webhook.log_level", "string", "debug, info, warning, error"),
        ("webhook.verify", "string", "off, warn, strict"),
        ("webhook.pull_secret.enabled", "boolean", "true, false"),
        ("opencti.daemon.registry.token_ttl", "whole number", "10 to 2592000"),
        ("webhook.credential.helper_life", "whole number", "10 to 2592000"),
        ("webhook.credential.file", "string", ""),
        ("webhook.namespaces.allow", "list of strings", ""),
        ("webhook.rules", "list of mappings with the keys from and to", ""),
    ],
)
def test_type_and_allowed_values(path: str, type_name: str, allowed: str) -> None:
    key = schema.table()[path]
    assert (key.type_name, key.allowed) == (type_name, allowed)
