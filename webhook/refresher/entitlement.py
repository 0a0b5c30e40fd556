"""Which pull secrets have stood in a served namespace, and since when a namespace has not been served.

What a Secret says of itself, its namespace's tenants can write. So only what this process has seen by itself entitles
a namespace that is no longer served to a new credential, and for no longer than it has seen it so.
"""

from threading import Lock
from typing import NamedTuple

from webhook.pull_secret.reconcile import NamespaceState, Secret


class _Observation(NamedTuple):
    uid: str | None = None
    """Of the Secret of ours that stood there last while the namespace was served."""
    deselected_at: float | None = None
    """POSIX time since when the namespace has not been served."""


class Entitlements:
    """What was seen of every namespace, by this process. For use by several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._lock = Lock()
        self._observed: dict[str, _Observation] = {}

    def observe(self, name: str, state: NamespaceState, found: Secret | None, now: float) -> None:
        """Take notice of how a namespace stands, and of the Secret in it, at POSIX time `now`."""
        with self._lock:
            before = self._observed.get(name, _Observation())
            if state is NamespaceState.SELECTED:
                self._observed[name] = _Observation(found.uid if found is not None and found.managed else None)
            elif state is NamespaceState.NOT_SELECTED:
                # A time to come is one of a clock that was ahead.
                left = now if before.deselected_at is None else min(before.deselected_at, now)
                self._observed[name] = before._replace(deselected_at=left)
            elif found is None:
                self._observed.pop(name, None)

    def covers(self, found: Secret) -> bool:
        """Tell whether a Secret stood there, as ours, while its namespace was served."""
        return self._observed.get(found.namespace, _Observation()).uid == found.uid

    def deselected_at(self, name: str) -> float | None:
        """Give the POSIX time since when a namespace has not been served, None where that is not known."""
        return self._observed.get(name, _Observation()).deselected_at
