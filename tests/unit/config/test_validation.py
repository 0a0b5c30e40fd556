"""All errors of a configuration are found at once, each with key, origin, value and remedy."""

import re
from collections.abc import Mapping

import pytest
import yaml

from webhook.config import schema, yaml_errors
from webhook.config.load import load
from webhook.errors import ConfigIssue, ConfigurationError

_REGISTRY = "OPENCTI__DAEMON__REGISTRY__"


def _issues(text: str | bytes, environment: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(text.encode() if isinstance(text, str) else text, "c.yaml", environment or {})
    assert str(caught.value).split("\n") == [str(issue) for issue in caught.value.issues]
    assert all(issue.one_line.isprintable() for issue in caught.value.issues)
    return list(map(_place_first, caught.value.issues))


def _place_first(issue: ConfigIssue) -> str:
    """Return an issue as these tests compare it: `ORIGIN: KEY = VALUE: PROBLEM; HINT`, the value without quotes."""
    value = "" if issue.value is None else f" = {issue.value}".replace('"', "")
    key = f"{issue.key}{value}: " if issue.key else ""
    return f"{issue.origin}: {key}{issue.problem}; {issue.hint}"


def _issue(text: str | bytes, environment: Mapping[str, str] | None = None) -> str:
    (line,) = _issues(text, environment)
    return line


def _yaml(path: str, value: str) -> str:
    *above, last = path.split(".")
    lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(above)]
    return "\n".join([*lines, f"{'  ' * len(above)}{last}: {value}", ""])


@pytest.mark.parametrize(
    ("text", "start", "remedy"),
    [
        ("webhok: {}", "c.yaml:1: webhok: ", "webhook"),
        ("webhook:\n  veriy: warn", "c.yaml:2: webhook.veriy: ", "verify"),
        ("opencti:\n  deamon:\n    registry:", "c.yaml:2: opencti.deamon: ", "daemon"),
        ("opencti: {daemon: {registry: {sever: a.com}}}", "c.yaml:1: opencti.daemon.registry.sever: ", "server"),
        ("registry: {sever: a.com}", "c.yaml:1: registry.sever: ", "server"),
        ("webhook: {namespaces: {alow: [a]}}", "c.yaml:1: webhook.namespaces.alow: ", "allow"),
        ("webhook: {zzz: 1}", "c.yaml:1: webhook.zzz: ", "verify"),
        ("server: a.com", "c.yaml:1: server: ", "below registry"),
        ("'': {webhook: {verify: off}}", "c.yaml:1: ", ""),
        ("webhook.verify: off", "c.yaml:1: webhook.verify: ", ""),
        ("3: x", "c.yaml:1: 3: ", "opencti, registry, webhook"),
    ],
)
def test_unknown_key_suggests_similar(text: str, start: str, remedy: str) -> None:
    line = _issue(text)
    assert line.startswith(start)
    assert remedy in line.removeprefix(start)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("OPENCTI__DAEMON__REGISTRY__SEVER", "OPENCTI__DAEMON__REGISTRY__SERVER"),
        ("OPENCTI__DAEMON__REGISTRY__PASWORD", "OPENCTI__DAEMON__REGISTRY__PASSWORD"),
        ("OPENCTI__DAEMON__REGISTRY_SERVER", "OPENCTI__DAEMON__REGISTRY__SERVER"),
        ("OPENCTI__DAEMON__REGISTY__SERVER", "OPENCTI__DAEMON__REGISTRY__SERVER"),
        ("REGISTRY__SEVER", "REGISTRY__SERVER"),
        ("OPENCTI__DEAMON__REGISTRY__TOKEN_TTL", "OPENCTI__DAEMON__REGISTRY__TOKEN_TTL"),
        ("WEBHOOK__VERIFI", "WEBHOOK__VERIFY"),
        ("WEBHOOK__NAMESPACE__DENY", "WEBHOOK__NAMESPACES__DENY"),
    ],
)
def test_unknown_variable_suggests_similar(variable: str, meant: str) -> None:
    start = f"{variable}: "
    line = _issue("", {variable: "x"})
    assert line.startswith(start)
    assert f"did you mean {meant}?" in line


_LONG, _NEUTRAL = "opencti.daemon.registry", "registry"


@pytest.mark.parametrize("key", ["server", "username", "password", "email"])
@pytest.mark.parametrize(("first", "second"), [(_LONG, _NEUTRAL), (_NEUTRAL, _LONG)])
def test_load_both_spellings_in_file_refused(first: str, second: str, key: str) -> None:
    line = _issue(_yaml(f"{first}.{key}", "a.example.com") + _yaml(f"{second}.{key}", "a.example.com"))
    _, found, problem = line.partition(f": {second}.{key}: ")
    assert found
    assert f"{first}.{key} in c.yaml:" in problem


@pytest.mark.parametrize(("in_file", "in_variable"), [(_LONG, _NEUTRAL), (_NEUTRAL, _LONG)])
def test_load_other_spelling_in_variable_refused(in_file: str, in_variable: str) -> None:
    variable = f"{in_variable}.server".replace(".", "__").upper()
    line = _issue(_yaml(f"{in_file}.server", "a.example.com"), {variable: "b.example.com"})
    start = f"{variable}: {in_variable}.server: "
    assert line.startswith(start)
    assert f"{in_file}.server in c.yaml:" in line.removeprefix(start)


def test_load_both_spellings_in_variables_refused() -> None:
    line = _issue("", {"OPENCTI__DAEMON__REGISTRY__SERVER": "a.example.com", "REGISTRY__SERVER": "a.example.com"})
    start = "REGISTRY__SERVER: registry.server: "
    assert line.startswith(start)
    assert "opencti.daemon.registry.server in OPENCTI__DAEMON__REGISTRY__SERVER;" in line.removeprefix(start)


def test_load_neutral_spelling_kept_in_messages() -> None:
    line = _issue("registry: {server: localhost/x, username: a}\nwebhook: {credential: {username_file: /x}}")
    assert " registry.username" in line
    assert _issue("registry: {server: harbor}").startswith("c.yaml:1: registry.server = harbor: ")
    assert _issue("registry: {retry_delay: -1}").startswith("c.yaml:1: registry.retry_delay = -1: ")


@pytest.mark.parametrize("path", [path for path, key in schema.spellings().items() if key.is_text])
@pytest.mark.parametrize("value", ["3", "1.5", "true", "[a]", "{a: b}"])
def test_string_key_other_type_refused(path: str, value: str) -> None:
    assert _issue(_yaml(path, value)).startswith(f"c.yaml:{path.count('.') + 1}: {path}")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("opencti.daemon.registry.token_ttl", "9", "10 2592000"),
        ("opencti.daemon.registry.token_ttl", "2592001", "10 2592000"),
        ("opencti.daemon.registry.token_ttl", "30m", "10 2592000"),
        ("opencti.daemon.registry.retry_attempts", "0", "1 100"),
        ("opencti.daemon.registry.retry_attempts", "101", "1 100"),
        ("opencti.daemon.registry.retry_delay", "-1", "0 3600"),
        ("opencti.daemon.registry.retry_delay", "3601", "0 3600"),
        ("opencti.daemon.registry.retry_delay", "1.5", "0 3600"),
        ("webhook.pull_secret.linger", "-1", "0 2592000"),
        ("webhook.pull_secret.linger", "true", "0 2592000"),
        ("webhook.pull_secret.linger", "9" * 30, "0 2592000"),
        ("webhook.pull_secret.enabled", "yes", "true false"),
        ("webhook.pull_secret.enabled", "2", "true false"),
        ("webhook.verify", "no", "off warn strict"),
        ("webhook.verify", "STRICT", "off warn strict"),
        ("webhook.on_error", "fail", "allow deny"),
        ("webhook.pod_opt_out", "deny", "allow ignore"),
        ("webhook.namespaces.mode", "labeled", "labelled all"),
        ("webhook.log_level", "loud", "debug info warning error"),
    ],
)
def test_invalid_value_names_allowed_values(path: str, value: str, expected: str) -> None:
    variable = path.upper().replace(".", "__")
    in_variable = _issue("", {variable: value})
    start = f"{variable}: {path} = {value}: "
    assert in_variable.startswith(start)
    problem = in_variable.removeprefix(start)
    assert re.search(rf"\b{expected.replace(' ', '(?:, | to | or )')}\b", problem)
    assert _issue(_yaml(path, value)).endswith(f": {path} = {value}: {problem}")


@pytest.mark.parametrize("value", ["x", "3", "{a: b}", "true"])
@pytest.mark.parametrize("path", [path for path, key in schema.table().items() if key.is_list])
def test_list_key_other_type_refused(path: str, value: str) -> None:
    line = _issue(_yaml(path, value))
    shown = f" = {value}" if value != "{a: b}" else ""
    assert line.startswith(f"c.yaml:{path.count('.') + 1}: {path}{shown}: ")


def test_list_item_wrong_type_names_line() -> None:
    line = _issue("webhook:\n  exclude:\n    - quay.io/**\n    - 3\n")
    assert line.startswith("c.yaml:4: webhook.exclude[1] = 3: must be ")


def test_list_every_wrong_item_reported() -> None:
    lines = _issues("webhook:\n  exclude:\n    - 3\n    - quay.io/**\n    - [x]\n    - nginx\n")
    assert [line.split(" ")[0] for line in lines] == ["c.yaml:3:", "c.yaml:5:", "c.yaml:6:"]


@pytest.mark.parametrize(
    ("item", "start", "remedy"),
    [
        ("3", " = 3: must be a mapping with the keys from and to", "{from: "),
        ("x", " = x: must be a mapping with the keys from and to", "{from: "),
        ("[]", ": must be a mapping with the keys from and to", "{from: "),
        ("from:quay.io", " = from:quay.io: must be a mapping", "a space after the colon"),
        ("{from: quay.io}", ".to: missing", ""),
        ("{from: quay.io, to: null}", ".to: missing", ""),
        ("{to: a.com}", ".from: missing", ""),
        ("{from: quay.io, to: 3}", ".to = 3: must be a string", "in quotes"),
        (f"{{from: quay.io, to: {'a' * 4097}}}", ".to = ", "at most 4096"),
        ("{from: quay.io, to: a.com, then: x}", ".then: unknown key", "from and to"),
        ("{form: quay.io, to: a.com}", ".form: unknown key", "did you mean from?"),
        ("{From: quay.io, to: a.com}", ".From: unknown key", "did you mean from?"),
        ("{from: quay.io, target: a.com}", ".target: unknown key", "did you mean to?"),
        ("quay.io: a.com/quay", ".quay.io: unknown key", "write {from: quay.io, to: a.com/quay}"),
        ("{from: quay.io, to: a.com, to: b.com}", ".to: set twice, first on line 5", ""),
    ],
)
def test_rule_malformed_names_key_and_line(item: str, start: str, remedy: str) -> None:
    line = _issue(f"webhook:\n  rules:\n    - from: ghcr.io\n      to: r.example.com\n    - {item}\n")
    start = f"c.yaml:5: webhook.rules[1]{start}"
    assert line.startswith(start)
    assert remedy in line.removeprefix(start)


def test_rule_several_wrong_keys_each_reported() -> None:
    lines = _issues("webhook:\n  rules:\n  - form: quay.io\n    password:hunter2: x\n  - {}\n")
    assert [line.partition(";")[0] for line in lines] == [
        "c.yaml:3: webhook.rules[0].form: unknown key",
        "c.yaml:3: webhook.rules[0].to: missing",
        "c.yaml:4: webhook.rules[0].password...: unknown key",
        "c.yaml:5: webhook.rules[1].from: missing",
        "c.yaml:5: webhook.rules[1].to: missing",
    ]
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize("rules", ["{quay.io: a.com/quay}", "{nginx: x, quay.io: a.com/quay}"])
def test_rules_mapping_of_prefixes_suggests_list_of_rules(rules: str) -> None:
    assert "- {from: quay.io, to: a.com/quay}" in _issue(f"webhook: {{rules: {rules}}}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("registry:\n  server:a.com\n", 2),
        ("registry:\n  server:a.com\n  username: x\n", 2),
        ("registry:\n  username: x\n  server:a.com\n", 3),
        ("registry: {server:a.com}\n", 1),
        ("webhook:\n  rules:\n  - from:quay.io\n    to: a.com\n", 3),
    ],
)
def test_no_space_after_colon_suggested(text: str, line: int) -> None:
    found = _issue(text)
    assert found.startswith(f"c.yaml:{line}: ")
    assert found.endswith("write a space after the colon")


@pytest.mark.parametrize("text", ["webhook:\n  exclude:\n  -quay.io/x\n", "webhook:\n  exclude:\n    -quay.io/x\n"])
def test_no_space_after_dash_suggested(text: str) -> None:
    assert _issue(text).endswith("write a space after the -")


@pytest.mark.parametrize(
    "rest", ["metadata: &a {}", "spec: *a", "---\napiVersion: v1", "spec:\n{{ if .Values.x }}", "a: [", "\tb: 1"]
)
def test_manifest_that_cannot_be_read_recognized(rest: str) -> None:
    assert "this is a Kubernetes manifest" in _issue(f"apiVersion: v1\nkind: Pod\n{rest}\n")


@pytest.mark.parametrize("quoted", ["“a.com”", "„a.com“", "‘a.com’", "«a.com»", "”a.com”"])
@pytest.mark.parametrize("key", ["registry.server", "webhook.verify", "registry.token_ttl", "webhook.pull_secret.name"])
def test_typographic_quotes_shown_with_remedy(key: str, quoted: str) -> None:
    found = _issue(_yaml(key, quoted))
    assert f"{key} = {quoted}: " in found
    assert found.endswith("use straight quotes, or none")


def test_rules_every_malformed_one_reported() -> None:
    lines = _issues("webhook:\n  rules:\n    - 3\n    - from: quay.io\n    - from: harbor\n      to: a.com\n")
    assert [line.split(" ")[0] for line in lines] == ["c.yaml:3:", "c.yaml:4:", "c.yaml:5:"]


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("webhook:\n  verify: off\n  verify: warn\n", 3, "webhook.verify"),
        ("webhook: {}\nwebhook: {}\n", 2, "webhook"),
        ("opencti:\n  daemon:\n    registry: {}\n    registry: {}\n", 4, "opencti.daemon.registry"),
    ],
)
def test_duplicate_key_refused(text: str, line: int, key: str) -> None:
    found = _issue(text)
    start = f"c.yaml:{line}: {key}: "
    assert found.startswith(start)
    assert re.findall(r"\d+", found.removeprefix(start)) == [str(line - 1)]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("opencti: x", "c.yaml:1: opencti: "),
        ("opencti:\n  daemon: [registry]\n", "c.yaml:2: opencti.daemon: "),
        ("opencti:\n  daemon:\n    registry: registry.example.com\n", "c.yaml:3: opencti.daemon.registry: "),
        ("webhook: 3", "c.yaml:1: webhook: "),
        ("webhook:\n  pull_secret: mine\n", "c.yaml:2: webhook.pull_secret: "),
    ],
)
def test_scalar_instead_of_mapping_refused(text: str, start: str) -> None:
    assert _issue(text).startswith(start)


@pytest.mark.parametrize(
    ("text", "found"),
    [("[]", "a list"), ("just a text", "plain text"), ("3", "plain text"), ("- webhook: {}", "a list")],
)
def test_file_not_mapping_refused(text: str, found: str) -> None:
    line = _issue(text)
    assert line.startswith("c.yaml:1: ")
    assert f"top-level keys opencti, registry and webhook, found {found}" in line


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("registry.server: a.com", "registry: {server: ...}"),
        ("opencti.daemon.registry.server: a.com", "opencti: {daemon: {registry: {server: ...}}}"),
        ("webhook: {pull_secret.name: x}", "webhook: {pull_secret: {name: ...}}"),
        ("server: a.com", "server below registry"),
        ("opencti: {server: a.com}", "server below registry"),
        ("verify: off", "verify below webhook"),
        ("webhook: {registry: {server: a.com}}", "registry at the top level"),
        ("registry: {rules: []}", "rules below webhook"),
        ("webhook: {deny: [a]}", "deny below webhook.namespaces"),
        ("registry: a.com", "registry: {server: registry.example.com}"),
    ],
)
def test_key_at_wrong_level_hint_shows_place(text: str, hint: str) -> None:
    assert hint in _issue(text).partition("; ")[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\nkind: ConfigMap\ndata:\n  config.yaml: |\n    webhook: {}\n", "Kubernetes manifest"),
        ("apiVersion: v1\nkind: Pod\nspec: {}\n", "Kubernetes manifest"),
        ("replicaCount: 2\nimage: {repository: a}\nresources: {}\nconfig: {}\n", "Helm values file"),
        ("{{ .Values.configuration }}", "template"),
        ("{{- toYaml .Values.configuration | nindent 4 }}\n", "template"),
        ("webhook:\n  {{- if .Values.verify }}\n  verify: off\n  {{- end }}\n", "template"),
        ("webhook:\n  verify: {{ .Values.verify }}\n", "template"),
        ("registry:\n  server: {{ .Values.host }}/team\n", "template"),
    ],
)
def test_file_of_other_format_one_issue_names_it(text: str, words: str) -> None:
    assert words in _issue(text)


def test_value_with_template_hint_says_render() -> None:
    assert "render it first" in _issue('registry: {server: "{{ .Values.host }}"}')


@pytest.mark.parametrize("value", ["a ", " a", "nginx:1.27", "3", "true"])
def test_string_value_shown_in_quotes(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(f"webhook:\n  exclude:\n    - '{value}'\n".encode(), "c.yaml", {})
    (issue,) = caught.value.issues
    assert str(issue) == f'webhook.exclude[0] = "{value}": {issue.problem} (c.yaml:3)'
    assert issue.one_line == f"{issue}; {issue.hint}"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("webhook:\n\tverify: off\n", 2, "tab"),
        ("webhook:\n  verify:\n\t\t- off\n", 3, "tab"),
        ("webhook:\n  exclude:\n    - **/pause\n", 3, '"**/pause"'),
        ("webhook:\n  exclude:\n    - */pause\n", 3, "quotes"),
        ("webhook:\n  exclude:\n    - *pause\n", 3, '"**/pause"'),
        ("webhook:\n  exclude: [**/pause]\n", 2, '"**/pause"'),
        ("webhook: [}", 1, "expected a value"),
        ("webhook: }", 1, "expected a value"),
        ("webhook: [a, b", 1, "expected , or ]"),
        ("webhook:\n  exclude: [a, b\n  verify: off\n", 3, "line 2"),
        ("webhook: {verify: off", 1, "expected , or }"),
        ("webhook:\n verify: off\n  on_error: deny\n", 3, "unexpected colon"),
        ("webhook:\n  verify: off\n on_error: deny\n", 3, "line 1 alike"),
        ("webhook:\n  exclude: - a\n", 2, "unexpected list item"),
        ("webhook:\n  exclude:\n    - a\n    b: c\n", 4, "expected a list item"),
        ("registry:\n  password: a: b\n", 2, "in quotes"),
        ("registry:\n  password: 'abc\n  server: a.com\n", 2, "quotation mark"),
        ('registry:\n  password: "abc\n', 2, "quotation mark"),
        ('registry:\n  password: "a\\qb"\n', 2, "escape sequence"),
        ("registry:\n  password: @abc\n", 2, "begins with @"),
        ("registry:\n  password: `abc\n", 2, "begins with `"),
        ("registry:\n  password: %abc\n", 2, "begins with %"),
        ("registry:\n  password: |abc\n", 2, "| or >"),
        ("registry:\n  password: ]abc\n", 2, "expected a value"),
        ('registry:\n  password: "abc" def\n', 2, "expected a key"),
        ("%abc: 1\n", 1, "directive"),
        ("%YAML 9.9\n---\n", 1, "directive"),
        ("webhook: {}\n---\nwebhook: {}\n", 2, "document"),
        ("{a: b} c\n", 1, "end of the document"),
    ],
)
def test_invalid_yaml_names_line(text: str, line: int, words: str) -> None:
    found = _issue(text)
    assert found.startswith(f"c.yaml:{line}: ")
    assert words in found


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("text", ["a: [b", "a: {b", "a: 'b", "a: @b", "a:\n - b\n c: d", "a: b: c", "a: - b", "\ta: b"])
def test_invalid_yaml_same_words_from_both_parsers(text: str, loader: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        list(yaml.parse(f"{text}\n", getattr(yaml, loader)))
    assert yaml_errors.describe(caught.value, text).problem in _issue(text)


@pytest.mark.parametrize(
    "text", [b"webhook: {verify: off} # \xe9\n", b"\xc3\x28: 1", b"webhook: \xff", b"a: \xed\xa0\x80\n"]
)
def test_file_not_utf8_refused(text: bytes) -> None:
    line = _issue(text)
    assert line.startswith("c.yaml: ")
    assert "UTF-8" in line


@pytest.mark.parametrize("text", ["x: " + "[" * 5000, "webhook: " + "{webhook: " * 5000])
def test_file_nested_too_deeply_refused(text: str) -> None:
    assert _issue(text).startswith("c.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "webhook:\n  exclude: &a [*a]\n",
        "webhook:\n  rules: &a\n    - from: *a\n      to: *a\n",
        "opencti: {daemon: {registry: {token_ttl: " + "9" * 5000 + "}}}",
        "opencti: {daemon: {registry: {server: !!python/name:os.system x}}}",
        "opencti: {daemon: {registry: {server: !!binary AA==}}}",
        "opencti: {daemon: {registry: {server: !!timestamp x}}}",
        "opencti: {daemon: {registry: {server: {[a]: b}}}}",
        "opencti: {daemon: {registry: {server: {3: b}}}}",
        "opencti: {daemon: {registry: {server: .nan}, token_ttl: .inf}}",
        "? [webhook]\n: x\n",
        "webhook: {<<: {verify: off}}",
        "%YAML 9.9\n---\n",
    ],
)
def test_unusual_yaml_features_reported(text: str) -> None:
    assert all(line.startswith("c.yaml") for line in _issues(text))


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("WEBHOOK__EXCLUDE", '["quay.io/**"'),
        ("WEBHOOK__EXCLUDE", "[\udcff"),
        ("WEBHOOK__EXCLUDE", "\udcff"),
        ("WEBHOOK__RULES", "quay.io=a.com"),
        ("WEBHOOK__RULES", '{"from": "quay.io", "to": "a.com"}'),
        ("WEBHOOK__RULES", '[{"from": "quay.io"}]'),
        ("WEBHOOK__RULES", "[" * 5000),
        (f"{_REGISTRY}SERVER", "\udcff"),
        (f"{_REGISTRY}SERVER", "x" * 5000),
        ("WEBHOOK__PULL_SECRET__ENABLED", "maybe"),
        ("WEBHOOK__PULL_SECRET__NAME", "My_Secret"),
    ],
)
def test_invalid_variable_reported(variable: str, text: str) -> None:
    lines = _issues("", {variable: text})
    assert all(line.startswith(f"{variable}: ") for line in lines)
    assert all(len(line) < 400 for line in lines)


def test_long_value_truncated() -> None:
    assert len(_issue(_yaml("webhook.verify", "x" * 3000))) < 200


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("team/app", "docker.io/team/app"),
        ("team/*", "docker.io/team/*"),
        ("quay.io", "quay.io/**"),
        ("quay.io/", "quay.io/**"),
        ("quay.io/team/", "quay.io/team/**"),
        ("quay.io/app:1.0", ""),
        ("quay.io/app@sha256:00", ""),
        ("quay.io/(a|b)", ""),
        ("quay.io/a b", ""),
        ("", "quay.io/team/**"),
    ],
)
def test_exclude_impossible_pattern_suggests_fix(pattern: str, remedy: str) -> None:
    line = _issue(f'webhook:\n  exclude:\n    - "**/pause"\n    - "{pattern}"\n')
    assert line.startswith("c.yaml:4: webhook.exclude[1]")
    assert remedy in line


@pytest.mark.parametrize("key", ["allow", "deny"])
@pytest.mark.parametrize("pattern", ["Team", "a_b", "a b", "", "a/b", "a\\nb"])
def test_namespaces_impossible_pattern_refused(key: str, pattern: str) -> None:
    line = _issue(f'webhook:\n  namespaces:\n    {key}:\n      - "{pattern}"\n')
    assert line.startswith(f"c.yaml:4: webhook.namespaces.{key}[0]")


@pytest.mark.parametrize("name", ["Upper", "under_score", "-a", "a-", "a..b", ".a", "a" * 254, '""'])
def test_pull_secret_invalid_name_refused(name: str) -> None:
    assert _issue(f"webhook:\n  pull_secret:\n    name: {name}\n").startswith("c.yaml:3: webhook.pull_secret.name")


def test_credential_two_providers_refused() -> None:
    line = _issue("webhook:\n  credential:\n    file: /a\n    helper: ecr-login\n")
    assert line.startswith("c.yaml:4: webhook.credential.helper: ")
    assert "file, helper" in line


def test_username_and_username_file_refused() -> None:
    text = "opencti: {daemon: {registry: {username: robot}}}\nwebhook:\n  credential: {username_file: /a}\n"
    line = _issue(text)
    assert line.startswith("c.yaml:3: webhook.credential.username_file = /a: ")
    assert "robot" not in line


def test_username_with_colon_refused() -> None:
    line = _issue(_yaml("opencti.daemon.registry.username", '"a:b"'))
    assert line.startswith("c.yaml:4: opencti.daemon.registry.username")
    assert "colon" in line


#: With the words of each error in tests/integration/cli/golden/config.txt.
EVERYTHING_WRONG = """\
opencti:
  daemon:
    registry:
      server: harbor
      password: 12
      pasword: x
      token_ttl: 5
webhook:
  verify: maybe
  verify: warn
  pull_secret: mine
  namespaces:
    deny:
      - kube-*
      - A_B
  exclude:
    - nginx
  rules:
    - from: nginx
      to: a.com
  zzz: 1
"""


def test_all_issues_reported_at_once() -> None:
    lines = _issues(EVERYTHING_WRONG, {"WEBHOOK__ON_ERROR": "explode", "WEBHOOK__NONSENSE": "1"})
    assert {line.split(" ")[0] for line in lines} == {
        *(f"c.yaml:{number}:" for number in (4, 5, 6, 7, 9, 10, 11, 15, 17, 19, 21)),
        "WEBHOOK__ON_ERROR:",
        "WEBHOOK__NONSENSE:",
    }
    assert len(lines) == 13


def test_invalid_yaml_environment_issues_reported() -> None:
    lines = _issues("webhook: [}", {"WEBHOOK__VERIFY": "maybe", "WEBHOOK__VERIFI": "off"})
    assert [line.split(" ")[0] for line in lines] == ["c.yaml:1:", "WEBHOOK__VERIFI:", "WEBHOOK__VERIFY:"]


def test_list_item_in_variable_names_variable() -> None:
    line = _issue("webhook:\n  exclude:\n    - quay.io/**\n", {"WEBHOOK__EXCLUDE": "ghcr.io/**,nginx"})
    assert line.startswith("WEBHOOK__EXCLUDE: webhook.exclude[1] = nginx: ")


@pytest.mark.parametrize("text", ['"a\\nc.yaml:9: forged": 1', 'webhook: {verify: "a\\nforged"}', '"\\e[31m": 1'])
def test_issue_quoted_control_characters_escaped(text: str) -> None:
    assert _issue(text).isprintable()
    assert _issue(text).startswith("c.yaml:1: ")


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (
            "opencti:\n  daemon:\n    registry:\n      password: &Tr0ub4dor",
            "c.yaml:4: opencti.daemon.registry.password: ",
        ),
        (
            "opencti: {daemon: {registry: {username: a, password: &a b}}}",
            "c.yaml:1: opencti.daemon.registry.password: ",
        ),
        ("webhook: &x {}", "c.yaml:1: webhook: "),
        ("webhook:\n  exclude: [a/b, c]\n  rules: &r\n  - {}", "c.yaml:3: webhook.rules: "),
        ("webhook:\n  namespaces: {deny: [a]}\n  exclude:\n  - &a x", "c.yaml:4: webhook.exclude: "),
        ("&x webhook: {}", "c.yaml:1: "),
        ("webhook:\n  &verify off: x", "c.yaml:2: webhook: "),
        ("opencti: {daemon: {registry: {password: &}}}", "c.yaml:1: "),
        ("opencti: {daemon: {registry: {password: &a!b}}}", "c.yaml:1: "),
    ],
)
def test_anchor_names_key_and_fix(text: str, start: str) -> None:
    line = _issue(text)
    assert line.startswith(start)
    assert "quotes" in line
    assert "ub4dor" not in line


def test_alias_names_key() -> None:
    assert _issue("webhook:\n  exclude: *x").startswith("c.yaml:2: webhook.exclude: ")


@pytest.mark.parametrize("value", ["!x", "!Tr0ub4dor", "!!binary aGk=", "!x y"])
def test_tag_names_key_and_fix(value: str) -> None:
    line = _issue(f"opencti:\n  daemon:\n    registry:\n      password: {value}\n")
    assert line.startswith("c.yaml:4: opencti.daemon.registry.password: ")
    assert "quotes" in line


@pytest.mark.parametrize("character", ["\x0c", "\x00", "\x1b", "\x7f", "\x9b"])
def test_control_character_named(character: str) -> None:
    line = _issue(f"webhook:\n  verify: warn{character}\n")
    assert line.startswith("c.yaml:2: ")
    assert f"U+{ord(character):04X}" in line


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("opencti:\n  daemon:\n    registry:\n      <<: {server: a.com}", "opencti.daemon.registry.<<"),
        ("webhook: {[a]: b}", "webhook.?"),
        ("webhook: {'*': b}", "webhook.?"),
    ],
)
def test_unusual_key_named_readably(text: str, key: str) -> None:
    assert _issue(text).split(": ")[1] == key
