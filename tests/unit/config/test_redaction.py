"""A password is never shown, whatever is wrong and wherever it was written."""

import pytest

from webhook.config.load import load
from webhook.config.render import show
from webhook.errors import ConfigurationError

_PASSWORD = "hunter2"  # noqa: S105 - what is looked for
_REGISTRY = "OPENCTI__DAEMON__REGISTRY__"
_URL = f"https://robot:{_PASSWORD}@reg.example.com"

#: Lines below `registry:` in a file that cannot be accepted.
_BELOW_REGISTRY = {
    "a list": f"password: [{_PASSWORD}]",
    "a mapping": f"password: {{{_PASSWORD}: {_PASSWORD}}}",
    "a mapping with a list for a key": f"password: {{[{_PASSWORD}]: x}}",
    "a misspelt key": f"pasword: {_PASSWORD}",
    "an upper-case key": f"PASSWORD: {_PASSWORD}",
    "a shortened key": f"pass: {_PASSWORD}",
    "no blank after the colon": f"password:{_PASSWORD}",
    "no blank after the colon, and a colon behind": f"password:{_PASSWORD}: x",
    "no blank after the colon, under another key": f"username: robot\n        password:{_PASSWORD}",
    "an open quote": f"password: '{_PASSWORD}",
    "an open double quote": f'password: "{_PASSWORD}',
    "a bad escape": f'password: "\\q{_PASSWORD}"',
    "two colons": f"password: {_PASSWORD}: x",
    "a colon at its end": f"password: {_PASSWORD}:",
    "a percent sign": f"password: %{_PASSWORD}",
    "an at sign": f"password: @{_PASSWORD}",
    "a backtick": f"password: `{_PASSWORD}",
    "an exclamation mark": f"password: !{_PASSWORD} x",
    "an unknown tag": f"password: !!python/object:{_PASSWORD} x",
    "no base64": f"password: !!binary {_PASSWORD}",
    "a star": f"password: *{_PASSWORD}",
    "a star elsewhere": f"password: &x {_PASSWORD}\n      username: *{_PASSWORD}",
    "an ampersand": f"password: &{_PASSWORD}!x",
    "a pipe": f"password: |{_PASSWORD}",
    "an angle bracket": f"password: >{_PASSWORD}",
    "a bracket": f"password: [{_PASSWORD}",
    "a brace": f"password: {{{_PASSWORD}",
    "too long": f"password: {_PASSWORD * 1000}",
    "written twice": f"password: {_PASSWORD}\n      password: {_PASSWORD}",
    "in the user name": f"username: robot:{_PASSWORD}",
    "in a user name that is a list": f"username: [robot, {_PASSWORD}]",
    "in a user name that is a mapping": f"username: {{name: robot, password: {_PASSWORD}}}",
    "in the server": f"server: {_URL}",
    "in a server without a scheme": f"server: robot:{_PASSWORD}@reg.example.com",
    "in a server with a slash in it": f"server: https://robot:{_PASSWORD}/@reg.example.com",
    "in a server that is a list": f"server: [{_URL}]",
    "in a server that is a mapping": f"server: {{url: reg.example.com, password: {_PASSWORD}}}",
    "in an e-mail that is a mapping": f"email: {{password: {_PASSWORD}}}",
    "in a number": f"token_ttl: {_URL}",
    "beside a issue": f"password: {_PASSWORD}\n      token_ttl: 1\n      zzz: 1\n      server: harbor",
    "beside a tab": f"password: {_PASSWORD}\n\tserver: a.com",
}

#: Whole files.
_FILES = {
    "above its place": f"password: {_PASSWORD}",
    "one level up": f"opencti:\n  daemon:\n    password: {_PASSWORD}",
    "in place of the settings": f"opencti: {{daemon: {{registry: {_PASSWORD}}}}}",
    "in place of everything": _PASSWORD,
    "in a list for everything": f"- {_PASSWORD}",
    "with the webhook's keys": f"webhook: {{password: {_PASSWORD}}}",
    "with the credential's keys": f"webhook: {{credential: {{password: {_PASSWORD}}}}}",
    "in the credential's file": f"webhook: {{credential: {{file: {{password: {_PASSWORD}}}}}}}",
    "in a rule": f"webhook: {{rules: [{{from: quay.io, to: '{_URL}'}}]}}",
    "in a rule beside a malformed one": f"webhook: {{rules: [3, {{from: quay.io, to: '{_URL}'}}]}}",
    "in place of the rules": f"webhook: {{rules: '{_URL}'}}",
    "in a pattern": f"webhook: {{exclude: ['{_URL}/**']}}",
    "in a pattern beside a number": f"webhook: {{exclude: [3, '{_URL}']}}",
    "in a further registry": f"webhook: {{pull_secret: {{registries: ['{_URL}']}}}}",
    "in place of the further registries": f"webhook: {{pull_secret: {{registries: '{_URL}'}}}}",
    "in the secret's name": f"webhook: {{pull_secret: {{name: '{_URL}'}}}}",
    "in a namespace": f"webhook: {{namespaces: {{deny: ['{_URL}']}}}}",
    "in a choice": f"webhook: {{verify: '{_URL}'}}",
    "in a directive": f"%TAG ! tag:{_PASSWORD}\n",
    "as a tag": f"webhook: !<{_PASSWORD}> x",
}

_VARIABLES = {
    f"{_REGISTRY}PASWORD": _PASSWORD,
    f"{_REGISTRY}PASSWORD": _PASSWORD * 1000,
    f"{_REGISTRY}USERNAME": f"robot:{_PASSWORD}",
    f"{_REGISTRY}SERVER": _URL,
    f"{_REGISTRY}TOKEN_TTL": _URL,
    "OPENCTI__DAEMON__REGISTY__PASSWORD": _PASSWORD,
    "REGISTRY__PASWORD": _PASSWORD,
    "REGISTRY__PASSWORD": _PASSWORD * 1000,
    "REGISTRY__USERNAME": f"robot:{_PASSWORD}",
    "REGISTRY__SERVER": _URL,
    "WEBHOOK__PASSWORD": _PASSWORD,
    "WEBHOOK__VERIFY": _URL,
    "WEBHOOK__EXCLUDE": _URL,
    "WEBHOOK__RULES": f'[{{"from": "quay.io", "to": "{_URL}"}}, 3]',
    "WEBHOOK__PULL_SECRET__REGISTRIES": f'["{_URL}"',
}


def _said(text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(text.encode(), "c.yaml", environment or {})
    return f"{caught.value} {caught.value!r} {caught.value.issues!r}"


@pytest.mark.parametrize("above", ["opencti:\n  daemon:\n    registry:\n", "registry:\n"], ids=["long", "neutral"])
@pytest.mark.parametrize("case", _BELOW_REGISTRY)
def test_error_invalid_registry_hides_password(case: str, above: str) -> None:
    said = _said(f"{above}      {_BELOW_REGISTRY[case]}\n")
    assert "c.yaml:" in said
    assert _PASSWORD not in said


@pytest.mark.parametrize("case", _FILES)
def test_error_misplaced_password_hidden(case: str) -> None:
    said = _said(_FILES[case])
    assert "c.yaml:" in said
    assert _PASSWORD not in said


@pytest.mark.parametrize("variable", _VARIABLES)
def test_error_invalid_variable_hides_password(variable: str) -> None:
    said = _said("", {variable: _VARIABLES[variable]})
    assert variable in said
    assert _PASSWORD not in said


def test_password_in_both_spellings_is_shown_nowhere() -> None:
    said = _said(f"registry: {{password: {_PASSWORD}}}", {f"{_REGISTRY}PASSWORD": f"{_PASSWORD}2"})
    assert "the same key is set as registry.password" in said
    assert _PASSWORD not in said


def test_show_hides_password() -> None:
    text = f"opencti: {{daemon: {{registry: {{server: reg.example.com, username: robot, password: {_PASSWORD}}}}}}}"
    shown = show(load(text.encode(), "c.yaml", {}))
    assert _PASSWORD not in shown
    assert "robot" in shown
