"""Bounded cache of decisions, keyed by everything they depend on except the Pod's identity.

The Pods of one template differ only in their names and in the name of the volume for a ServiceAccount token, so they
share a decision.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from webhook.admission.decision import Decision

#: Bytes. The decision on a longer body is not cached, because it may depend on the size of what is not decoded.
LONGEST_BODY = 16 * 1024
#: Bytes of one generation, estimated: decisions and keys.
_GENERATION = 8 * 1024 * 1024
#: Most hashes of keys whose decision is not cached yet.
_HASHES = 1024
#: Estimated bytes for each byte of a key and of the response as JSON. Python's strings take up to four bytes a
#: character, and objects no more than their JSON; a decision has its response encoded, in parts, and as log fields.
_KEY, _RESPONSE = 4, 6

_Key = TypeVar("_Key")


class DecisionCache(Generic[_Key]):
    """Caches decisions from the second time on that they are made, with two-generation eviction.

    Of a key that is new only the hash is remembered: storing takes a tenth as long as deciding, and many keys never
    recur. When the young generation is full, it replaces the old one; an entry found in the old one moves to the young
    one. So keys that recur remain cached, and all together use limited memory.
    """

    def __init__(self) -> None:
        self._young: dict[_Key, Decision] = {}
        self._old: dict[_Key, Decision] = {}
        self._size = 0
        self._decided_once: set[int] = set()

    def get_or_decide(self, key: _Key, body: bytes, decide: Callable[[_Key], Decision]) -> Decision:
        """Return the decision for a key that is hashable and can be encoded, and was decoded from `body`."""
        if len(body) > LONGEST_BODY:
            return decide(key)
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.get(key)
        if found is None:
            found = decide(key)
            if self._is_new(key):
                return found
        if self._size > _GENERATION:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = found
        self._size += _KEY * len(msgspec.json.encode(key)) + _RESPONSE * len(found.encoded)
        return found

    def _is_new(self, key: _Key) -> bool:
        number = hash(key)
        if number in self._decided_once:
            return False
        if len(self._decided_once) >= _HASHES:
            self._decided_once.clear()
        self._decided_once.add(number)
        return True
