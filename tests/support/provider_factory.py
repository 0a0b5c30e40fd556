"""A source made of a configuration, and what it says when it gives nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from webhook.config.load import load
from webhook.credentials.factory import source
from webhook.credentials.provider import Source
from webhook.errors import SourceError

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
) -> Source | None:
    text = json.dumps({"opencti": {"daemon": {"registry": registry or {}}}, "webhook": webhook})
    configuration = load(text.encode(), "config.yaml", {}).configuration
    return source(configuration, clock=clock, monotonic=monotonic, environment=environment or {})


def configured(*settings: Any, **webhook: Any) -> Source:
    found = chosen(*settings, **webhook)
    assert found is not None
    return found


def keys(made: Source) -> list[str]:
    return [entry.key for entry in made.read().credential.entries]


def refusal(made: Source, kind: type[Exception] = SourceError) -> str:
    with pytest.raises(kind) as refused:
        made.read()
    said = str(refused.value)
    assert PASSWORD not in f"{said} {refused.value!r} {refused.value.__cause__!r}"
    assert said.isprintable()
    return said
