"""Settings and objects for tests of many Pods, as the API server sends them."""

from typing import Any

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.config.load import load
from webhook.diagnostics.plan.analysis import GROUPS
from webhook.diagnostics.running_pods import Pod
from webhook.kube.objects import Owner

SERVER, SECRET = "registry.example.com", "registry-webhook-pull"
CONFIGURATION = f"""
opencti: {{daemon: {{registry: {{server: {SERVER}}}}}}}
webhook:
  exclude: ["registry.k8s.io/**"]
  rules: [{{from: quay.io, to: {SERVER}/quay}}]
  namespaces: {{deny: ["denied-*"]}}
"""


def settings() -> EffectiveConfig:
    return EffectiveConfig(load(CONFIGURATION.encode(), "config.yaml", {}).configuration, "config.yaml")


def document(  # noqa: PLR0913 - what a test may vary
    name: str = "web-1",
    images: tuple[str, ...] = ("nginx",),
    *,
    namespace: str = "team-a",
    secrets: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    """Return a Pod as JSON."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": "2026-11-20T00:00:00Z",
            "labels": labels or {},
            "annotations": annotations or {},
            **metadata,
        },
        "spec": {"containers": containers, "imagePullSecrets": [{"name": secret} for secret in secrets]},
        "status": {"phase": "Running"},
    }


def pod(*arguments: Any, phase: str = "Running", **changes: Any) -> Pod:
    """Return a running Pod."""
    made = document(*arguments, **changes)
    return msgspec.convert({**made, "status": {"phase": phase}}, Pod)


def owned_by(kind: str, name: str) -> list[dict[str, Any]]:
    """Set the controller in a Pod's metadata."""
    return [{"apiVersion": version(kind), "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}]


def owner(kind: str, name: str) -> Owner:
    """Return an object that owns others."""
    return Owner(kind=kind, name=name, uid=f"uid-{name}", controller=True, api_version=version(kind))


def version(kind: str) -> str:
    """Return the API version of a kind, also for kinds that are not Kubernetes' own."""
    group = GROUPS.get(kind, "example.com")
    return f"{group}/v1" if group else "v1"
