"""Finding an installation by what the API server calls."""

from typing import Any

import msgspec
import pytest

from webhook.constants import DEFAULT_NAMESPACE, WEBHOOK_NAME
from webhook.kube import installed_config
from webhook.kube.objects import Deployment, WebhookConfiguration
from webhook.kube.reader import WEBHOOKS, Reader


class _Reader(Reader):
    """Reads one webhook configuration, and nothing else."""

    def __init__(self, namespace: str) -> None:
        service = {"namespace": namespace, "name": "rw"}
        webhook = {"name": WEBHOOK_NAME, "clientConfig": {"service": service}}
        self._found = {"metadata": {"name": "rw"}, "webhooks": [webhook]}

    def get(self, *_: Any, **__: Any) -> None:
        return None

    def list(self, resource: Any, *_: Any, **__: Any) -> Any:
        return (msgspec.convert(self._found, WebhookConfiguration),) if resource is WEBHOOKS else ()


def test_find_installation_called_service_gives_namespace() -> None:
    assert installed_config.find_installation(_Reader("platform")).namespace == "platform"


@pytest.mark.parametrize("namespace", ["x; touch y #", "$(id)", "", "\u0661", "a b", "-n\nx"])
def test_find_installation_namespace_not_a_name_ignored(namespace: str) -> None:
    assert installed_config.find_installation(_Reader(namespace)).namespace == DEFAULT_NAMESPACE


class _Release(_Reader):
    """Reads a Deployment with these labels and annotations."""

    def __init__(self, manager: str, release: str) -> None:
        super().__init__("platform")
        metadata = {
            "name": "acme",
            "namespace": "platform",
            "labels": {"app.kubernetes.io/managed-by": manager, "app.kubernetes.io/instance": "acme"},
            "annotations": {"meta.helm.sh/release-name": release} if release else {},
        }
        containers = [{"name": name, "image": name} for name in ("webhook", "refresher")]
        template = {"spec": {"containers": containers}}
        self._deployment = {"metadata": metadata, "spec": {"template": template}}

    def get(self, *_: Any, **__: Any) -> Any:
        return msgspec.convert(self._deployment, Deployment)


@pytest.mark.parametrize(
    ("manager", "release", "found"),
    [
        ("Helm", "acme", "acme"),
        ("Helm", "", ""),
        ("kustomize", "acme", ""),
        ("Helm", "a" * 54, ""),
        ("Helm", "x; touch y #", ""),
        ("Helm", "--kubeconfig=x", ""),
    ],
)
def test_find_installation_helm_release(manager: str, release: str, found: str) -> None:
    """What `helm template` prints has only the label, so there is no release to upgrade."""
    assert installed_config.find_installation(_Release(manager, release)).helm_release == found
