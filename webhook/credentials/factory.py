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
    if (error := _conflict(configuration)) is not None:
        return _Refused(error)
    if settings.helper:
        return HelperProvider(targets, settings, clock, monotonic, environment)
    if settings.docker_config:
        return DockerConfigProvider(targets, StaticProvider(targets, registry, settings), Path(settings.docker_config))
    return StaticProvider(targets, registry, settings)


def _conflict(configuration: Configuration) -> CredentialProviderError | None:
    """Return an error for settings that conflict; None if none do."""
    registry, settings = configuration.registry, configuration.webhook.credential
    username = _USERNAME_FILE if settings.username_file else _USERNAME if registry.username else None
    if settings.helper and (username or registry.password):
        hint = f"remove {username or _USERNAME} and {_PASSWORD}"
        return CredentialProviderError("webhook.credential.helper provides username and password", hint=hint)
    if settings.file and registry.password:
        return CredentialProviderError(f"{_PASSWORD} and {_FILE} are both set", hint="remove one of them")
    if settings.file and not username:
        hint = f"set {_USERNAME} or {_USERNAME_FILE}"
        return CredentialProviderError(f"{_FILE} is set without a username", hint=hint)
    for key, missing, is_set in (
        (username, _PASSWORD, registry.password or settings.file),
        (registry.password and _PASSWORD, _USERNAME, username),
        (username, _SERVER, registry.server),
    ):
        if key and not is_set:
            return CredentialProviderError(f"{key} is set without {missing}", hint="set both or neither")
    return None


class _Refused:
    """A provider whose settings conflict, which it reports at each reading."""

    def __init__(self, error: CredentialProviderError) -> None:
        self._error = error

    def read(self) -> CredentialResult:
        # Without the traceback of the reading before, which would be extended.
        raise self._error.with_traceback(None)

    def fingerprint(self) -> bytes | None:
        return None
