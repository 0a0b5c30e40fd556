"""The connections that the component network-policy allows where another policy denies all by default.

No cluster of the tests enforces policies, so their rules are evaluated as the API defines them: policies are additive,
and a policy limits the directions that it names for the Pods that it selects.
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from typing import NamedTuple

import pytest
import yaml

from tests.support.doc_pages import CHECKOUT, blocks
from tests.support.kustomize import Manifest
from tests.support.manifest_variants import Objects, combined
from webhook.constants import DEFAULT_NAMESPACE

_PAGE = CHECKOUT / "docs" / "how-to" / "restricted-clusters.md"
_DENY = next(
    manifest
    for manifest in (yaml.safe_load(block.text) for block in blocks(_PAGE) if block.language == "yaml")
    if manifest.get("kind") == "NetworkPolicy"
)
_OURS = Objects(combined("self-managed", "network-policy"))
#: No Pod: the API server, the registry.
_OUTSIDE = None


class Connection(NamedTuple):
    """A connection from or to a Pod of the installation."""

    direction: str
    peer: str | None
    """Namespace of the Pod at the other end."""
    port: int
    protocol: str = "TCP"


def is_allowed(connection: Connection, policies: list[Manifest], labels: dict[str, str]) -> bool:
    applying = [
        one["spec"]
        for one in policies
        if one["metadata"]["namespace"] == DEFAULT_NAMESPACE
        and one["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
        and connection.direction in one["spec"]["policyTypes"]
    ]
    key, peers = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}[connection.direction]
    rules = [rule for spec in applying for rule in spec.get(key, [])]
    return not applying or any(
        (peers not in rule or any(_is_peer(peer, connection.peer) for peer in rule[peers]))
        and ("ports" not in rule or {"protocol": connection.protocol, "port": connection.port} in rule["ports"])
        for rule in rules
    )


def _is_peer(peer: Manifest, namespace: str | None) -> bool:
    assert peer.keys() == {"namespaceSelector"}
    return bool(peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace})


_NEEDED = [
    Connection("Ingress", _OUTSIDE, 8443),
    Connection("Ingress", "monitoring", 8080),
    Connection("Ingress", "monitoring", 8081),
    Connection("Egress", "kube-system", 53, "UDP"),
    Connection("Egress", "kube-system", 53),
    Connection("Egress", _OUTSIDE, 443),
    Connection("Egress", _OUTSIDE, 6443),
]
_DENIED = [
    Connection("Ingress", "team-a", 8080),
    Connection("Ingress", "team-a", 8081),
    Connection("Ingress", _OUTSIDE, 8080),
    Connection("Ingress", "monitoring", 22),
    Connection("Egress", _OUTSIDE, 80),
    Connection("Egress", "team-a", 8080),
]


@pytest.mark.parametrize("connection", _NEEDED)
def test_needed_connection_allowed_beside_default_deny(connection: Connection) -> None:
    labels = _OURS.deployment["spec"]["template"]["metadata"]["labels"]
    assert not is_allowed(connection, [_DENY], labels)
    assert is_allowed(connection, [_DENY, _OURS.only("NetworkPolicy")], labels)


@pytest.mark.parametrize("connection", _DENIED)
def test_other_connection_denied(connection: Connection) -> None:
    labels = _OURS.deployment["spec"]["template"]["metadata"]["labels"]
    assert is_allowed(connection, [], labels)
    assert not is_allowed(connection, [_OURS.only("NetworkPolicy")], labels)


def test_policy_applies_to_no_other_pod() -> None:
    assert is_allowed(_DENIED[0], [_OURS.only("NetworkPolicy")], {"app.kubernetes.io/name": "other"})
