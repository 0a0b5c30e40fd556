"""Impossible rules are rejected at load time, on the right line."""

import pytest

from webhook.config.load import load
from webhook.errors import ConfigIssue, ConfigurationError

_Pairs = list[tuple[str, str]]


def _yaml(rules: _Pairs, server: str | None = None) -> bytes:
    lines = ["webhook:", "  rules:"]
    for source, target in rules:
        lines += [f"    - from: {source}", f"      to: {target}"]
    if server:
        lines.append(f"opencti: {{daemon: {{registry: {{server: {server}}}}}}}")
    return "\n".join(lines).encode()


def _issue(rules: _Pairs, server: str | None = None) -> ConfigIssue:
    with pytest.raises(ConfigurationError) as caught:
        load(_yaml(rules, server), "c.yaml", {})
    (issue,) = caught.value.issues
    return issue


@pytest.mark.parametrize(
    ("rules", "server"),
    [
        ([("docker.io", "r.example.com/hub")], None),
        ([("docker.io", "r.example.com/hub"), ("quay.io", "r.example.com/quay")], "r.example.com"),
        ([("docker.io", "r.example.com"), ("docker.io/team", "s.example.com")], None),
        ([("docker.io", "r.example.com"), ("docker.io/team", "docker.io/team")], None),
        ([("r.example.com/old", "r.example.com/new")], None),
        ([("docker.io", "docker.io/mirror")], None),
    ],
)
def test_rules_consistent_accepted(rules: _Pairs, server: str | None) -> None:
    found = load(_yaml(rules, server), "c.yaml", {}).configuration
    assert [(rule.source, rule.target) for rule in found.webhook.rules] == rules


@pytest.mark.parametrize(
    "spelling", ["docker.io", "index.docker.io", "https://docker.io/", "https://index.docker.io/v1/"]
)
def test_rules_same_source_in_any_spelling_refused(spelling: str) -> None:
    issue = _issue([("docker.io", "a.com"), (spelling, "b.com")])
    assert (issue.key, issue.origin) == ("webhook.rules[1].from", "c.yaml:5")
    assert "rewrites docker.io to a.com" in issue.problem


@pytest.mark.parametrize(
    "rules",
    [
        [("a.com", "b.com"), ("b.com", "a.com")],
        [("a.com", "b.com"), ("b.com", "c.com"), ("c.com", "a.com")],
        [("a.com/x", "b.com"), ("b.com/y", "a.com/x")],
    ],
)
def test_rules_cycle_refused_with_example(rules: _Pairs) -> None:
    issue = _issue(rules)
    assert issue.key == "webhook.rules[1].from"
    assert issue.origin == "c.yaml:5"
    assert "would become" in issue.problem


@pytest.mark.parametrize(
    ("rules", "key", "origin"),
    [
        ([("a.com", "b.com"), ("b.com", "c.com")], "webhook.rules[1].from", "c.yaml:5"),
        ([("b.com", "c.com"), ("a.com", "b.com")], "webhook.rules[0].from", "c.yaml:3"),
        ([("a.com", "b.com/x"), ("b.com", "c.com")], "webhook.rules[1].from", "c.yaml:5"),
        ([("a.com", "b.com"), ("b.com/x", "c.com")], "webhook.rules[1].from", "c.yaml:5"),
    ],
)
def test_rules_chain_refused_at_second_rule(rules: _Pairs, key: str, origin: str) -> None:
    issue = _issue(rules)
    assert (issue.key, issue.origin) == (key, origin)


def test_rule_source_is_server_refused() -> None:
    issue = _issue([("a.com", "b.com")], "a.com")
    assert (issue.key, issue.origin) == ("webhook.rules[0].from", "c.yaml:3")
    assert "the server a.com" in issue.problem


def test_rule_without_effect_refused() -> None:
    issue = _issue([("quay.io", "r.example.com"), ("a.com/team", "a.com")])
    assert (issue.key, issue.origin) == ("webhook.rules[1].to", "c.yaml:6")
    assert "no effect" in issue.problem


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("team/app", "docker.io/team/app"),
        ("nginx:1.27", "docker.io/library/nginx"),
        ("team/app:1", "docker.io/team/app"),
        ("quay.io/app:1.0", "write quay.io/app"),
    ],
)
def test_rule_source_without_registry_suggests_fix(source: str, remedy: str) -> None:
    issue = _issue([(source, "r.example.com")])
    assert (issue.key, issue.origin) == ("webhook.rules[0].from", "c.yaml:3")
    assert remedy in issue.hint


def test_rule_invalid_target_suggests_fix() -> None:
    issue = _issue([("docker.io", "harbor")])
    assert (issue.key, issue.origin, issue.value) == ("webhook.rules[0].to", "c.yaml:4", '"harbor"')
    assert "harbor.example.com" in issue.hint


def test_rules_every_invalid_one_reported() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(_yaml([("nginx", "harbor"), ("quay.io", "r.example.com"), ("app", "r.example.com")]), "c.yaml", {})
    assert [issue.key for issue in caught.value.issues] == [
        "webhook.rules[0].from",
        "webhook.rules[0].to",
        "webhook.rules[2].from",
    ]


def test_rules_500_accepted() -> None:
    rules = [(f"r{number}.example.com", f"mirror.example.com/r{number}") for number in range(500)]
    assert len(load(_yaml(rules, "mirror.example.com"), "c.yaml", {}).configuration.webhook.rules) == 500


@pytest.mark.parametrize("word", ["None", "NULL", "Registry", "True", "Nil/team", "registry"])
def test_single_label_registry_refused_in_every_setting(word: str) -> None:
    yaml = (
        f"webhook: {{rules: [{{from: '{word}', to: a.example.com}}, {{from: b.example.com, to: '{word}'}}], "
        f"pull_secret: {{registries: ['{word}']}}}}\n"
        f"opencti: {{daemon: {{registry: {{server: '{word}'}}}}}}"
    )
    with pytest.raises(ConfigurationError) as caught:
        load(yaml.encode(), "c.yaml", {})
    assert {issue.key for issue in caught.value.issues} == {
        "opencti.daemon.registry.server",
        "webhook.rules[0].from",
        "webhook.rules[1].to",
        "webhook.pull_secret.registries[0]",
    }


def test_rule_sources_and_exclusions_canonical() -> None:
    yaml = (
        b"webhook: {exclude: ['Quay.io:443/**'], rules: [{from: 'GHCR.io:0443/org', to: 'Mirror.Example.com:443/org'}]}"
    )
    webhook = load(yaml, "c.yaml", {}).configuration.webhook
    assert webhook.exclude == ("quay.io/**",)
    assert [(rule.source, rule.target) for rule in webhook.rules] == [("ghcr.io/org", "Mirror.Example.com:443/org")]
