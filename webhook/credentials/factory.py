"""Create the credential provider that the configuration names, and detect conflicting settings."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from webhook.credentials.docker_config import DockerConfigProvider
from webhook.credentials.helper import HelperProvider
from webhook.credentials.provider import CredentialProvider, CredentialResult
from webhook.credentials.static import StaticProvider
from webhook.credentials.targets import Targets
from webhook.errors import CredentialProviderError
from webhook.settings import Configuration

_SERVER = "opencti.daemon.registry.server"
_USERNAME = "opencti.daemon.registry.username"
_PASSWORD = "opencti.daemon.registry.password"  # noqa: S105 - a key's path
_FILE = "webhook.credential.file"
_USERNAME_FILE = "webhook.credential.username_file"


def create_provider(
    configuration: Configuration,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    environment: Mapping[str, str],
) -> CredentialProvider | None:
    """Create the provider that the configuration names; None if there is nothing to publish.

    There is nothing without a registry or without a credential: images are then pulled anonymously. `clock` returns
    POSIX time, `monotonic` seconds; a helper is found and run with `environment`.
    """
    registry, settings = configuration.registry, configuration.webhook.credential
    targets = Targets.from_configuration(configuration)
    login = (registry.username, settings.username_file, registry.password, settings.file)
    if not targets.prefixes or not any((*login, settings.docker_config, settings.helper)):
        return None
    if problem := _problem(configuration):
        return _Refused(problem)
    if settings.helper:
        return HelperProvider(targets, settings, clock, monotonic, environment)
    if settings.docker_config:
        return DockerConfigProvider(targets, StaticProvider(targets, registry, settings), Path(settings.docker_config))
    return StaticProvider(targets, registry, settings)


def _problem(configuration: Configuration) -> str | None:
    """Describe settings that conflict, with a remedy; None if there are none."""
    registry, settings = configuration.registry, configuration.webhook.credential
    username = _USERNAME_FILE if settings.username_file else _USERNAME if registry.username else None
    if settings.helper and (username or registry.password):
        return (
            f"webhook.credential.helper provides username and password; remove {username or _USERNAME} and {_PASSWORD}"
        )
    if settings.file and registry.password:
        return f"{_PASSWORD} and {_FILE} are both set; remove one of them"
    if settings.file and not username:
        return f"{_FILE} is set without a username; set {_USERNAME} or {_USERNAME_FILE}"
    if username and not (registry.password or settings.file):
        return f"{username} is set without {_PASSWORD}; set both or neither"
    if registry.password and not username:
        return f"{_PASSWORD} is set without {_USERNAME}; set both or neither"
    if username and not registry.server:
        return f"{username} is set without {_SERVER}; set both or neither"
    return None


class _Refused:
    """A provider whose settings conflict, which it reports at each reading."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def read(self) -> CredentialResult:
        raise CredentialProviderError(self._problem)

    def fingerprint(self) -> bytes | None:
        return None
