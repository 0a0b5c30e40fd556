"""Parts of findings that several checks share."""

from collections.abc import Iterable, Sequence
from functools import partial

from webhook.constants import PROGRAM
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.output.findings import Finding, Mark

_NAMED = 3
INSTALL = "apply the installation again: kubectl apply -k certs/self-managed, or whichever was"


def sidecar_log(snapshot: InstallationSnapshot) -> str:
    """Return the command that shows the refresher's log."""
    return f"kubectl -n {snapshot.names.namespace} logs -l app.kubernetes.io/name={PROGRAM} -c refresher --prefix"


#: Each takes a finding's code, subject, message and hint.
ok = partial(Finding, Mark.OK)
warning = partial(Finding, Mark.WARNING)
error = partial(Finding, Mark.ERROR)


def join_names(names: Iterable[str]) -> str:
    """Join names, and count those after the third: `team-a, team-b, team-c and 7 more`."""
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more


def count(number: int, one: str, several: str) -> str:
    """Return a number with its noun: `1 namespace`, `2 namespaces`."""
    return f"{number} {one if number == 1 else several}"


def count_of(things: Sequence[object], one: str, several: str) -> str:
    """Return the number of things with its noun."""
    return count(len(things), one, several)
