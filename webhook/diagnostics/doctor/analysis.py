"""Checks an installation from end to end and sorts the findings, worst first."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

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
from webhook.diagnostics.doctor.check import Check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

#: Ordered so that the cause of several errors comes before its effects.
_CHECKS: tuple[Check, ...] = (
    check_config.check_valid,
    check_webhook_config.check_configuration,
    check_config.check_orphaned_policies,
    check_deployment.check_deployment,
    check_deployment.check_endpoints,
    check_certificates.check_certificates,
    check_webhook_config.check_selectors,
    check_rbac.check_permissions,
    check_rbac.check_guard_policies,
    check_deployment.check_lease,
    check_credential.check_credential,
    check_pull_secrets.check_pull_secrets,
    check_config.check_consistent,
    check_config.check_policies,
    check_credential.sidecar_warnings,
    check_image_pulls.check_image_pulls,
    check_dry_run.check_dry_run,
)
_WORST = (Mark.ERROR, Mark.WARNING, Mark.UNKNOWN, Mark.FAIL, Mark.OK)


class Report(Struct, frozen=True):
    """The result of `doctor`."""

    summary: str
    findings: tuple[Finding, ...]


def diagnose(snapshot: InstallationSnapshot) -> tuple[Finding, ...]:
    """Run every check and return the findings: errors, warnings, unknown results, then what is OK."""
    if _is_absent(snapshot):
        place = f"{snapshot.names.namespace}/{snapshot.names.deployment}"
        why = f"it is not installed: there is no Deployment {place} and no webhook configuration"
        remedy = "see the README's Install: kubectl apply -k certs/self-managed"
        found = [
            *check_config.check_orphaned_policies(snapshot),
            wording.error(Code.INSTALL_MISSING, "installation", why, remedy),
        ]
    else:
        found = [finding for check in _CHECKS for finding in check(snapshot)]
    return tuple(sorted(found, key=lambda finding: _WORST.index(finding.mark)))


def report(snapshot: InstallationSnapshot) -> Report:
    """Run every check and summarize what they found."""
    found = diagnose(snapshot)
    return Report(summary(found), found)


def summary(found: Iterable[Finding]) -> str:
    """Count findings by their mark, in one line: `1 error, 2 warnings, 12 ok`."""
    return ", ".join(_counts([finding.mark for finding in found]))


def _counts(marks: list[Mark]) -> Iterator[str]:
    errors, warnings, unknown = (marks.count(mark) for mark in (Mark.ERROR, Mark.WARNING, Mark.UNKNOWN))
    yield wording.count(errors, "error", "errors") if errors else "no errors"
    if warnings:
        yield wording.count(warnings, "warning", "warnings")
    if unknown:
        yield f"{unknown} not known"
    yield f"{marks.count(Mark.OK)} ok"


def _is_absent(snapshot: InstallationSnapshot) -> bool:
    return snapshot.webhook_configuration is None and snapshot.deployment is None
