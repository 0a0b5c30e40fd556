"""Whether the API server rewrites a Pod in a dry run."""

from collections.abc import Iterator

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.constants import DOCS, ENABLED_LABEL, WEBHOOK_NAME
from webhook.diagnostics import limits, sample_pod
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import DryRun, InstallationSnapshot
from webhook.errors import NotReadable
from webhook.kube.objects import Pod
from webhook.kube.partial import known
from webhook.log.escaping import truncate
from webhook.output import invocation
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

_WHAT = "dry run"
_FIX_OTHERS = f"fix any other errors first. For the API server's error messages, see {DOCS}/how-to/troubleshoot.md"


@check(_WHAT, Code.DRYRUN_UNKNOWN)
def check_dry_run(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the result of the dry run."""
    settings = snapshot.configuration
    if not isinstance(settings, EffectiveConfig) or isinstance(snapshot.namespaces, NotReadable):
        raise NotReadable("no dry run was made, because the selected namespaces could not be determined")
    if snapshot.dry_run is None:
        if settings.server is not None:
            why = "no dry run was made, because no namespace is selected"
            plan = f"`{invocation.command('plan')} NAMESPACE`"
            hint = f"opt a namespace in with the label {ENABLED_LABEL}=true, after {plan}"
            yield wording.warning(Code.DRYRUN_NO_NAMESPACE, _WHAT, why, hint)
        return
    yield _of_dry_run(snapshot, settings, snapshot.dry_run)


def _of_dry_run(snapshot: InstallationSnapshot, settings: EffectiveConfig, tried: DryRun) -> Finding:
    place = f"a Pod with image {tried.written} in namespace {tried.namespace}"
    result = known(tried.result)
    if result.stored is None:
        return _of_refusal(place, result.refusal)
    stored = msgspec.convert(result.stored, Pod)
    wanted = settings.mutator.resolver.resolve(tried.written)
    image = sample_pod.image_of(result)
    if image != wanted.image:
        why = f"{place} is not rewritten: the API server did not call the webhook, or got no response"
        return wording.error(Code.DRYRUN_UNCHANGED, _WHAT, why, _FIX_OTHERS)
    secret = settings.mutator.pull_secret
    if secret and wanted.private and secret not in [one.name for one in stored.spec.image_pull_secrets]:
        why = f"{place} is rewritten and does not get pull secret {secret}"
        return wording.error(Code.DRYRUN_NO_SECRET, _WHAT, why, *wording.reinstall(snapshot))
    return wording.ok(Code.DRYRUN_OK, _WHAT, f"{place} is rewritten to {image}")


def _of_refusal(place: str, refusal: str) -> Finding:
    if WEBHOOK_NAME in refusal:
        return wording.error(
            Code.DRYRUN_REFUSED, _WHAT, f"{place} is refused: {truncate(refusal, limits.MESSAGE)}", _FIX_OTHERS
        )
    raise NotReadable(f"{place} is refused, but not by the webhook: {truncate(refusal, limits.MESSAGE)}")
