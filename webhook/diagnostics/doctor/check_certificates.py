"""Whether the API server trusts the certificate that the webhook serves, and how long it is valid."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from webhook.constants import CERTIFICATE, DOCS
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.diagnostics.remedy import Remedy, refresher_log, remedy
from webhook.errors import CertificateError, NotReadable
from webhook.kube.installed_config import REFRESHER, WEBHOOK
from webhook.kube.objects import Secret
from webhook.kube.partial import known, known_or
from webhook.output import invocation, kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.output.phrases import join_names
from webhook.pki import verify
from webhook.pki.verify import LeafCertificate

#: The certificate's Secret if the refresher does not manage it.
TLS_SECRET = "registry-webhook-tls"  # noqa: S105 - its name
_BUNDLE, _CERTIFICATE = "caBundle", "certificate"
_CERTIFICATES_URL = f"{DOCS}/how-to/certificates.md"
_CAINJECTOR_LOG = ("kubectl -n cert-manager logs deployment/cert-manager-cainjector --tail=50",)
_SOON = timedelta(days=30)
#: A fifth of the validity: renewal is due long before so little is left.
_LAST_PART = 5
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
        why = f"caBundle is empty, so the API server cannot call the webhook: {snapshot.outage_effect}"
        yield wording.error(Code.CABUNDLE_EMPTY, _BUNDLE, why, *_ca_bundle_remedy(snapshot))
    secret = snapshot.certificate
    if isinstance(secret, NotReadable):
        yield from _by_metrics(snapshot)
    elif secret is None:
        why = f"Secret {_place(snapshot)} does not exist, so there is no certificate to serve"
        yield wording.error(Code.CERT_MISSING, _CERTIFICATE, why, *_certificate_remedy(snapshot))
    else:
        yield from _of_secret(snapshot, secret, bundle)
    yield from _served(snapshot)
    known(secret)


def _of_secret(snapshot: InstallationSnapshot, secret: Secret, bundle: bytes) -> Iterator[Finding]:
    chain = secret.value("tls.crt")
    try:
        leaf = verify.leaf_certificate(chain)
    except CertificateError as error:
        why = f"tls.crt in Secret {_place(snapshot)}: {error}"
        yield wording.error(Code.CERT_INVALID, _CERTIFICATE, why, *_certificate_remedy(snapshot))
        return
    yield _lasting(snapshot, leaf)
    missing = [name for name in snapshot.names.hosts[:1] if name not in leaf.names]
    if missing:
        why = f"the certificate is for {join_names(leaf.names)}, and the API server calls {missing[0]}"
        yield wording.error(Code.CERT_NAME, _CERTIFICATE, why, *_certificate_remedy(snapshot))
    if bundle:
        yield _trusted(snapshot, chain, bundle)


def _trusted(snapshot: InstallationSnapshot, chain: bytes, bundle: bytes) -> Finding:
    try:
        if verify.is_trusted(chain, bundle):
            return wording.ok(Code.CABUNDLE_OK, _BUNDLE, "caBundle has the CA that signed the certificate")
    except CertificateError as error:
        return wording.error(Code.CABUNDLE_INVALID, _BUNDLE, f"caBundle: {error}", *_ca_bundle_remedy(snapshot))
    why = (
        f"no CA in caBundle signed the certificate, so the API server cannot call the webhook: {snapshot.outage_effect}"
    )
    return wording.error(Code.CABUNDLE_MISMATCH, _BUNDLE, why, *_ca_bundle_remedy(snapshot))


def _lasting(snapshot: InstallationSnapshot, certificate: LeafCertificate) -> Finding:
    """Check how long a certificate is valid."""
    day = f"{certificate.ends:%Y-%m-%d %H:%M} UTC"
    if snapshot.now >= certificate.ends:
        why = f"the certificate expired on {day}: {snapshot.outage_effect}"
        return wording.error(Code.CERT_EXPIRED, _CERTIFICATE, why, *_certificate_remedy(snapshot))
    if snapshot.now < certificate.begins:
        why = f"the certificate is not valid before {certificate.begins:%Y-%m-%d %H:%M} UTC: {snapshot.outage_effect}"
        hint = "correct the clock of the machine that issued the certificate, and issue it again"
        return wording.error(Code.CERT_NOT_YET_VALID, _CERTIFICATE, why, hint)
    if certificate.ends - snapshot.now < min(_SOON, (certificate.ends - certificate.begins) / _LAST_PART):
        why = f"the certificate expires on {day} and has not been renewed"
        return wording.warning(Code.CERT_EXPIRING, _CERTIFICATE, why, *_certificate_remedy(snapshot))
    return wording.ok(Code.CERT_OK, _CERTIFICATE, f"the certificate is valid until {day}")


def _by_metrics(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the expiry that the processes report, for users who may not read the Secret."""
    ends = [at for _, at in _expiries(snapshot) if at > snapshot.now]
    if ends:
        why = f"the processes report a certificate that is valid until {min(ends):%Y-%m-%d %H:%M} UTC"
        yield wording.ok(Code.CERT_OK, _CERTIFICATE, why)


def _served(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that no process has an expired certificate or one that it could not load."""
    expired = {name for name, at in _expiries(snapshot) if at <= snapshot.now}
    if expired:
        why = f"the certificate served by {join_names(expired)} has expired: {snapshot.outage_effect}"
        yield wording.error(Code.CERT_SERVED_EXPIRED, _CERTIFICATE, why, *_certificate_remedy(snapshot))
    statuses = [(one.name, known_or(one.webhook, None)) for one in snapshot.replicas_or_empty]
    for what, metric in (("certificate", "certificate"), ("client CAs", "client_ca")):
        reloaded = f"registry_webhook_{metric}_last_reload_successful"
        failed = [name for name, status in statuses if status is not None and status.value(reloaded) == 0]
        if not failed:
            continue
        why = f"{join_names(failed)} could not load the {what}, and uses the last valid version if there was one"
        log = kubectl.line("logs", failed[0], "-c", WEBHOOK, namespace=snapshot.names.namespace)
        yield wording.error(Code.CERT_NOT_LOADED, _CERTIFICATE, why, *remedy("find the reason in its log", log))


def _expiries(snapshot: InstallationSnapshot) -> Iterator[tuple[str, datetime]]:
    for replica in snapshot.replicas_or_empty:
        for container, status in replica.statuses.items():
            at = status.value(_EXPIRIES[container])
            if at and 0 < at < datetime.max.replace(tzinfo=UTC).timestamp():
                yield f"{replica.name} ({container})", datetime.fromtimestamp(at, UTC)


def _place(snapshot: InstallationSnapshot) -> str:
    name = CERTIFICATE if snapshot.manages_certificate else TLS_SECRET
    return f"{snapshot.names.namespace}/{name}"


def _ca_bundle_remedy(snapshot: InstallationSnapshot) -> Remedy:
    if snapshot.manages_certificate:
        hint = "the refresher corrects this within seconds. If it does not, find the reason in its log"
        return refresher_log(snapshot.names.namespace, hint)
    if snapshot.has_injected_bundle:
        return Remedy("cert-manager's cainjector writes caBundle. Find the reason in its log", _CAINJECTOR_LOG)
    return Remedy(f"write the CA's certificate into caBundle, as described in {_CERTIFICATES_URL}")


def _certificate_remedy(snapshot: InstallationSnapshot) -> Remedy:
    if snapshot.manages_certificate:
        hint = "the refresher creates and renews the certificate. If it does not, find the reason in its log"
        return refresher_log(snapshot.names.namespace, hint)
    if snapshot.has_injected_bundle:
        describe = kubectl.line("describe", "certificates", namespace=snapshot.names.namespace)
        return remedy("cert-manager issues the certificate. Find the reason in its status", describe)
    create = f"`{invocation.command('certs', 'create', '--force', '--out')} FOLDER`"
    where = "where FOLDER has your CA"
    return Remedy(f"renew the certificate with {create}, {where}, and apply it as described in {_CERTIFICATES_URL}")
