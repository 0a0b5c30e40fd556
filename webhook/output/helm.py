"""helm command lines that can be pasted into a shell, for an installation that is a Helm release."""

import shlex

from webhook.constants import InstallationNames

#: The chart in a clone, where commands with kustomize folders are run as well.
_CHART = "manifests/helm/registry-webhook"


def upgrade(names: InstallationNames, *values: str, option: str = "--set") -> str:
    """Return the command that applies the chart again, with changed values such as `failClosed.enabled=true`.

    Values that the chart got after the release was installed have their defaults (Helm 3.14 or newer).
    """
    changed = (word for value in values for word in (option, value))
    words = ("helm", "upgrade", names.helm_release, _CHART, "--namespace", names.namespace)
    return shlex.join((*words, "--reset-then-reuse-values", *changed))


def uninstall(names: InstallationNames) -> str:
    """Return the command that deletes the release."""
    return shlex.join(("helm", "uninstall", names.helm_release, "--namespace", names.namespace))
