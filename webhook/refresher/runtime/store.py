"""A cache of the objects of one kind, from lists, watches and our own writes: the newest version of each."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from webhook.kube.api import Listing
from webhook.kube.codec import Versioned

_Object = TypeVar("_Object", bound=Versioned)


class Store(Generic[_Object]):
    """The objects of a kind, by namespace. Thread-safe.

    Resource versions order the updates: an update older than what is known changes nothing, so a watch that lags behind
    does not undo the response to a write. `namespace` returns an object's namespace; `changed` is called with it after
    each change.
    """

    def __init__(self, namespace: Callable[[_Object], str], changed: Callable[[str], None]) -> None:
        self._namespace: Callable[[_Object], str] = namespace
        self._changed = changed
        self._lock = Lock()
        self._objects: dict[str, _Object] = {}
        self._deleted: dict[str, int] = {}
        self._newest = 0
        """The newest version of any update."""
        self._listed = 0
        """The version of the newest list: what is older and not in it is gone."""
        self.synced = False
        """Whether all objects have been listed: until then, an unknown object may exist."""

    def get(self, namespace: str) -> _Object | None:
        """Return the object known in a namespace."""
        return self._objects.get(namespace)

    def __contains__(self, namespace: str) -> bool:
        return namespace in self._objects

    def names(self) -> list[str]:
        """Return the namespaces with a known object."""
        return list(self._objects)

    def put(self, item: _Object) -> None:
        """Store an object as it is now, unless a newer version or deletion is known."""
        name = self._namespace(item)
        with self._lock:
            known = self._objects.get(name)
            if item.version <= max(self._listed, self._deleted.get(name, 0), known.version if known else 0):
                return
            self._objects[name] = item
            self._newest = max(self._newest, item.version)
            self._deleted.pop(name, None)
        self._changed(name)

    def remove(self, item: _Object) -> None:
        """Remove an object; `item` has the version at which it was deleted."""
        name = self._namespace(item)
        with self._lock:
            known = self._objects.get(name)
            if known is not None and known.version > item.version:
                return
            self._objects.pop(name, None)
            self._newest = max(self._newest, item.version)
            self._deleted[name] = max(item.version, self._deleted.get(name, 0))
        self._changed(name)

    def refresh(self, read: Callable[[], Listing[_Object]]) -> str:
        """List all objects, store them and return the list's version. Raises what `read` raises.

        A list has at least what was known when it was requested. An older one comes from an API server whose etcd was
        restored: then it replaces everything, whatever versions are known.
        """
        before = self._newest
        listing = read()
        self.replace(listing, restored=int(listing.version) < before)
        return listing.version

    def replace(self, listing: Listing[_Object], *, restored: bool = False) -> None:
        """Replace all objects with a list, except those newer than it; with `restored` none is newer."""
        at = int(listing.version)
        listed = {self._namespace(item): item for item in listing.items}
        with self._lock:
            if restored:
                self._deleted.clear()
            elif at < self._listed:
                return
            newer = {name for name, version in self._deleted.items() if version > at}
            if not restored:
                newer |= {name for name, item in self._objects.items() if item.version > at}
            # After a restore a different object can have the known version.
            is_new = self._differs if restored else self._is_new
            changed = [name for name, item in listed.items() if name not in newer and is_new(name, item)]
            missing = [name for name in self._objects if name not in listed and name not in newer]
            for name in missing:
                del self._objects[name]
            self._objects |= {name: listed[name] for name in changed}
            self._deleted = {name: version for name, version in self._deleted.items() if version > at}
            self._listed = at
            self._newest = at if restored else max(at, self._newest)
            self.synced = True
        for name in (*changed, *missing):
            self._changed(name)

    def _is_new(self, name: str, item: _Object) -> bool:
        known = self._objects.get(name)
        return known is None or known.version != item.version

    def _differs(self, name: str, item: _Object) -> bool:
        return self._objects.get(name) != item
