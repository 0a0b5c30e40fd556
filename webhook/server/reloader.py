"""The configuration, mutator and certificate that are served, as one frozen value that is replaced as a whole.

The files are polled twice a second. One that is invalid, half written or missing is ignored: the last valid one is
used, and the log, `/readyz` and a metric report the error until the file is fixed.
"""

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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

_log = logging.getLogger("webhook.server")


class KeyPairFiles(NamedTuple):
    """The files of the serving certificate and its key, PEM."""

    certificate: Path
    key: Path


class ServerState(Struct, frozen=True):
    """The current configuration, mutator and certificate. Times are POSIX seconds."""

    loaded: Loaded
    mutator: Mutator
    configuration_hash: str
    configuration_since: float
    """When the configuration was read."""
    tls: ssl.SSLContext | None = None
    """None until there has been a valid key pair and, with mutual TLS, a client CA."""
    configuration_error: str | None = None
    """Why the current file is not used."""
    certificate_error: str | None = None
    """Why the current files of the key pair are not used."""
    certificate_since: float = 0.0
    certificate_validity: Validity | None = None
    """When all certificates of the chain are valid; None if that cannot be read."""
    certificate_invalid: str | None = None
    """Why the certificate that is served is not valid now."""
    client_ca_error: str | None = None
    """Why the current file of client CAs is not used."""
    client_ca_invalid: str | None = None
    """Why none of the client CAs is valid now."""


class Reloader:
    """Keeps `state` current with the files.

    The key pair may be missing at first. Without `client_ca` every client is answered; with it, no client is answered
    before there are CAs. `clock` returns POSIX seconds.
    """

    def __init__(
        self,
        configuration: ConfigWatcher,
        pair: KeyPairFiles,
        client_ca: ClientCA | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._rejected: Validity | None = None
        self._configuration = configuration
        self._files = pair
        self._client_ca = client_ca
        self._found: _Found | None = None
        self._pending: _Found | None = None
        self._served: bytes | str | None = None
        """The key pair of the last context."""
        self.state = ServerState(**_configured(configuration.loaded))
        self._log_configuration()
        self._poll_tls()

    def poll(self) -> None:
        """Read the files, and replace `state` if they have changed and are valid."""
        self._poll_configuration()
        self._poll_tls()

    def _poll_tls(self) -> None:
        if self._client_ca is not None:
            self._poll_client_ca(self._client_ca)
        self._poll_certificate()
        self._check_validity()

    def _replace(self, **changes: Any) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)

    def _poll_configuration(self) -> None:
        if self._configuration.poll():
            changed = _changed(self.state.loaded, self._configuration.loaded)
            self._replace(**_configured(self._configuration.loaded))
            self._log_configuration(", ".join(changed) or "none")
        if self.state.configuration_error != self._configuration.error:
            self._replace(configuration_error=self._configuration.error)

    def _log_configuration(self, changed: str | None = None) -> None:
        registry, webhook = self.state.loaded.configuration.registry, self.state.loaded.configuration.webhook
        about = {
            "hash": self.state.configuration_hash,
            "server": registry.server or "none",
            "rules": len(webhook.rules),
            "exclude": len(webhook.exclude),
        }
        if changed is None:
            _log.info(log.event("configuration loaded", **about))
        else:
            _log.info(log.event("configuration reloaded", changed=changed, **about))

    def _poll_client_ca(self, client_ca: ClientCA) -> None:
        before = client_ca.cas
        client_ca.poll()
        if client_ca.cas != before or (self.state.client_ca_error and not client_ca.error):
            _log.info(log.event("client CAs loaded", file=client_ca.path))
        if client_ca.error == self.state.client_ca_error:
            return
        self._replace(client_ca_error=client_ca.error)
        if client_ca.error and client_ca.cas:
            _log.error(log.event("client CA reload failed, keeping previous CAs", error=client_ca.error))
        elif client_ca.error:
            _log.warning(log.event("client CAs not loaded yet", error=client_ca.error))

    def _poll_certificate(self) -> None:
        pending, self._pending = self._pending, None
        found = self._read_files()
        if found == self._found and (self._rejected is None or self._is_worse(self._rejected)):
            return
        context = self._context(found.pair)
        if isinstance(context, str) and self.state.tls is not None and found != pending:
            # The files may be replaced one after the other and not match in between: the next poll decides.
            self._pending = found
            return
        self._found, self._rejected = found, None
        if isinstance(context, str):
            self._report_certificate_error(context)
            return
        validity = tls.validity(found.pair) if isinstance(found.pair, bytes) else None
        if validity is not None and self._is_worse(validity):
            self._rejected = validity
            reason = validity.why_not(self._clock())
            self._report_certificate_error(f"{self._files.certificate}: certificate {reason}")
            return
        if found.pair != self._served or self.state.certificate_error:
            self._served = found.pair
            self._replace(certificate_since=time.time(), certificate_validity=validity)
            until = None if validity is None else format_rfc3339(validity.ends)
            _log.info(log.event("certificate loaded", certificate=self._files.certificate, until=until))
        self._replace(tls=context, certificate_error=None)

    def _is_worse(self, validity: Validity) -> bool:
        """Return whether a certificate is not valid now while the served one is."""
        now, served = self._clock(), self.state.certificate_validity
        is_valid = self.state.tls is not None and (served is None or served.why_not(now) is None)
        return is_valid and validity.why_not(now) is not None

    def _check_validity(self) -> None:
        """Report a served certificate or client CA that is not valid: it may have expired since it was read."""
        served = self.state.certificate_validity
        why = served.why_not(self._clock()) if served else None
        invalid = why and f"{self._files.certificate}: certificate {why}"
        if invalid != self.state.certificate_invalid:
            self._replace(certificate_invalid=invalid)
            if invalid:
                _log.error(log.event("served certificate not valid", error=invalid))
        invalid = self._client_ca.invalid if self._client_ca else None
        if invalid != self.state.client_ca_invalid:
            self._replace(client_ca_invalid=invalid)
            if invalid:
                _log.error(log.event("client CAs not valid", error=invalid))

    def _read_files(self) -> "_Found":
        cas = self._client_ca.cas if self._client_ca else ""
        try:
            return _Found(b"".join(map(files.read, self._files)), cas)
        except FileError as error:
            return _Found(str(error), cas)

    def _context(self, pair: bytes | str) -> ssl.SSLContext | str | None:
        """Return a context, or why the files are not used, or None if they are valid but there is no client CA yet."""
        if isinstance(pair, str):
            return pair
        try:
            context = tls.context(*self._files)
        except CertificateError as error:
            return str(error)
        if self._client_ca is not None:
            if not self._client_ca.cas:
                return None
            tls.require_client_certificates(context, self._client_ca.cas, self._client_ca.names)
        return context

    def _report_certificate_error(self, error: str) -> None:
        self._replace(certificate_error=error)
        if self.state.tls is None:
            # Normal at startup if the refresher creates the key pair, which it does about a second later.
            _log.warning(log.event("certificate not loaded yet", error=error))
        else:
            _log.error(log.event("certificate reload failed, keeping previous certificate", error=error))


class _Found(NamedTuple):
    """The content of the files, or why they cannot be read."""

    pair: bytes | str
    client_cas: str
    """The current client CAs, empty without mutual TLS."""


def _configured(loaded: Loaded) -> dict[str, Any]:
    """Return the fields of `ServerState` that depend on the configuration."""
    return {
        "loaded": loaded,
        "mutator": Mutator(loaded.configuration),
        "configuration_hash": loaded.configuration.digest,
        "configuration_since": time.time(),
    }


def _changed(before: Loaded, after: Loaded) -> list[str]:
    """Return the keys whose values differ."""
    old, new = before.configuration, after.configuration
    return [path for path, key in schema.table().items() if key.value_in(old) != key.value_in(new)]
