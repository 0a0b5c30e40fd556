"""Configurations that do not fit in a policy are rejected; tests/e2e shows that those that fit work."""

import json
from typing import Any

import pytest

from webhook.admission_policy import guard, mutate
from webhook.config.load import load
from webhook.errors import PolicyLimitExceeded
from webhook.settings import Configuration


def settings(**webhook: Any) -> Configuration:
    text = json.dumps({"opencti": {"daemon": {"registry": {"server": "registry.example.com"}}}, "webhook": webhook})
    return load(text.encode(), "test", {}).configuration


def rules(number: int) -> list[dict[str, str]]:
    """Give rules that are as long as people's are."""
    return [
        {"from": f"registry-{each}.example.org/some/team", "to": f"registry.example.com/mirrors/team-{each}"}
        for each in range(number)
    ]


def test_policy_1000_rules_fit_with_index_comments() -> None:
    policy = mutate.policy(settings(rules=rules(1000))).policy
    tables = [one["expression"] for one in policy["spec"]["variables"] if one["name"].startswith("rules")]
    assert max(map(len, tables)) < 100_000
    lines = [line for table in tables for line in table.splitlines() if "//" in line]
    assert len(lines) == 1000
    assert lines[-1] == (
        "  'registry-999.example.org/some/team': 'registry.example.com/mirrors/team-999', // webhook.rules[999]"
    )


def test_policy_1000_exclusions_fit() -> None:
    guard.policy(settings(exclude=[f"registry-{each}.example.org/**" for each in range(1000)]), "Deny")
    guard.policy(settings(exclude=[f"docker.io/library/{each}" for each in range(1000)]), "Deny")


def test_policy_1000_respelled_rules_fit() -> None:
    respelled = [{"from": one["from"].replace("org", "ORG:443"), "to": one["to"]} for one in rules(1000)]
    respelled = [{**one, "to": one["to"].replace("example", "EXAMPLE")} for one in respelled]
    mutate.policy(settings(rules=respelled))
    guard.policy(settings(rules=respelled), "Deny", only_private=True)


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ({"rules": rules(10_000)}, "the configuration does not fit"),
        ({"exclude": [f"registry-{each}.*.org/*/team" for each in range(1000)]}, "webhook.exclude does not fit"),
        ({"namespaces": {"deny": [f"a-long-name-{each}" for each in range(9000)]}}, "webhook.namespaces.deny does"),
        ({"namespaces": {"allow": [f"a-long-name-{each}*" for each in range(9000)]}}, "webhook.namespaces.allow does"),
    ],
    ids=["rules", "patterns", "denied", "allowed"],
)
def test_policy_over_limit_raises_with_setting(webhook: dict[str, Any], said: str) -> None:
    made_of = settings(**webhook)
    with pytest.raises(PolicyLimitExceeded, match=said):
        mutate.policy(made_of)
    with pytest.raises(PolicyLimitExceeded, match=said):
        guard.policy(made_of, "Deny")
