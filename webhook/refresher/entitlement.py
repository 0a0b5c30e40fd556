"""Which pull secrets have existed in a selected namespace, and since when a namespace has not been selected.

A tenant can change the annotations of its namespace's Secret. So a namespace that is no longer selected gets a new
credential only if this process has seen the Secret while the namespace was selected, and the grace period ends no later
than this process measures it.
"""

from threading import Lock
from typing import NamedTuple

from webhook.pull_secret.reconcile import NamespaceState, Secret


class _Observation(NamedTuple):
    uid: str | None = None
    """The uid of our Secret when the namespace was last seen selected."""
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
        """Whether a Secret existed and was ours while its namespace was selected."""
        return self._observed.get(found.namespace, _Observation()).uid == found.uid

    def deselected_at(self, name: str) -> float | None:
        """Return the POSIX time since when a namespace has not been selected, None if that is not known."""
        return self._observed.get(name, _Observation()).deselected_at
