"""Parts of findings that several checks share."""

from functools import partial

from webhook.config.effective import EffectiveConfig
from webhook.constants import DOCS, InstallationNames
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.diagnostics.remedy import Remedy, remedy
from webhook.output import helm
from webhook.output.findings import Finding, Mark

INSTALL_URL = f"{DOCS}/how-to/install.md"
#: Each takes a finding's code, subject and message and, unless nothing needs to be done, its hint and commands.
ok = partial(Finding, Mark.OK)
warning = partial(Finding, Mark.WARNING)
error = partial(Finding, Mark.ERROR)


def reinstall(snapshot: InstallationSnapshot) -> Remedy:
    """Return how to apply the manifests again, with a command if it is known."""
    if snapshot.names.helm_release:
        return change(snapshot, "")
    if snapshot.names != InstallationNames():
        return Remedy("apply the manifests of your installation again")
    hint = "apply the manifests again, from the folder that you installed from"
    return remedy(hint, f"kubectl apply -k {_kustomization(snapshot)}")


def change(snapshot: InstallationSnapshot, hint: str, *values: str, command: str | None = None) -> Remedy:
    """Return how to change the installation: the chart's values for a Helm release, otherwise `hint` and `command`."""
    if not snapshot.names.helm_release:
        return remedy(hint, command)
    what = "with this value" if values else "again"
    hint = f"upgrade the release {what}, in a clone or with the address of the released chart"
    return remedy(hint, helm.upgrade(snapshot.names, *values))


def _kustomization(snapshot: InstallationSnapshot) -> str:
    if snapshot.has_injected_bundle:
        return "certs/cert-manager"
    if snapshot.has_deployment and not snapshot.manages_certificate:
        return "certs/by-hand"
    settings = snapshot.configuration
    everywhere = isinstance(settings, EffectiveConfig) and settings.mode == "all"
    if snapshot.fails_closed:
        return "manifests/overlays/cluster-wide-fail-closed" if everywhere else "manifests/overlays/fail-closed"
    return "manifests/overlays/cluster-wide" if everywhere else "certs/self-managed"
