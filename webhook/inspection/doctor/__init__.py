"""The installation from end to end, check by check: what is wrong, worst first, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator

from webhook.inspection.codes import Code
from webhook.inspection.doctor import (
    calling,
    configuration,
    credential,
    pulls,
    rights,
    running,
    sample,
    secrets,
    trust,
    wording,
)
from webhook.inspection.doctor.seen import Seen
from webhook.inspection.findings import Finding, Mark

_Check = Callable[[Seen], Iterable[Finding]]

#: In this order, so that of several failures the cause comes before what follows from it.
_CHECKS: tuple[_Check, ...] = (
    configuration.valid,
    calling.there,
    configuration.orphaned,
    running.deployed,
    running.reached,
    trust.certificate,
    calling.selects,
    rights.granted,
    rights.guarded,
    running.led,
    credential.accepted,
    secrets.kept,
    configuration.same,
    configuration.policies,
    credential.grievances,
    pulls.pulled,
    sample.rewritten,
)
_WORST = (Mark.FAILURE, Mark.WARNING, Mark.UNKNOWN, Mark.NO, Mark.OK)


def diagnose(seen: Seen) -> tuple[Finding, ...]:
    """Make every check, and give what they found: failures, warnings, what is not known, and what is well."""
    if _is_absent(seen):
        place = f"{seen.names.namespace}/{seen.names.deployment}"
        why = f"it is not installed: there is no Deployment {place} and no webhook configuration"
        remedy = "see the README's Install: kubectl apply -k certs/self-managed"
        found = [*configuration.orphaned(seen), wording.failure(Code.INSTALL_MISSING, "installation", why, remedy)]
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
