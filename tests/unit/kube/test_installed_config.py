"""Finding an installation by what the API server calls."""

from typing import Any

import msgspec
import pytest

from webhook.constants import DEFAULT_NAMESPACE, WEBHOOK_NAME
from webhook.kube import installed_config
from webhook.kube.objects import WebhookConfiguration
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
