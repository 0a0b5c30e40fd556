"""Limits the memory that all connections hold together: requests that are not complete, answers that are not read.

Each connection has limits of its own, but hundreds of connections could still hold gigabytes. When the budget is
exceeded, the client whose connections hold the most loses its largest one: never a review of the usual size while there
is a larger one, and never the largest review of an API server while another client holds more.
"""

from collections import Counter
from collections.abc import Callable
from typing import Protocol


class Consumer(Protocol):
    """A holder of memory."""

    @property
    def client(self) -> str:
        """The address of the client on whose behalf it holds memory."""

    def evict(self) -> None:
        """Free the memory, and call `set_usage` with 0 when it is free."""


class MemoryBudget:
    """The bytes that each consumer holds. `on_evict` is called before each eviction."""

    def __init__(self, limit: int, on_evict: Callable[[], None]) -> None:
        self._limit = limit
        self._on_evict = on_evict
        self._usage: dict[Consumer, int] = {}
        self._evicting: dict[Consumer, int] = {}
        #: Bytes held, without those of evicted consumers.
        self.total = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether evicted consumers still hold so much that no other may take more."""
        return bool(self._evicting) and self.total + sum(self._evicting.values()) > self._limit

    def set_usage(self, consumer: Consumer, size: int) -> None:
        """Set the bytes that a consumer holds, and evict the largest ones while the limit is exceeded."""
        self.total += size - self._usage.pop(consumer, 0)
        if not size:
            self._evicting.pop(consumer, None)
            return
        self._usage[consumer] = size
        while self.total > self._limit and self._usage:
            largest = self._largest()
            self._evicting[largest] = self._usage.pop(largest)
            self.total -= self._evicting[largest]
            self._on_evict()
            largest.evict()

    def _largest(self) -> Consumer:
        clients: Counter[str] = Counter()
        for consumer, size in self._usage.items():
            clients[consumer.client] += size
        return max(self._usage, key=lambda one: (clients[one.client], one.client, self._usage[one]))
