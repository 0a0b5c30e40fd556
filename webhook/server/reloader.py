"""What requests are served with: configuration, handler and certificate, one frozen value replaced in one assignment.

The files are looked at twice a second. One that is broken, half written or gone changes nothing: the last good one
stays, and the log, `/readyz` and a metric say so until it is mended.
"""

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from webhook import log
from webhook.admission.mutator import Handler
from webhook.config import assemble, files, schema
from webhook.config.digest import fingerprint
from webhook.config.load import Loaded
from webhook.config.watcher import WatchedConfiguration
from webhook.errors import CertificateError, FileError
from webhook.server import tls
from webhook.server.client_ca import Clients
from webhook.server.tls import Validity
from webhook.timestamps import timestamp

#: Of a chain.
_SOME = "a certificate"

_log = logging.getLogger("webhook.server")


class PairFiles(NamedTuple):
    """Where the pair is read from, both PEM."""

    certificate: Path
    key: Path


class InForce(Struct, frozen=True):
    """What is served with now."""

    loaded: Loaded
    handler: Handler
    configuration_hash: str
    tls: ssl.SSLContext | None = None
    """None until there has been a pair that can be served, and known whose clients are answered if not all are."""
    configuration_fault: str | None = None
    """Why the file as it is now is not in force."""
    certificate_fault: str | None = None
    """Why the pair as it is now is not served, or whose clients are answered is not as the file has it."""
    configuration_since: float = 0.0
    """When it was read: POSIX seconds, as the next."""
    certificate_since: float = 0.0
    certificate_validity: Validity | None = None
    """When all certificates of the chain are valid; None where it cannot be told."""
    certificate_invalid: str | None = None
    """Why the pair that is served, or every CA of clients, is not valid now."""


class Watch:
    """Keeps `now` current with the files."""

    def __init__(
        self,
        configuration: WatchedConfiguration,
        pair: PairFiles,
        clients: Clients | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the pair for the first time; one that is missing is waited for. Without `clients` everybody is answered.

        With them the same holds of their authorities, and there is never a context that does not ask. `clock` gives
        POSIX seconds.
        """
        self._clock = clock
        self._rejected: Validity | None = None
        self._configuration = configuration
        self._files = pair
        self._clients = clients
        self._found: _Found | None = None
        self._doubted: _Found | None = None
        loaded = configuration.loaded
        configuration_hash = fingerprint(loaded.configuration)
        handler = assemble.handler(loaded.configuration)
        self.now = InForce(loaded, handler, configuration_hash, configuration_since=time.time())
        _log.info(log.event("configuration in force", hash=configuration_hash, **_outline(loaded)))
        self._look_at_certificate()
        self._look_at_validity()

    def look(self) -> None:
        """Look at the files, and replace `now` if what they hold is new and good."""
        self._look_at_configuration()
        self._look_at_certificate()
        self._look_at_validity()

    def _look_at_configuration(self) -> None:
        if self._configuration.look():
            loaded = self._configuration.loaded
            changed = _changed(self.now.loaded, loaded)
            configuration_hash = fingerprint(loaded.configuration)
            self.now = msgspec.structs.replace(
                self.now,
                loaded=loaded,
                handler=assemble.handler(loaded.configuration),
                configuration_hash=configuration_hash,
                configuration_since=time.time(),
            )
            outline = {"hash": configuration_hash, "changed": ", ".join(changed) or "nothing", **_outline(loaded)}
            _log.info(log.event("configuration in force", **outline))
        if self.now.configuration_fault != self._configuration.fault:
            self.now = msgspec.structs.replace(self.now, configuration_fault=self._configuration.fault)

    def _look_at_certificate(self) -> None:
        doubted, self._doubted = self._doubted, None
        found = self._find()
        if found == self._found and (self._rejected is None or self._is_worse(self._rejected)):
            return
        made = self._context(found.pair)
        if isinstance(made, str) and self.now.tls is not None and found != doubted:
            # Where one file is replaced after the other they do not fit for a moment: the next look tells.
            self._doubted = found
            return
        self._found, self._rejected = found, None
        if isinstance(made, str):
            self._keep_certificate(made)
            return
        validity = tls.validity(found.pair) if isinstance(found.pair, bytes) else None
        if validity is not None and self._is_worse(validity):
            self._rejected = validity
            self._keep_certificate(f"{self._files.certificate}: {_SOME} {validity.why_not(self._clock())}")
            return
        fault = self._clients.fault if self._clients else None
        self.now = msgspec.structs.replace(
            self.now,
            tls=made,
            certificate_fault=fault,
            certificate_since=time.time(),
            certificate_validity=validity,
        )
        until = None if validity is None else timestamp(validity.ends)
        _log.info(log.event("certificate in force", certificate=self._files.certificate, until=until))
        if fault:
            _log.error("the last good authorities hold: %s", fault)

    def _is_worse(self, validity: Validity) -> bool:
        """Tell whether a pair is not valid now and the one that is served is."""
        now, served = self._clock(), self.now.certificate_validity
        is_valid = self.now.tls is not None and (served is None or served.why_not(now) is None)
        return is_valid and validity.why_not(now) is not None

    def _look_at_validity(self) -> None:
        """Report what is served and not valid: it may have expired since it was read."""
        served = self.now.certificate_validity
        why = served.why_not(self._clock()) if served else None
        invalid = f"{self._files.certificate}: {_SOME} {why}" if why else self._clients and self._clients.invalid
        if invalid != self.now.certificate_invalid:
            self.now = msgspec.structs.replace(self.now, certificate_invalid=invalid)
            if invalid:
                _log.error("what is served is not valid: %s", invalid)

    def _find(self) -> "_Found":
        clients = self._clients.look() if self._clients else None
        try:
            return _Found(b"".join(map(files.read, self._files)), clients)
        except FileError as error:
            return _Found(str(error), clients)

    def _context(self, pair: bytes | str) -> ssl.SSLContext | str:
        """Make the context of the files as they are now, or say why that cannot be."""
        if isinstance(pair, str):
            return pair
        try:
            context = tls.context(*self._files)
        except CertificateError as error:
            return str(error)
        if self._clients is not None:
            if not self._clients.authorities:
                return str(self._clients.fault)
            tls.demand(context, self._clients.authorities, self._clients.names)
        return context

    def _keep_certificate(self, fault: str) -> None:
        self.now = msgspec.structs.replace(self.now, certificate_fault=fault)
        if self.now.tls is None:
            # As it is at every start where the sidecar makes the pair: it comes a second later.
            _log.warning("no certificate to serve yet: %s", fault)
        else:
            _log.error("no certificate to serve, the last good one is served: %s", fault)


class _Found(NamedTuple):
    """What stands in the files, or why they cannot be read."""

    pair: bytes | str
    clients: tuple[bytes | str, str] | None
    """None where everybody is answered."""


def _outline(loaded: Loaded) -> dict[str, object]:
    """Say in a few values what a configuration does."""
    registry, webhook = loaded.configuration.registry, loaded.configuration.webhook
    server = registry.server or "none, images are public"
    return {"server": server, "rules": len(webhook.rules), "exclude": len(webhook.exclude)}


def _changed(before: Loaded, after: Loaded) -> list[str]:
    """Name the keys whose value is another one now."""
    old, new = (msgspec.to_builtins(loaded.configuration) for loaded in (before, after))
    return [path for path in schema.table() if _value(old, path) != _value(new, path)]


def _value(configuration: dict[str, object], path: str) -> object:
    value: object = configuration
    for key in path.removeprefix("opencti.daemon.").split("."):
        value = value[key] if isinstance(value, dict) else None
    return value
