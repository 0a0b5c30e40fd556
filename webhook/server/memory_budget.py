"""What connections hold in memory, together within a bound: bodies that have not come whole, answers that are not read.

Each connection is bounded by itself, and a thousand of them would still be gigabytes. Where they hold too much, the
client whose connections hold the most frees its largest: never a review of the usual size, for as long as there is a
larger one, and never the largest review of an API server, for as long as another client holds more.
"""

from collections import Counter
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Consumer(Protocol):
    """Who holds something."""

    @property
    def client(self) -> str:
        """The address of the client that it is held for."""

    def evict(self) -> None:
        """Let go of it; `hold` is called with 0 when that has happened."""


_Consumer = TypeVar("_Consumer", bound=Consumer)


class MemoryBudget(Generic[_Consumer]):
    """Bytes by who holds them."""

    def __init__(self, limit: int, on_evict: Callable[[], None]) -> None:
        """Take how many bytes may be held together, and whom to tell when one has to give way."""
        self._limit = limit
        self._on_evict = on_evict
        self._usage: dict[_Consumer, int] = {}
        self._evicting: dict[_Consumer, int] = {}
        #: Bytes that are held, but for what is let go of already.
        self.total = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether there is too much until all have let go of what they are to: nobody is to take more before."""
        return bool(self._evicting) and self.total + sum(self._evicting.values()) > self._limit

    def set_usage(self, holder: _Consumer, size: int) -> None:
        """Note that `holder` holds `size` bytes from now on, and have others give way where that is too much."""
        self.total += size - self._usage.pop(holder, 0)
        if not size:
            self._evicting.pop(holder, None)
            return
        self._usage[holder] = size
        while self.total > self._limit and self._usage:
            largest = self._largest()
            self._evicting[largest] = self._usage.pop(largest)
            self.total -= self._evicting[largest]
            self._on_evict()
            largest.evict()

    def _largest(self) -> _Consumer:
        clients: Counter[str] = Counter()
        for holder, size in self._usage.items():
            clients[holder.client] += size
        return max(self._usage, key=lambda holder: (clients[holder.client], holder.client, self._usage[holder]))
