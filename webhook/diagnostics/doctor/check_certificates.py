"""Whether the API server trusts the certificate that the webhook serves, and until when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from webhook.constants import CERTIFICATE
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.errors import CertificateError, NotReadable
from webhook.kube.installed_config import REFRESHER, WEBHOOK
from webhook.kube.objects import Secret
from webhook.kube.partial import known, known_or
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.pki import verify
from webhook.pki.verify import LeafCertificate

#: The certificate's Secret if the refresher does not maintain it.
TLS_SECRET = "registry-webhook-tls"  # noqa: S105 - its name
_BUNDLE, _CERTIFICATE = "caBundle", "certificate"
_SOON = timedelta(days=30)
#: Renewal is due long before this part of the validity is left: a fifth.
_LAST_PART = 5
_INJECTED = "cert-manager.io/inject-ca-from"
_EXPIRIES = {
    WEBHOOK: "registry_webhook_certificate_expiry_timestamp_seconds",
    REFRESHER: "registry_webhook_refresher_certificate_expiry_timestamp_seconds",
}


@check(_BUNDLE, Code.CABUNDLE_UNKNOWN)
def check_certificates(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check `caBundle` and the certificate, each alone and both together."""
    if snapshot.webhook is None:
        return
    bundle = snapshot.webhook.client_config.ca_certificates
    if not bundle:
        why = f"caBundle is empty: the API server does not trust the webhook, and {snapshot.outage_effect}"
        yield wording.error(Code.CABUNDLE_EMPTY, _BUNDLE, why, _ca_bundle_hint(snapshot))
    secret = snapshot.certificate
    if isinstance(secret, NotReadable):
        yield from _by_metrics(snapshot)
    elif secret is None:
        why = f"there is no Secret {snapshot.names.namespace}/{_name(snapshot)}: no certificate to serve"
        yield wording.error(Code.CERT_MISSING, _CERTIFICATE, why, _certificate_hint(snapshot))
    else:
        yield from _of_secret(snapshot, secret, bundle)
    yield from _served(snapshot)
    known(secret)


def _of_secret(snapshot: InstallationSnapshot, secret: Secret, bundle: bytes) -> Iterator[Finding]:
    chain = secret.value("tls.crt")
    try:
        leaf = verify.leaf_certificate(chain)
    except CertificateError as error:
        why = f"Secret {snapshot.names.namespace}/{_name(snapshot)}, tls.crt: {error}"
        yield wording.error(Code.CERT_INVALID, _CERTIFICATE, why, _certificate_hint(snapshot))
        return
    yield _lasting(snapshot, leaf)
    missing = [name for name in snapshot.names.hosts[:1] if name not in leaf.names]
    if missing:
        why = (
            f"it is not for the name that the API server calls, {missing[0]}, but for {wording.join_names(leaf.names)}"
        )
        yield wording.error(Code.CERT_NAME, _CERTIFICATE, why, _certificate_hint(snapshot))
    if bundle:
        yield _trusted(snapshot, chain, bundle)


def _trusted(snapshot: InstallationSnapshot, chain: bytes, bundle: bytes) -> Finding:
    try:
        if verify.is_trusted(chain, bundle):
            return wording.ok(Code.CABUNDLE_OK, _BUNDLE, "it holds the authority that has signed the certificate")
    except CertificateError as error:
        return wording.error(Code.CABUNDLE_INVALID, _BUNDLE, f"caBundle: {error}", _ca_bundle_hint(snapshot))
    why = f"none of its authorities has signed the certificate (x509): {snapshot.outage_effect}"
    return wording.error(Code.CABUNDLE_MISMATCH, _BUNDLE, why, _ca_bundle_hint(snapshot))


def _lasting(snapshot: InstallationSnapshot, certificate: LeafCertificate) -> Finding:
    """Check how long a certificate is valid."""
    day = f"{certificate.ends:%Y-%m-%d %H:%M} UTC"
    if snapshot.now >= certificate.ends:
        why = f"it ended on {day}: where it is served, {snapshot.outage_effect}"
        return wording.error(Code.CERT_EXPIRED, _CERTIFICATE, why, _certificate_hint(snapshot))
    if snapshot.now < certificate.begins:
        begins = f"{certificate.begins:%Y-%m-%d %H:%M} UTC"
        why = f"it is not valid before {begins}: where it is served, {snapshot.outage_effect}"
        return wording.error(
            Code.CERT_NOT_YET_VALID, _CERTIFICATE, why, "set the clock of whoever made it right, and have it made anew"
        )
    if certificate.ends - snapshot.now < min(_SOON, (certificate.ends - certificate.begins) / _LAST_PART):
        return wording.warning(
            Code.CERT_EXPIRING, _CERTIFICATE, f"it ends on {day}, and is not renewed yet", _certificate_hint(snapshot)
        )
    return wording.ok(Code.CERT_OK, _CERTIFICATE, f"it is good until {day}")


def _by_metrics(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check what the processes report, for users who may not read the Secret."""
    ends = [at for _, at in _expiries(snapshot) if at > snapshot.now]
    if ends:
        yield wording.ok(
            Code.CERT_OK, _CERTIFICATE, f"the processes say that it is good until {min(ends):%Y-%m-%d %H:%M} UTC"
        )


def _served(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that no process has an expired certificate or one that it could not load."""
    ended = {name for name, at in _expiries(snapshot) if at <= snapshot.now}
    if ended:
        why = f"what {wording.join_names(ended)} has, has ended: {snapshot.outage_effect}"
        yield wording.error(Code.CERT_SERVED_EXPIRED, _CERTIFICATE, why, _certificate_hint(snapshot))
    reloaded = "registry_webhook_certificate_last_reload_successful"
    statuses = [(one.name, known_or(one.webhook, None)) for one in snapshot.replicas_or_empty]
    broken = [name for name, status in statuses if status is not None and status.value(reloaded) == 0]
    if broken:
        why = f"{wording.join_names(broken)}: its certificate cannot be served; a last good one stays, if there was one"
        yield wording.error(
            Code.CERT_NOT_LOADED,
            _CERTIFICATE,
            why,
            f"kubectl -n {snapshot.names.namespace} logs {broken[0]} -c {WEBHOOK} says why",
        )


def _expiries(snapshot: InstallationSnapshot) -> Iterator[tuple[str, datetime]]:
    for replica in snapshot.replicas_or_empty:
        for container, status in replica.statuses.items():
            at = status.value(_EXPIRIES[container])
            if at and at < datetime.max.replace(tzinfo=UTC).timestamp():
                yield f"{replica.name} ({container})", datetime.fromtimestamp(at, UTC)


def _name(snapshot: InstallationSnapshot) -> str:
    return CERTIFICATE if snapshot.manages_certificate else TLS_SECRET


def _is_injected(snapshot: InstallationSnapshot) -> bool:
    configuration = known_or(snapshot.webhook_configuration, None)
    return configuration is not None and _INJECTED in configuration.metadata.annotations


def _ca_bundle_hint(snapshot: InstallationSnapshot) -> str:
    if snapshot.manages_certificate:
        see_log = wording.sidecar_log(snapshot)
        return f"the sidecar puts it right within seconds; if it does not, its log says why: {see_log}"
    if _is_injected(snapshot):
        return "cert-manager's cainjector writes it: look at its log"
    return (
        "put the authority's certificate there: registry-webhook certs create prints how, and certs/by-hand/README.md"
    )


def _certificate_hint(snapshot: InstallationSnapshot) -> str:
    if snapshot.manages_certificate:
        return f"the sidecar makes and renews it; if it does not, its log says why: {wording.sidecar_log(snapshot)}"
    if _is_injected(snapshot):
        return f"cert-manager makes it: kubectl -n {snapshot.names.namespace} describe certificates"
    return "make the next one: registry-webhook certs create --force, and do what it prints"
