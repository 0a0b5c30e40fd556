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
from webhook.admission.mutator import Mutator
from webhook.config import files, schema
from webhook.config.load import Loaded
from webhook.config.watcher import ConfigWatcher
from webhook.errors import CertificateError, FileError
from webhook.server import tls
from webhook.server.client_ca import ClientCA
from webhook.server.tls import Validity
from webhook.timestamps import format_rfc3339

#: Of a chain.
_A_CERTIFICATE = "a certificate"

_log = logging.getLogger("webhook.server")


class KeyPairFiles(NamedTuple):
    """Where the pair is read from, both PEM."""

    certificate: Path
    key: Path


class ServerState(Struct, frozen=True):
    """What is served with now."""

    loaded: Loaded
    mutator: Mutator
    configuration_hash: str
    tls: ssl.SSLContext | None = None
    """None until there has been a pair that can be served, and known whose clients are answered if not all are."""
    configuration_error: str | None = None
    """Why the file as it is now is not in force."""
    certificate_error: str | None = None
    """Why the pair as it is now is not served, or whose clients are answered is not as the file has it."""
    configuration_since: float = 0.0
    """When it was read: POSIX seconds, as the next."""
    certificate_since: float = 0.0
    certificate_validity: Validity | None = None
    """When all certificates of the chain are valid; None where it cannot be told."""
    certificate_invalid: str | None = None
    """Why the pair that is served, or every CA of clients, is not valid now."""


class Reloader:
    """Keeps `state` current with the files."""

    def __init__(
        self,
        configuration: ConfigWatcher,
        pair: KeyPairFiles,
        client_ca: ClientCA | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read the key pair for the first time; a missing one is waited for.

        Without `client_ca` every client is answered. With it no client is answered before there are CAs. `clock` gives
        POSIX seconds.
        """
        self._clock = clock
        self._rejected: Validity | None = None
        self._configuration = configuration
        self._files = pair
        self._client_ca = client_ca
        self._found: _Found | None = None
        self._pending: _Found | None = None
        loaded = configuration.loaded
        configuration_hash = loaded.configuration.digest
        handler = Mutator(loaded.configuration)
        self.state = ServerState(loaded, handler, configuration_hash, configuration_since=time.time())
        _log.info(log.event("configuration in force", hash=configuration_hash, **_summary(loaded)))
        self._poll_certificate()
        self._check_validity()

    def poll(self) -> None:
        """Look at the files, and replace `state` if what they hold is new and good."""
        self._poll_configuration()
        self._poll_certificate()
        self._check_validity()

    def _poll_configuration(self) -> None:
        if self._configuration.poll():
            loaded = self._configuration.loaded
            changed = _changed(self.state.loaded, loaded)
            configuration_hash = loaded.configuration.digest
            self.state = msgspec.structs.replace(
                self.state,
                loaded=loaded,
                mutator=Mutator(loaded.configuration),
                configuration_hash=configuration_hash,
                configuration_since=time.time(),
            )
            outline = {"hash": configuration_hash, "changed": ", ".join(changed) or "nothing", **_summary(loaded)}
            _log.info(log.event("configuration in force", **outline))
        if self.state.configuration_error != self._configuration.error:
            self.state = msgspec.structs.replace(self.state, configuration_error=self._configuration.error)

    def _poll_certificate(self) -> None:
        doubted, self._pending = self._pending, None
        found = self._read_files()
        if found == self._found and (self._rejected is None or self._is_worse(self._rejected)):
            return
        made = self._context(found.pair)
        if isinstance(made, str) and self.state.tls is not None and found != doubted:
            # Where one file is replaced after the other they do not fit for a moment: the next look tells.
            self._pending = found
            return
        self._found, self._rejected = found, None
        if isinstance(made, str):
            self._report_certificate_error(made)
            return
        validity = tls.validity(found.pair) if isinstance(found.pair, bytes) else None
        if validity is not None and self._is_worse(validity):
            self._rejected = validity
            self._report_certificate_error(
                f"{self._files.certificate}: {_A_CERTIFICATE} {validity.why_not(self._clock())}"
            )
            return
        fault = self._client_ca.error if self._client_ca else None
        self.state = msgspec.structs.replace(
            self.state,
            tls=made,
            certificate_error=fault,
            certificate_since=time.time(),
            certificate_validity=validity,
        )
        until = None if validity is None else format_rfc3339(validity.ends)
        _log.info(log.event("certificate in force", certificate=self._files.certificate, until=until))
        if fault:
            _log.error("the last good authorities hold: %s", fault)

    def _is_worse(self, validity: Validity) -> bool:
        """Tell whether a pair is not valid now and the one that is served is."""
        now, served = self._clock(), self.state.certificate_validity
        is_valid = self.state.tls is not None and (served is None or served.why_not(now) is None)
        return is_valid and validity.why_not(now) is not None

    def _check_validity(self) -> None:
        """Report what is served and not valid: it may have expired since it was read."""
        served = self.state.certificate_validity
        why = served.why_not(self._clock()) if served else None
        invalid = (
            f"{self._files.certificate}: {_A_CERTIFICATE} {why}" if why else self._client_ca and self._client_ca.invalid
        )
        if invalid != self.state.certificate_invalid:
            self.state = msgspec.structs.replace(self.state, certificate_invalid=invalid)
            if invalid:
                _log.error("what is served is not valid: %s", invalid)

    def _read_files(self) -> "_Found":
        clients = self._client_ca.poll() if self._client_ca else None
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
        if self._client_ca is not None:
            if not self._client_ca.cas:
                return str(self._client_ca.error)
            tls.require_client_certificates(context, self._client_ca.cas, self._client_ca.names)
        return context

    def _report_certificate_error(self, fault: str) -> None:
        self.state = msgspec.structs.replace(self.state, certificate_error=fault)
        if self.state.tls is None:
            # As it is at every start where the sidecar makes the pair: it comes a second later.
            _log.warning("no certificate to serve yet: %s", fault)
        else:
            _log.error("no certificate to serve, the last good one is served: %s", fault)


class _Found(NamedTuple):
    """What stands in the files, or why they cannot be read."""

    pair: bytes | str
    clients: tuple[bytes | str, str] | None
    """None where everybody is answered."""


def _summary(loaded: Loaded) -> dict[str, object]:
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
