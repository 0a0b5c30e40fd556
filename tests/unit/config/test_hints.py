"""What to write instead of a value of the wrong type."""

import pytest

from webhook.config import hints, schema


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("registry.token_ttl", "30m", "write 1800"),
        ("registry.token_ttl", "30 minutes", "write 1800"),
        ("registry.token_ttl", "1H30M", "write 5400"),
        ("registry.token_ttl", "1800s", "write 1800"),
        ("registry.token_ttl", "1 week, 2 days", "write 777600"),
        ("registry.token_ttl", "1_800", "write 1800"),
        ("registry.token_ttl", "1,800", "write 1800"),
        ("registry.token_ttl", "1,8", ""),
        ("registry.token_ttl", "1s", ""),
        ("registry.token_ttl", "500ms", ""),
        ("registry.token_ttl", "30 months", ""),
        ("registry.token_ttl", "9" * 40, ""),
        ("registry.token_ttl", "", ""),
        ("registry.token_ttl", 1.5, ""),
        ("registry.token_ttl", True, ""),
        ("registry.token_ttl", None, ""),
        ("registry.retry_attempts", "3", "write 3 without quotes"),
        ("registry.retry_attempts", "3m", ""),
        ("registry.retry_attempts", "\u0663", ""),
        ("webhook.pull_secret.linger", "1d", "write 86400"),
        ("webhook.credential.helper_life", "1h", "write 3600"),
        ("webhook.pull_secret.enabled", "yes", "write true"),
        ("webhook.pull_secret.enabled", "Off", "write false"),
        ("webhook.pull_secret.enabled", "true", "write true without quotes"),
        ("webhook.pull_secret.enabled", 1, "write true"),
        ("webhook.pull_secret.enabled", "maybe", ""),
        ("webhook.log_level", "INFO", "write info"),
        ("webhook.log_level", "warn", "write warning"),
        ("webhook.log_level", "loud", ""),
        ("webhook.log_level", 3, ""),
        ("webhook.namespaces.mode", "labeled", "write labelled"),
        ("webhook.verify", False, "write off"),
        ("webhook.verify", "none", ""),
        ("webhook.verify_plain_http", "no", "write never"),
        ("webhook.on_error", False, ""),
        ("registry.server", 3, "write the value in quotes"),
        ("webhook.exclude", "-quay.io/x", "write a space after the -"),
    ],
)
def test_of_value_wrong_type_suggests_accepted_value(path: str, value: object, hint: str) -> None:
    assert hints.of_value(schema.spellings()[path], value) == hint


@pytest.mark.parametrize("path", [path for path, key in schema.table().items() if key.type_name == "whole number"])
def test_whole_numbers_seconds_except_attempts(path: str) -> None:
    assert schema.table()[path].is_seconds is not path.endswith("retry_attempts")
