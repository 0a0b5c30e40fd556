"""Decisions that were made before: the Pods of one template differ in their names alone, and get the same one."""

from collections.abc import Callable
from typing import Generic, TypeVar

from webhook.admission.decision import Decision

#: Bytes that the decisions of one generation take, by a rough measure.
_GENERATION = 4 * 1024 * 1024
#: What a decision and its case take, as a multiple of its encoded response.
_FACTOR = 6

_Case = TypeVar("_Case")


class Known(Generic[_Case]):
    """Decisions by what they depend on, those that are used kept within a bound of memory.

    They stand in two generations. When the younger is full it becomes the older, and what the older held and was not
    asked for since is gone. So a flood of cases that are never seen again takes no more than the bound, and what is
    asked for now and then stays.
    """

    def __init__(self, decide: Callable[[_Case], Decision]) -> None:
        """Take what decides a case that is not known; the same one must always get the same decision."""
        self._decide = decide
        self._young: dict[_Case, Decision] = {}
        self._old: dict[_Case, Decision] = {}
        self._size = 0

    def decision(self, case: _Case) -> Decision:
        """Give the decision on a case, which must be hashable."""
        found = self._young.get(case)
        return self._renewed(case) if found is None else found

    def _renewed(self, case: _Case) -> Decision:
        found = self._old.get(case)
        if found is None:
            found = self._decide(case)
        if self._size > _GENERATION:
            self._old, self._young, self._size = self._young, {}, 0
        self._young[case] = found
        self._size += _FACTOR * len(found.encoded)
        return found
