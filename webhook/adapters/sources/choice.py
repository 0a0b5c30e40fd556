"""Which source the configuration names, and what in it does not go together."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from webhook.adapters.sources.asking import Helper
from webhook.adapters.sources.docker import DockerConfig
from webhook.adapters.sources.reading import Reading, Source
from webhook.adapters.sources.static import PasswordFile, Static
from webhook.adapters.sources.wanted import Wanted
from webhook.config.model import Configuration
from webhook.errors import SourceError

_SERVER = "opencti.daemon.registry.server"
_USERNAME = "opencti.daemon.registry.username"
_PASSWORD = "opencti.daemon.registry.password"  # noqa: S105 - a key's path
_FILE = "webhook.credential.file"


def source(
    configuration: Configuration, *, clock: Callable[[], float] = time.time, environment: Mapping[str, str]
) -> Source | None:
    """Choose the source that the configuration names; None where there is nothing to publish.

    There is nothing without any registry, nor without any credential: images are then pulled without one. `clock` gives
    POSIX time; `environment` is what a helper is found and run with.
    """
    registry, settings = configuration.registry, configuration.webhook.credential
    wanted = Wanted.by(configuration)
    named = (registry.username, registry.password, settings.file, settings.docker_config, settings.helper)
    if not wanted.prefixes or not any(named):
        return None
    if problem := _problem(configuration):
        return _Refused(problem)
    if settings.helper:
        return Helper(wanted, settings, clock, environment)
    if settings.docker_config:
        return DockerConfig(wanted, Static(wanted, registry), Path(settings.docker_config))
    if settings.file:
        return PasswordFile(wanted, registry, Path(settings.file))
    return Static(wanted, registry)


def _problem(configuration: Configuration) -> str | None:
    """Say what does not go together, and what would."""
    registry, settings = configuration.registry, configuration.webhook.credential
    if settings.helper and (registry.username or registry.password):
        return f"webhook.credential.helper tells user name and password: remove {_USERNAME} and {_PASSWORD}"
    if settings.file and registry.password:
        return f"{_PASSWORD} and {_FILE} both hold the password: remove one of the two"
    if settings.file and not registry.username:
        return f"{_FILE} holds a password alone: set {_USERNAME}"
    if registry.username and not (registry.password or settings.file):
        return f"{_USERNAME} is set without {_PASSWORD}: set both, or neither"
    if registry.password and not registry.username:
        return f"{_PASSWORD} is set without {_USERNAME}: set both, or neither"
    if registry.username and not registry.server:
        return f"{_USERNAME} is for {_SERVER}, which is not set: set it"
    return None


class _Refused:
    """What does not go together is no source, and says so whenever it is read."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def read(self) -> Reading:
        raise SourceError(self._problem)

    def fingerprint(self) -> bytes | None:
        return None
