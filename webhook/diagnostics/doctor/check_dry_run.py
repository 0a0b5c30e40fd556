"""Whether the API server rewrites a Pod in a dry run."""

from collections.abc import Iterator

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL, WEBHOOK_NAME
from webhook.diagnostics import sample_pod
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import DryRun, InstallationSnapshot
from webhook.errors import NotReadable
from webhook.kube.objects import Pod
from webhook.kube.partial import known
from webhook.log.escaping import truncate
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

_WHAT = "sample"
_SHOWN = 300


@check(_WHAT, Code.DRYRUN_UNKNOWN)
def check_dry_run(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the result of the dry run."""
    settings = snapshot.configuration
    if not isinstance(settings, EffectiveConfig) or isinstance(snapshot.namespaces, NotReadable):
        raise NotReadable("none was tried, for it is not known which namespaces are served")
    if snapshot.dry_run is None:
        if settings.server is not None:
            remedy = f"opt one in, if you want to: kubectl label namespace NAME {ENABLED_LABEL}=true"
            yield wording.warning(Code.DRYRUN_NO_NAMESPACE, _WHAT, "none was tried, for no namespace is served", remedy)
        return
    yield _of_dry_run(settings, snapshot.dry_run)


def _of_dry_run(settings: EffectiveConfig, tried: DryRun) -> Finding:
    place = f"a Pod with {tried.written} in {tried.namespace} (dry run)"
    result = known(tried.result)
    if result.stored is None:
        return _of_refusal(place, result.refusal)
    stored = msgspec.convert(result.stored, Pod)
    wanted = settings.mutator.resolver.resolve(tried.written)
    image = sample_pod.image_of(result)
    if image != wanted.image:
        why = f"{place} stays as it is written: the webhook was not called, or not heard"
        remedy = "see the lines above; the API server's log says `failed calling webhook` with the reason"
        return wording.error(Code.DRYRUN_UNCHANGED, _WHAT, why, remedy)
    secret = settings.mutator.pull_secret
    if secret and wanted.private and secret not in [one.name for one in stored.spec.image_pull_secrets]:
        return wording.error(
            Code.DRYRUN_NO_SECRET, _WHAT, f"{place} is rewritten and does not get {secret}", wording.INSTALL
        )
    return wording.ok(Code.DRYRUN_OK, _WHAT, f"{place} gets {image}")


def _of_refusal(place: str, refusal: str) -> Finding:
    if WEBHOOK_NAME in refusal:
        why = f"{place} is refused: {truncate(refusal, _SHOWN)}"
        remedy = (
            "see the lines above; x509 is about certificate and caBundle, a refused connection or a timeout about Pods"
        )
        return wording.error(Code.DRYRUN_REFUSED, _WHAT, why, remedy)
    raise NotReadable(f"{place} was refused, and not by the webhook: {truncate(refusal, _SHOWN)}")
