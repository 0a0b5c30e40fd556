"""Checks an installation from end to end and sorts the findings, worst first."""

from collections.abc import Collection, Iterable

from msgspec import Struct

from webhook.constants import PROGRAM
from webhook.diagnostics.doctor import (
    check_certificates,
    check_config,
    check_credential,
    check_deployment,
    check_dry_run,
    check_image_pulls,
    check_pull_secrets,
    check_rbac,
    check_versions,
    check_webhook_config,
    wording,
)
from webhook.diagnostics.doctor.check import Check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.phrases import counted

#: Ordered so that the cause of several errors comes before its effects.
_CHECKS: tuple[Check, ...] = (
    check_deployment.check_kubernetes,
    check_config.check_valid,
    check_webhook_config.check_configuration,
    check_config.check_orphaned_policies,
    check_deployment.check_deployment,
    check_deployment.check_endpoints,
    check_certificates.check_certificates,
    check_webhook_config.check_selectors,
    check_webhook_config.check_overlap,
    check_rbac.check_permissions,
    check_rbac.check_guard_policies,
    check_deployment.check_lease,
    check_credential.check_credential,
    check_pull_secrets.check_pull_secrets,
    check_versions.check_versions,
    check_config.check_consistent,
    check_config.check_policies,
    check_credential.check_refreshers,
    check_image_pulls.check_image_pulls,
    check_dry_run.check_dry_run,
)
_WORST = (Mark.ERROR, Mark.WARNING, Mark.UNKNOWN, Mark.FAIL, Mark.OK)


class Report(Struct, frozen=True):
    """The result of `doctor`."""

    summary: str
    findings: tuple[Finding, ...]


def diagnose(snapshot: InstallationSnapshot) -> tuple[Finding, ...]:
    """Run every check and return the findings: errors, warnings, unknown results, then passed checks."""
    if _is_absent(snapshot):
        found = [
            *check_deployment.check_kubernetes(snapshot),
            *check_config.check_orphaned_policies(snapshot),
            _not_installed(snapshot),
        ]
    else:
        found = [finding for check in _CHECKS for finding in check(snapshot)]
    return tuple(sorted(found, key=lambda finding: _WORST.index(finding.mark)))


def report(snapshot: InstallationSnapshot, ignored: Collection[Code] = ()) -> Report:
    """Run every check and summarize the findings, without those of the ignored codes."""
    found = diagnose(snapshot)
    reported = tuple(one for one in found if one.code not in ignored)
    return Report(summary(reported, len(found) - len(reported)), reported)


def summary(found: Iterable[Finding], ignored: int = 0) -> str:
    """Count findings by their mark, in one line: `1 error, 2 warnings, 12 checks passed`."""
    marks = [finding.mark for finding in found]
    errors, warnings, unknown, passed = map(marks.count, (Mark.ERROR, Mark.WARNING, Mark.UNKNOWN, Mark.OK))
    parts = (
        (errors, counted(errors, "error")),
        (warnings, counted(warnings, "warning")),
        (unknown, f"{unknown} unknown"),
        (passed, f"{counted(passed, 'check')} passed"),
        (ignored, f"{ignored} ignored"),
    )
    return ", ".join(text for number, text in parts if number) or "no findings"


def _is_absent(snapshot: InstallationSnapshot) -> bool:
    return snapshot.webhook_configuration is None and snapshot.deployment is None


def _not_installed(snapshot: InstallationSnapshot) -> Finding:
    names = snapshot.names
    message = (
        f"{PROGRAM} is not installed: Deployment {names.namespace}/{names.deployment} and "
        f"MutatingWebhookConfiguration {names.configuration} do not exist"
    )
    return wording.error(
        Code.INSTALL_MISSING,
        "installation",
        message,
        f"install it as described in {wording.INSTALL_URL}, or name its namespace with --installation-namespace",
    )
