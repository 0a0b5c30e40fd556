"""Whether the versions of the command and of the processes work together."""

from collections.abc import Iterator

from webhook import __version__
from webhook.constants import DOCS
from webhook.diagnostics import version_skew
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.output.phrases import join_names

_VERSIONS = "versions"
UPGRADE_URL = f"{DOCS}/how-to/upgrade.md#versions-that-work-together"


def check_versions(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that no two versions are more than one minor version apart. Processes that do not respond are ignored."""
    running = {
        f"{replica.name} ({container})": status.build.version
        for replica in snapshot.replicas_or_empty
        for container, status in replica.statuses.items()
        if status.build is not None
    }
    if not running:
        return
    versions = {"this command": __version__, **running}
    found = version_skew.unsupported(set(versions.values()))
    if found is None:
        shown = ", ".join(sorted(set(running.values())))
        yield wording.ok(Code.VERSION_OK, _VERSIONS, f"the processes run {shown}, and this command is {__version__}")
        return
    named = (f"{version} ({join_names(name for name in versions if versions[name] == version)})" for version in found)
    why = f"versions are more than one minor version apart: {' and '.join(named)}"
    hint = f"upgrade one minor version at a time, and use a command of the installation's version, see {UPGRADE_URL}"
    yield wording.warning(Code.VERSION_SKEW, _VERSIONS, why, hint)
