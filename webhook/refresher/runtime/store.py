"""What lists, watches and our own writes have told of a kind: the newest version of each object, by namespace."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from webhook.kube.api import Listing
from webhook.kube.codec import Versioned

_Object = TypeVar("_Object", bound=Versioned)


class Store(Generic[_Object]):
    """The objects of a kind, for use by several threads at once.

    A version orders what is told: what is older than what is known already changes nothing, so that a watch that lags
    behind does not undo what an answer to a write has told.
    """

    def __init__(self, namespace: Callable[[_Object], str], changed: Callable[[str], None]) -> None:
        """Take how to tell an object's namespace, and whom to tell of a change in one."""
        self._namespace: Callable[[_Object], str] = namespace
        self._changed = changed
        self._lock = Lock()
        self._objects: dict[str, _Object] = {}
        self._deleted: dict[str, int] = {}
        self._newest = 0
        """The newest version of which anything was told."""
        self._listed = 0
        """The version of the newest list: what is older and not in it is gone."""
        self.synced = False
        """Whether all objects have been listed: until then, what is not known may be there."""

    def get(self, namespace: str) -> _Object | None:
        """Give what is known of a namespace."""
        return self._objects.get(namespace)

    def __contains__(self, namespace: str) -> bool:
        """Tell whether something is known of a namespace."""
        return namespace in self._objects

    def names(self) -> list[str]:
        """Name the namespaces of which something is known."""
        return list(self._objects)

    def put(self, item: _Object) -> None:
        """Take an object as it is now."""
        name = self._namespace(item)
        with self._lock:
            if item.version <= self._listed or not self._take(name, item):
                return
        self._changed(name)

    def remove(self, item: _Object) -> None:
        """Take notice that an object is gone; `item` has the version at which it went."""
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
        """List all objects, and take what is listed; give the list's version. Raises what `read` raises.

        A list shows at least what was known when it was asked for. One that is older is of an API server whose etcd was
        restored: it counts alone, whatever versions are known.
        """
        before = self._newest
        listing = read()
        self.replace(listing, restored=int(listing.version) < before)
        return listing.version

    def replace(self, listing: Listing[_Object], *, restored: bool = False) -> None:
        """Take a list of all objects; what is known, unless it is younger than the list, is as it is listed, or gone.

        With `restored` nothing is younger.
        """
        at = int(listing.version)
        listed = {self._namespace(item): item for item in listing.items}
        with self._lock:
            if restored:
                self._deleted.clear()
            elif at < self._listed:
                return
            younger = {name for name, version in self._deleted.items() if version > at}
            if not restored:
                younger |= {name for name, item in self._objects.items() if item.version > at}
            # After a restore another object can have the version that is known.
            is_new = self._differs if restored else self._is_new
            changed = [name for name, item in listed.items() if name not in younger and is_new(name, item)]
            missing = [name for name in self._objects if name not in listed and name not in younger]
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

    def _take(self, name: str, item: _Object) -> bool:
        """Take an object unless as new a one is known, or that it is gone since; tell whether it was taken."""
        known = self._objects.get(name)
        if item.version <= max(self._deleted.get(name, 0), known.version if known else 0):
            return False
        self._objects[name] = item
        self._newest = max(self._newest, item.version)
        self._deleted.pop(name, None)
        return True
