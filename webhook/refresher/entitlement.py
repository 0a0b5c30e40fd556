"""Which pull secrets have stood in a served namespace, and since when a namespace has not been served.

What a Secret says of itself, its namespace's tenants can write. So only what this process has seen by itself entitles
a namespace that is no longer served to a new credential, and for no longer than it has seen it so.
"""

from threading import Lock
from typing import NamedTuple

from webhook.pull_secret.reconcile import Secret, Standing


class _Seen(NamedTuple):
    uid: str | None = None
    """Of the Secret of ours that stood there last while the namespace was served."""
    left: float | None = None
    """POSIX time since when the namespace has not been served."""


class Entitlements:
    """What was seen of every namespace, by this process. For use by several threads at once."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._lock = Lock()
        self._seen: dict[str, _Seen] = {}

    def see(self, name: str, standing: Standing, found: Secret | None, now: float) -> None:
        """Take notice of how a namespace stands, and of the Secret in it, at POSIX time `now`."""
        with self._lock:
            before = self._seen.get(name, _Seen())
            if standing is Standing.SERVED:
                self._seen[name] = _Seen(found.uid if found is not None and found.ours else None)
            elif standing is Standing.UNSERVED:
                # A time to come is one of a clock that was ahead.
                left = now if before.left is None else min(before.left, now)
                self._seen[name] = before._replace(left=left)
            elif found is None:
                self._seen.pop(name, None)

    def covers(self, found: Secret) -> bool:
        """Tell whether a Secret stood there, as ours, while its namespace was served."""
        return self._seen.get(found.namespace, _Seen()).uid == found.uid

    def left(self, name: str) -> float | None:
        """Give the POSIX time since when a namespace has not been served, None where that is not known."""
        return self._seen.get(name, _Seen()).left
