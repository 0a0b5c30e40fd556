"""What requests are served with: configuration, handler and certificate, one frozen value replaced in one assignment.

The files are looked at twice a second. One that is broken, half written or gone changes nothing: the last good one
stays, and the log and `/readyz` say so until it is mended.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from webhook import log
from webhook.adapters import files
from webhook.admission.handler import Handler
from webhook.config import assemble, keys
from webhook.config.load import Loaded, load
from webhook.errors import CertificateError, ConfigurationError, FileError
from webhook.serving import tls

_log = logging.getLogger("webhook.serving")


class Sources(NamedTuple):
    """Where everything is read from."""

    configuration: Path | None
    """The YAML file; None for the built-in defaults and the environment alone."""
    certificate: Path
    key: Path
    environment: Mapping[str, str]


class InForce(Struct, frozen=True):
    """What is served with now."""

    loaded: Loaded
    handler: Handler
    tls: ssl.SSLContext | None = None
    """None until there has been a pair that can be served."""
    configuration_fault: str | None = None
    """Why the file as it is now is not in force."""
    certificate_fault: str | None = None
    """Why the pair as it is now is not served."""


class Watch:
    """Keeps `now` current with the files."""

    def __init__(self, sources: Sources) -> None:
        """Read everything for the first time; a certificate that is missing is waited for.

        Raises `ConfigurationError` or `FileError` for a configuration that cannot be used.
        """
        self._sources = sources
        self._configuration: bytes | str = _read_configuration(sources)
        self._pair: bytes | str | None = None
        loaded = _load(sources, self._configuration)
        self.now = InForce(loaded, assemble.handler(loaded.configuration))
        _log.info(log.event("configuration in force", **_outline(loaded)))
        self._look_at_certificate()

    def look(self) -> None:
        """Look at the files, and replace `now` if what they hold is new and good."""
        self._look_at_configuration()
        self._look_at_certificate()

    def _look_at_configuration(self) -> None:
        found = _content(lambda: _read_configuration(self._sources))
        if found == self._configuration:
            return
        self._configuration = found
        if isinstance(found, str):
            self._keep_configuration([found])
            return
        try:
            loaded = _load(self._sources, found)
        except ConfigurationError as error:
            self._keep_configuration([str(fault) for fault in error.faults])
            return
        changed = _changed(self.now.loaded, loaded)
        handler = assemble.handler(loaded.configuration)
        self.now = msgspec.structs.replace(self.now, loaded=loaded, handler=handler, configuration_fault=None)
        _log.info(log.event("configuration in force", changed=", ".join(changed) or "nothing", **_outline(loaded)))

    def _keep_configuration(self, faults: list[str]) -> None:
        self.now = msgspec.structs.replace(self.now, configuration_fault=faults[0])
        for fault in faults:
            _log.error("the configuration is broken, the last good one stays: %s", fault)

    def _look_at_certificate(self) -> None:
        found = _content(lambda: files.read(self._sources.certificate) + files.read(self._sources.key))
        if found == self._pair:
            return
        self._pair = found
        if isinstance(found, str):
            self._keep_certificate(found)
            return
        try:
            context = tls.context(self._sources.certificate, self._sources.key)
        except CertificateError as error:
            self._keep_certificate(str(error))
            return
        self.now = msgspec.structs.replace(self.now, tls=context, certificate_fault=None)
        _log.info(log.event("certificate in force", certificate=self._sources.certificate))

    def _keep_certificate(self, fault: str) -> None:
        self.now = msgspec.structs.replace(self.now, certificate_fault=fault)
        if self.now.tls is None:
            # As it is at every start where the sidecar makes the pair: it comes a second later.
            _log.warning("no certificate to serve yet: %s", fault)
        else:
            _log.error("no certificate to serve, the last good one is served: %s", fault)


def _content(read: Callable[[], bytes]) -> bytes | str:
    """Read what there is, or say in a text why that cannot be done; either is compared with what was there before."""
    try:
        return read()
    except FileError as error:
        return str(error)


def _read_configuration(sources: Sources) -> bytes:
    return files.configuration(sources.configuration)[0]


def _load(sources: Sources, text: bytes) -> Loaded:
    return load(text, str(sources.configuration or files.BUILT_IN), sources.environment)


def _outline(loaded: Loaded) -> dict[str, object]:
    """Say in a few values what a configuration does."""
    registry, webhook = loaded.configuration.registry, loaded.configuration.webhook
    server = registry.server or "none, images are public"
    return {"server": server, "rules": len(webhook.rules), "exclude": len(webhook.exclude)}


def _changed(before: Loaded, after: Loaded) -> list[str]:
    """Name the keys whose value is another one now."""
    old, new = (msgspec.to_builtins(loaded.configuration) for loaded in (before, after))
    return [path for path in keys.table() if _value(old, path) != _value(new, path)]


def _value(configuration: dict[str, object], path: str) -> object:
    value: object = configuration
    for key in path.removeprefix("opencti.daemon.").split("."):
        value = value[key] if isinstance(value, dict) else None
    return value
