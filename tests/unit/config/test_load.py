"""Loading valid configurations, and the origin of each value."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.setting_examples import SETTING_EXAMPLES
from webhook.config import schema
from webhook.config.load import Loaded, load
from webhook.settings import (
    Configuration,
    CredentialSettings,
    NamespaceSettings,
    PullSecretSettings,
    RegistrySettings,
    RuleSettings,
    WebhookSettings,
)

_REGISTRY = "OPENCTI__DAEMON__REGISTRY__"

_PAGE = b"""\
opencti:
  daemon:
    registry:
      server: registry.example.com
      username: robot
      password: hunter2
      email: ops@example.com
      token_ttl: 1200
      retry_attempts: 4
      retry_delay: 2
"""
_PAGE_VARIABLES = {
    f"{_REGISTRY}SERVER": "registry.example.com",
    f"{_REGISTRY}USERNAME": "robot",
    f"{_REGISTRY}PASSWORD": "hunter2",
    f"{_REGISTRY}EMAIL": "ops@example.com",
    f"{_REGISTRY}TOKEN_TTL": "1200",
    f"{_REGISTRY}RETRY_ATTEMPTS": "4",
    f"{_REGISTRY}RETRY_DELAY": "2",
}
_PAGE_SETTINGS = RegistrySettings("registry.example.com", "robot", "hunter2", "ops@example.com", 1200, 4, 2)


def _load(text: str | bytes, environment: Mapping[str, str] | None = None) -> Loaded:
    return load(text.encode() if isinstance(text, str) else text, "config.yaml", environment or {})


def _value(configuration: Configuration, path: str) -> Any:
    value: Any = configuration
    for name in path.removeprefix("opencti.daemon.").split("."):
        value = getattr(value, name)
    return value


def _yaml(path: str, value: str) -> str:
    """Write one key as a file that sets nothing else."""
    *above, last = path.split(".")
    lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(above)]
    return "\n".join([*lines, f"{'  ' * len(above)}{last}: {value}", ""])


def test_schema_keys_and_defaults() -> None:
    defaults = {path: example.default for path, example in SETTING_EXAMPLES.items()}
    declared = {path: key.default for path, key in schema.table().items()}
    assert declared == defaults, "tests/support/setting_examples.py and webhook/settings.py differ"


@pytest.mark.parametrize("path", SETTING_EXAMPLES)
def test_load_empty_file_default_of_each_key(path: str) -> None:
    loaded = _load("")
    assert _value(loaded.configuration, path) == SETTING_EXAMPLES[path].default
    assert loaded.origins[path] == "default"


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "{}", "null", "webhook:\nopencti:\n", "webhook: {}"]
)
def test_load_file_without_values_defaults(text: str) -> None:
    assert _load(text).configuration == Configuration()


@pytest.mark.parametrize("path", SETTING_EXAMPLES)
def test_load_each_key_from_file(path: str) -> None:
    example = SETTING_EXAMPLES[path]
    loaded = _load(_yaml(path, example.yaml))
    assert _value(loaded.configuration, path) == example.value
    assert loaded.origins[path] == f"config.yaml:{path.count('.') + 1}"
    assert {origin for other, origin in loaded.origins.items() if other != path} == {"default"}


_NEUTRAL = {
    path: path.removeprefix("opencti.daemon.") for path in SETTING_EXAMPLES if path.startswith("opencti.daemon.")
}


@pytest.mark.parametrize("path", _NEUTRAL)
def test_load_neutral_spelling_sets_same_key(path: str) -> None:
    _, text, variable_text, expected, _ = SETTING_EXAMPLES[path]
    written = _NEUTRAL[path]
    variable = written.upper().replace(".", "__")
    for loaded, origin in (
        (_load(_yaml(written, text)), "config.yaml:2"),
        (_load("", {variable: variable_text}), variable),
        (_load(_yaml(written, "null"), {variable: variable_text}), variable),
        (_load(_yaml(written, text), {path.upper().replace(".", "__"): ""}), "config.yaml:2"),
    ):
        assert _value(loaded.configuration, path) == expected
        assert loaded.origins[path] == origin


def test_load_variable_wins_over_file_in_neutral_spelling() -> None:
    loaded = _load("registry: {server: a.example.com}", {"REGISTRY__SERVER": "b.example.com"})
    assert loaded.configuration.registry.server == "b.example.com"


def test_load_keys_in_different_spellings_together() -> None:
    loaded = _load("registry: {server: a.example.com}", {f"{_REGISTRY}USERNAME": "robot"})
    assert loaded.configuration.registry == RegistrySettings("a.example.com", "robot")


@pytest.mark.parametrize("path", SETTING_EXAMPLES)
def test_load_each_key_from_environment(path: str) -> None:
    example = SETTING_EXAMPLES[path]
    variable = path.upper().replace(".", "__")
    loaded = _load("", {variable: example.variable})
    assert _value(loaded.configuration, path) == example.value
    assert loaded.origins[path] == variable


@pytest.mark.parametrize("path", SETTING_EXAMPLES)
def test_load_one_key_others_default(path: str) -> None:
    found = _load(_yaml(path, SETTING_EXAMPLES[path].yaml)).configuration
    changed = {other for other, key in SETTING_EXAMPLES.items() if _value(found, other) != key.default}
    assert changed == {path}


def test_load_opencti_file() -> None:
    assert _load(_PAGE).configuration == Configuration(registry=_PAGE_SETTINGS)


def test_load_opencti_variables() -> None:
    assert _load("", _PAGE_VARIABLES).configuration == Configuration(registry=_PAGE_SETTINGS)


def test_load_opencti_file_equals_variables() -> None:
    assert _load(_PAGE).configuration == _load("", _PAGE_VARIABLES).configuration


def test_load_json_file() -> None:
    text = json.dumps(
        {"opencti": {"daemon": {"registry": {"server": "r.example.com"}}}, "webhook": {"exclude": ["**/x"]}}
    )
    found = _load(text).configuration
    assert (found.registry.server, found.webhook.exclude) == ("r.example.com", ("**/x",))


@pytest.mark.parametrize("text", ["webhook:\r\n  verify: strict\r\n", "\ufeffwebhook:\n  verify: strict\n"])
def test_load_crlf_and_byte_order_mark(text: str) -> None:
    assert _load(text).configuration.webhook.verify == "strict"


def test_load_environment_overrides_single_key() -> None:
    loaded = _load(_PAGE, {f"{_REGISTRY}SERVER": "other.example.com"})
    assert (loaded.configuration.registry.server, loaded.configuration.registry.username) == (
        "other.example.com",
        "robot",
    )
    assert loaded.origins["opencti.daemon.registry.server"] == f"{_REGISTRY}SERVER"
    assert loaded.origins["opencti.daemon.registry.username"] == "config.yaml:5"


def test_load_environment_list_replaces_file_list() -> None:
    loaded = _load("webhook:\n  exclude:\n    - quay.io/**\n    - ghcr.io/**\n", {"WEBHOOK__EXCLUDE": "docker.io/**"})
    assert loaded.configuration.webhook.exclude == ("docker.io/**",)
    assert loaded.origins["webhook.exclude"] == "WEBHOOK__EXCLUDE"


@pytest.mark.parametrize("key", schema.table().values(), ids=lambda key: key.path)
def test_load_empty_variable_ignored(key: schema.SettingKey) -> None:
    assert _load(_PAGE, {key.variable: ""}) == _load(_PAGE)


@pytest.mark.parametrize(
    "variable", ["OPENCTI__URL", "OPENCTI__TOKEN", "OPENCTI__DAEMON__SELECTOR", "PATH", "WEBHOOKS"]
)
def test_load_foreign_variables_ignored(variable: str) -> None:
    assert _load("", {variable: "anything"}).configuration == Configuration()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quay.io/**", ("quay.io/**",)),
        ("quay.io/**,ghcr.io/**", ("quay.io/**", "ghcr.io/**")),
        (" quay.io/** , ghcr.io/** ,", ("quay.io/**", "ghcr.io/**")),
        ('["quay.io/**", "ghcr.io/**"]', ("quay.io/**", "ghcr.io/**")),
        (' ["quay.io/**"]', ("quay.io/**",)),
        ("[]", ()),
    ],
)
def test_load_list_variable_commas_or_json(text: str, expected: tuple[str, ...]) -> None:
    assert _load("", {"WEBHOOK__EXCLUDE": text}).configuration.webhook.exclude == expected


def test_load_rules_variable_json() -> None:
    rules = [{"from": "quay.io", "to": "r.example.com/quay"}, {"from": "docker.io", "to": "r.example.com/hub"}]
    found = _load("", {"WEBHOOK__RULES": json.dumps(rules)}).configuration.webhook.rules
    assert found == (RuleSettings("quay.io", "r.example.com/quay"), RuleSettings("docker.io", "r.example.com/hub"))


@pytest.mark.parametrize("word", ["off", "warn", "strict"])
def test_load_verify_unquoted(word: str) -> None:
    assert _load(f"webhook: {{verify: {word}}}").configuration.webhook.verify == word


@pytest.mark.parametrize("word", ["no", "on", "yes", "2026-01-01", "1:30", "0o17", "1_000"])
def test_load_yaml_1_1_scalars_as_strings(word: str) -> None:
    found = _load(f"opencti: {{daemon: {{registry: {{username: u, email: {word}}}}}}}").configuration
    assert found.registry.email == word


@pytest.mark.parametrize("password", ["12345", "true", "null", "a: b # c", "%&*!|>'\"@`", "[1", " spaced ", "pässwörd"])
def test_load_password_variable_unchanged(password: str) -> None:
    assert _load("", {f"{_REGISTRY}PASSWORD": password}).configuration.registry.password == password


def test_load_prefixes_normalized() -> None:
    text = """\
opencti: {daemon: {registry: {server: https://registry.example.com/}}}
webhook:
  rules:
    - from: index.docker.io
      to: https://registry.example.com/hub/
  pull_secret:
    registries: [https://index.docker.io/v1/, http://ghcr.io/]
"""
    found = _load(text).configuration
    assert found.registry.server == "registry.example.com"
    assert found.webhook.rules == (RuleSettings("docker.io", "registry.example.com/hub"),)
    assert found.webhook.pull_secret.registries == ("docker.io", "ghcr.io")


def test_load_all_webhook_settings() -> None:
    text = """\
webhook:
  namespaces: {mode: all, allow: ["team-*"], deny: [team-x]}
  pod_opt_out: ignore
  pull_secret: {name: pull, enabled: false, registries: [ghcr.io], linger: 60}
  credential: {helper: ecr-login}
  verify: strict
  on_error: deny
"""
    assert _load(text).configuration.webhook == WebhookSettings(
        namespaces=NamespaceSettings("all", ("team-*",), ("team-x",)),
        pod_opt_out="ignore",
        pull_secret=PullSecretSettings("pull", enabled=False, registries=("ghcr.io",), linger=60),
        credential=CredentialSettings(helper="ecr-login"),
        verify="strict",
        on_error="deny",
    )


@pytest.mark.parametrize(
    ("path", "lowest", "highest"),
    [
        ("opencti.daemon.registry.token_ttl", 10, 2_592_000),
        ("opencti.daemon.registry.retry_attempts", 1, 100),
        ("opencti.daemon.registry.retry_delay", 0, 3600),
        ("webhook.pull_secret.linger", 0, 2_592_000),
    ],
)
def test_load_limits_inclusive(path: str, lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        assert _value(_load(_yaml(path, str(value))).configuration, path) == value


@pytest.mark.parametrize("text", ["{}---\n", "---\n---\n{}", "# c\n---\n{}---\n# d\n---\n", "{}...\n"])
def test_load_empty_documents_ignored(text: str) -> None:
    assert (
        load(text.replace("{}", "webhook: {verify: off}\n").encode(), "c.yaml", {}).configuration.webhook.verify
        == "off"
    )


@pytest.mark.parametrize(("written", "value"), [("1.5768e+08", 157680000), ("1800.0", 1800), ("6e1", 60), ("60.", 60)])
def test_load_float_without_fraction_as_int(written: str, value: int) -> None:
    text = f"webhook: {{certificate: {{authority_life: {written}, life: 60, overlap: 10}}}}"
    found = load(text.encode(), "c.yaml", {}).configuration.webhook.certificate
    assert found.authority_life == value
    variables = {"WEBHOOK__CERTIFICATE__LIFE": "60", "WEBHOOK__CERTIFICATE__OVERLAP": "10"}
    variables["WEBHOOK__CERTIFICATE__AUTHORITY_LIFE"] = written
    assert load(b"", "c.yaml", variables).configuration.webhook.certificate.authority_life == value
