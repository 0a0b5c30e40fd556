"""Create a credential provider from a configuration, and return its error."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from webhook.config.load import load
from webhook.credentials.factory import create_provider
from webhook.credentials.provider import CredentialProvider
from webhook.errors import CredentialProviderError, RegistryWebhookError

PASSWORD = "kept-secret"  # noqa: S105 - what is looked for
NOW = 1_800_000_000.0
SERVER = "registry.example.com"
LOGIN = {"username": "robot", "password": PASSWORD}


def chosen(
    registry: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    clock: Callable[[], float] = lambda: NOW,
    monotonic: Callable[[], float] = lambda: 0.0,
    **webhook: Any,
) -> CredentialProvider | None:
    text = json.dumps({"opencti": {"daemon": {"registry": registry or {}}}, "webhook": webhook})
    configuration = load(text.encode(), "config.yaml", {}).configuration
    return create_provider(configuration, clock=clock, monotonic=monotonic, environment=environment or {})


def configured(*settings: Any, **webhook: Any) -> CredentialProvider:
    found = chosen(*settings, **webhook)
    assert found is not None
    return found


def keys(made: CredentialProvider) -> list[str]:
    return [entry.key for entry in made.read().credential.entries]


def refusal(made: CredentialProvider, kind: type[RegistryWebhookError] = CredentialProviderError) -> str:
    with pytest.raises(kind) as refused:
        made.read()
    said = refused.value.one_line
    assert PASSWORD not in f"{said} {refused.value!r} {refused.value.__cause__!r}"
    assert said.isprintable()
    return said
