"""The installation from end to end, check by check: what is wrong, worst first, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator

from webhook.diagnostics.doctor import (
    check_certificates,
    check_config,
    check_credential,
    check_deployment,
    check_dry_run,
    check_image_pulls,
    check_pull_secrets,
    check_rbac,
    check_webhook_config,
    wording,
)
from webhook.diagnostics.doctor.snapshot import Seen
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

_Check = Callable[[Seen], Iterable[Finding]]

#: In this order, so that of several failures the cause comes before what follows from it.
_CHECKS: tuple[_Check, ...] = (
    check_config.valid,
    check_webhook_config.there,
    check_config.orphaned,
    check_deployment.deployed,
    check_deployment.reached,
    check_certificates.certificate,
    check_webhook_config.selects,
    check_rbac.granted,
    check_rbac.guarded,
    check_deployment.led,
    check_credential.accepted,
    check_pull_secrets.kept,
    check_config.same,
    check_config.policies,
    check_credential.grievances,
    check_image_pulls.pulled,
    check_dry_run.rewritten,
)
_WORST = (Mark.FAILURE, Mark.WARNING, Mark.UNKNOWN, Mark.NO, Mark.OK)


def diagnose(seen: Seen) -> tuple[Finding, ...]:
    """Make every check, and give what they found: failures, warnings, what is not known, and what is well."""
    if _is_absent(seen):
        place = f"{seen.names.namespace}/{seen.names.deployment}"
        why = f"it is not installed: there is no Deployment {place} and no webhook configuration"
        remedy = "see the README's Install: kubectl apply -k certs/self-managed"
        found = [*check_config.orphaned(seen), wording.failure(Code.INSTALL_MISSING, "installation", why, remedy)]
    else:
        found = [finding for check in _CHECKS for finding in check(seen)]
    return tuple(sorted(found, key=lambda finding: _WORST.index(finding.mark)))


def summary(found: Iterable[Finding]) -> str:
    """Count them in a line: `1 failure, 2 warnings, 12 ok`."""
    return ", ".join(_counts([finding.mark for finding in found]))


def _counts(marks: list[Mark]) -> Iterator[str]:
    failures, warnings, unknown = (marks.count(mark) for mark in (Mark.FAILURE, Mark.WARNING, Mark.UNKNOWN))
    yield wording.count(failures, "failure", "failures") if failures else "no failure"
    if warnings:
        yield wording.count(warnings, "warning", "warnings")
    if unknown:
        yield f"{unknown} not known"
    yield f"{marks.count(Mark.OK)} ok"


def _is_absent(seen: Seen) -> bool:
    return seen.calling is None and seen.deployment is None
