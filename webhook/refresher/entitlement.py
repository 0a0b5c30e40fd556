"""Which pull secrets have existed in a selected namespace, and since when a namespace has not been selected.

A tenant can write what its namespace's Secret says about itself. So only what this process has seen entitles a
namespace that is no longer selected to a new credential, and for no longer than this process has seen it so.
"""

from threading import Lock
from typing import NamedTuple

from webhook.pull_secret.reconcile import NamespaceState, Secret


class _Observation(NamedTuple):
    uid: str | None = None
    """Of our last Secret while the namespace was selected."""
    deselected_at: float | None = None
    """POSIX time since when the namespace has not been selected."""


class Entitlements:
    """Observations of every namespace by this process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._observed: dict[str, _Observation] = {}

    def observe(self, name: str, state: NamespaceState, found: Secret | None, now: float) -> None:
        """Record a namespace's state, and the Secret in it, at POSIX time `now`."""
        with self._lock:
            before = self._observed.get(name, _Observation())
            if state is NamespaceState.SELECTED:
                self._observed[name] = _Observation(found.uid if found is not None and found.managed else None)
            elif state is NamespaceState.NOT_SELECTED:
                # A time in the future is from a clock that was ahead.
                since = now if before.deselected_at is None else min(before.deselected_at, now)
                self._observed[name] = before._replace(deselected_at=since)
            elif found is None:
                self._observed.pop(name, None)

    def covers(self, found: Secret) -> bool:
        """Whether a Secret existed, as ours, while its namespace was selected."""
        return self._observed.get(found.namespace, _Observation()).uid == found.uid

    def deselected_at(self, name: str) -> float | None:
        """Return the POSIX time since when a namespace has not been selected, None where that is not known."""
        return self._observed.get(name, _Observation()).deselected_at
