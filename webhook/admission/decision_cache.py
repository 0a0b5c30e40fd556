"""Decisions that were made before: the Pods of one template differ in their names alone, and get the same one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from webhook.admission.decision import Decision

#: Bytes. The decision on a longer body is not kept, because it may depend on the size of what is not decoded.
LONGEST_BODY = 16 * 1024
#: Bytes that the decisions of one generation take at the most, with their keys.
_GENERATION = 8 * 1024 * 1024
#: What is held for each byte of a body, of the response, and for each object in the body. Python's strings take up to
#: four bytes a character; what a response says stands in it, in its parts, and in words.
_BODY, _RESPONSE, _OBJECT = 4, 6, 64

_Key = TypeVar("_Key")


class DecisionCache(Generic[_Key]):
    """Decisions by what they depend on, those that are used kept within a bound of memory.

    They stand in two generations. When the younger is full it becomes the older, and what the older held and was not
    asked for since is gone. So a flood of keys that are never seen again takes no more than the bound, and what is
    asked for now and then stays.
    """

    def __init__(self) -> None:
        self._young: dict[_Key, Decision] = {}
        self._old: dict[_Key, Decision] = {}
        self._size = 0

    def get_or_decide(self, key: _Key, body: bytes, decide: Callable[[_Key], Decision]) -> Decision:
        """Return the decision on a key, which must be hashable; `body` is what it was decoded from."""
        if len(body) > LONGEST_BODY:
            return decide(key)
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.get(key)
        if found is None:
            found = decide(key)
        if self._size > _GENERATION:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[key] = found
        self._size += _BODY * len(body) + _OBJECT * body.count(b"{") + _RESPONSE * len(found.encoded)
        return found
