"""Decisions that were made before: the Pods of one template differ in their names alone, and get the same one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from webhook.admission.decision import Decision

#: Bytes that the decisions of one generation take at the most, with their cases.
_GENERATION = 8 * 1024 * 1024
#: What is held for each byte of a body, of the response, and for each object in the body. Python's strings take up to
#: four bytes a character; what a response says stands in it, in its parts, and in words.
_BODY, _RESPONSE, _OBJECT = 4, 6, 64

_Key = TypeVar("_Key")


class DecisionCache(Generic[_Key]):
    """Decisions by what they depend on, those that are used kept within a bound of memory.

    They stand in two generations. When the younger is full it becomes the older, and what the older held and was not
    asked for since is gone. So a flood of cases that are never seen again takes no more than the bound, and what is
    asked for now and then stays.
    """

    def __init__(self, decide: Callable[[_Key], Decision]) -> None:
        """Take what decides a case that is not known; the same one must always get the same decision."""
        self._decide = decide
        self._young: dict[_Key, Decision] = {}
        self._old: dict[_Key, Decision] = {}
        self._size = 0

    def get_or_decide(self, case: _Key, body: bytes) -> Decision:
        """Give the decision on a case, which must be hashable; `body` is what it was decoded of."""
        found = self._young.get(case)
        return self._renewed(case, body) if found is None else found

    def _renewed(self, case: _Key, body: bytes) -> Decision:
        found = self._old.get(case)
        if found is None:
            found = self._decide(case)
        if self._size > _GENERATION:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[case] = found
        self._size += _BODY * len(body) + _OBJECT * body.count(b"{") + _RESPONSE * len(found.encoded)
        return found
