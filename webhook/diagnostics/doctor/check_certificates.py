"""Whether the API server trusts the certificate that the webhook serves, and until when."""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from webhook.constants import CERTIFICATE
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.snapshot import REFRESHER, WEBHOOK, Said, Seen
from webhook.errors import CertificateError
from webhook.kube.objects import Secret
from webhook.kube.unknown import Unknown
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.pki import verify
from webhook.pki.verify import Leaf

#: The Secret of a certificate that the sidecar does not keep.
TLS_SECRET = "registry-webhook-tls"  # noqa: S105 - its name
_BUNDLE, _CERTIFICATE = "caBundle", "certificate"
_SOON = timedelta(days=30)
#: Whoever renews has done so long before this part of a life is all that is left.
_LAST_PART = 5
_INJECTED = "cert-manager.io/inject-ca-from"
_EXPIRIES = {
    WEBHOOK: "registry_webhook_certificate_expiry_timestamp_seconds",
    REFRESHER: "registry_webhook_refresher_certificate_expiry_timestamp_seconds",
}


def certificate(seen: Seen) -> Iterator[Finding]:
    """Look at `caBundle` and at the certificate, each alone and both together."""
    if seen.webhook is None:
        return
    bundle = _decoded(seen.webhook.client_config.ca_bundle)
    if not bundle:
        why = f"caBundle is empty: the API server does not trust the webhook, and {seen.without_it}"
        yield wording.failure(Code.CABUNDLE_EMPTY, _BUNDLE, why, _whoever_writes(seen))
    secret = seen.certificate
    if isinstance(secret, Unknown):
        yield from _by_metrics(seen, secret)
    elif secret is None:
        why = f"there is no Secret {seen.names.namespace}/{_name(seen)}: no certificate to serve"
        yield wording.failure(Code.CERT_MISSING, _CERTIFICATE, why, _whoever_makes(seen))
    else:
        yield from _of_secret(seen, secret, bundle)
    yield from _served(seen)


def _of_secret(seen: Seen, secret: Secret, bundle: bytes) -> Iterator[Finding]:
    chain = _decoded(secret.data.get("tls.crt", ""))
    try:
        leaf = verify.leaf(chain)
    except CertificateError as error:
        why = f"Secret {seen.names.namespace}/{_name(seen)}, tls.crt: {error}"
        yield wording.failure(Code.CERT_INVALID, _CERTIFICATE, why, _whoever_makes(seen))
        return
    yield _lasting(seen, leaf)
    missing = [name for name in seen.names.hosts[:1] if name not in leaf.names]
    if missing:
        why = f"it is not for the name that the API server calls, {missing[0]}, but for {wording.some(leaf.names)}"
        yield wording.failure(Code.CERT_NAME, _CERTIFICATE, why, _whoever_makes(seen))
    if bundle:
        yield _trusted(seen, chain, bundle)


def _trusted(seen: Seen, chain: bytes, bundle: bytes) -> Finding:
    try:
        if verify.is_trusted(chain, bundle):
            return wording.ok(Code.CABUNDLE_OK, _BUNDLE, "it holds the authority that has signed the certificate")
    except CertificateError as error:
        return wording.failure(Code.CABUNDLE_INVALID, _BUNDLE, f"caBundle: {error}", _whoever_writes(seen))
    why = f"none of its authorities has signed the certificate (x509): {seen.without_it}"
    return wording.failure(Code.CABUNDLE_MISMATCH, _BUNDLE, why, _whoever_writes(seen))


def _lasting(seen: Seen, leaf: Leaf) -> Finding:
    """Say until when a certificate is good."""
    day = f"{leaf.ends:%Y-%m-%d %H:%M} UTC"
    if seen.now >= leaf.ends:
        why = f"it ended on {day}: where it is served, {seen.without_it}"
        return wording.failure(Code.CERT_EXPIRED, _CERTIFICATE, why, _whoever_makes(seen))
    if seen.now < leaf.begins:
        why = f"it is not valid before {leaf.begins:%Y-%m-%d %H:%M} UTC: where it is served, {seen.without_it}"
        return wording.failure(
            Code.CERT_NOT_YET_VALID, _CERTIFICATE, why, "set the clock of whoever made it right, and have it made anew"
        )
    if leaf.ends - seen.now < min(_SOON, (leaf.ends - leaf.begins) / _LAST_PART):
        return wording.warning(
            Code.CERT_EXPIRING, _CERTIFICATE, f"it ends on {day}, and is not renewed yet", _whoever_makes(seen)
        )
    return wording.ok(Code.CERT_OK, _CERTIFICATE, f"it is good until {day}")


def _by_metrics(seen: Seen, why: Unknown) -> Iterator[Finding]:
    """Say what the processes know of it, where the Secret may not be read."""
    ends = [at for _, at in _expiries(seen) if at > seen.now]
    if ends:
        yield wording.ok(
            Code.CERT_OK, _CERTIFICATE, f"the processes say that it is good until {min(ends):%Y-%m-%d %H:%M} UTC"
        )
    yield wording.unknown(Code.CABUNDLE_UNKNOWN, _BUNDLE, why)


def _served(seen: Seen) -> Iterator[Finding]:
    """See that no process has one that ended, or one that it could not take."""
    ended = {name for name, at in _expiries(seen) if at <= seen.now}
    if ended:
        why = f"what {wording.some(ended)} has, has ended: {seen.without_it}"
        yield wording.failure(Code.CERT_SERVED_EXPIRED, _CERTIFICATE, why, _whoever_makes(seen))
    broken = [one.name for one in seen.heard if _is_broken(one.webhook)]
    if broken:
        why = f"{wording.some(broken)}: its certificate cannot be served; a last good one stays, if there was one"
        yield wording.failure(
            Code.CERT_NOT_LOADED,
            _CERTIFICATE,
            why,
            f"kubectl -n {seen.names.namespace} logs {broken[0]} -c {WEBHOOK} says why",
        )


def _is_broken(said: Said | Unknown) -> bool:
    if isinstance(said, Unknown):
        return False
    return said.value("registry_webhook_certificate_last_reload_successful") == 0


def _expiries(seen: Seen) -> Iterator[tuple[str, datetime]]:
    for replica in seen.heard:
        for container, said in replica.processes.items():
            at = None if isinstance(said, Unknown) else said.value(_EXPIRIES[container])
            if at and at < datetime.max.replace(tzinfo=UTC).timestamp():
                yield f"{replica.name} ({container})", datetime.fromtimestamp(at, UTC)


def _name(seen: Seen) -> str:
    return CERTIFICATE if seen.keeps_certificate else TLS_SECRET


def _is_injected(seen: Seen) -> bool:
    calling = seen.calling
    return calling is not None and not isinstance(calling, Unknown) and _INJECTED in calling.metadata.annotations


def _whoever_writes(seen: Seen) -> str:
    if seen.keeps_certificate:
        return (
            f"the sidecar puts it right within seconds; if it does not, its log says why: {wording.sidecar_log(seen)}"
        )
    if _is_injected(seen):
        return "cert-manager's cainjector writes it: look at its log"
    return (
        "put the authority's certificate there: registry-webhook certs create prints how, and certs/by-hand/README.md"
    )


def _whoever_makes(seen: Seen) -> str:
    if seen.keeps_certificate:
        return f"the sidecar makes and renews it; if it does not, its log says why: {wording.sidecar_log(seen)}"
    if _is_injected(seen):
        return f"cert-manager makes it: kubectl -n {seen.names.namespace} describe certificates"
    return "make the next one: registry-webhook certs create --force, and do what it prints"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""
