"""How findings of the checks are put."""

from collections.abc import Iterable, Sequence

from webhook.constants import PROGRAM
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.kube.unknown import Unknown
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

_NAMED = 3
INSTALL = "apply the installation again: kubectl apply -k certs/self-managed, or whichever was"


def sidecar_log(snapshot: InstallationSnapshot) -> str:
    """Give the command that shows what the sidecars have said."""
    return f"kubectl -n {snapshot.names.namespace} logs -l app.kubernetes.io/name={PROGRAM} -c refresher --prefix"


def ok(code: Code, what: str, why: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(Mark.OK, code, what, why)


def warning(code: Code, what: str, why: str, remedy: str) -> Finding:
    """Say that something is not as it should be, and works."""
    return Finding(Mark.WARNING, code, what, why, remedy)


def error(code: Code, what: str, why: str, remedy: str) -> Finding:
    """Say that something does not work."""
    return Finding(Mark.ERROR, code, what, why, remedy)


def unknown(code: Code, what: str, unknown: Unknown | str) -> Finding:
    """Say that something could not be looked at."""
    said = unknown if isinstance(unknown, Unknown) else Unknown(unknown)
    return Finding(Mark.UNKNOWN, code, what, str(said))


def join_names(names: Iterable[str]) -> str:
    """Name a few of many: `team-a, team-b, team-c and 7 more`."""
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def count(number: int, one: str, several: str) -> str:
    """Give a number with its noun: `1 namespace`, `2 namespaces`."""
    return f"{number} {one if number == 1 else several}"


def count_of(things: Sequence[object], one: str, several: str) -> str:
    """Count things."""
    return count(len(things), one, several)
