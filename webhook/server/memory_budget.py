"""What connections hold in memory, together within a bound: bodies that have not come whole, answers that are not read.

Each connection is bounded by itself, and a thousand of them would still be gigabytes. Where they hold too much, the
client whose connections hold the most frees its largest: never a review of the usual size, for as long as there is a
larger one, and never the largest review of an API server, for as long as another client holds more.
"""

from collections import Counter
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Holder(Protocol):
    """Who holds something."""

    @property
    def client(self) -> str:
        """The address of the client that it is held for."""

    def give_way(self) -> None:
        """Let go of it; `hold` is called with 0 when that has happened."""


_Holder = TypeVar("_Holder", bound=Holder)


class Memory(Generic[_Holder]):
    """Bytes by who holds them."""

    def __init__(self, most: int, gave_way: Callable[[], None]) -> None:
        """Take how many bytes may be held together, and whom to tell when one has to give way."""
        self._most = most
        self._gave_way = gave_way
        self._held: dict[_Holder, int] = {}
        self._leaving: dict[_Holder, int] = {}
        #: Bytes that are held, but for what is let go of already.
        self.total = 0

    @property
    def is_short(self) -> bool:
        """Whether there is too much until all have let go of what they are to: nobody is to take more before."""
        return bool(self._leaving) and self.total + sum(self._leaving.values()) > self._most

    def hold(self, holder: _Holder, size: int) -> None:
        """Note that `holder` holds `size` bytes from now on, and have others give way where that is too much."""
        self.total += size - self._held.pop(holder, 0)
        if not size:
            self._leaving.pop(holder, None)
            return
        self._held[holder] = size
        while self.total > self._most and self._held:
            largest = self._largest()
            self._leaving[largest] = self._held.pop(largest)
            self.total -= self._leaving[largest]
            self._gave_way()
            largest.give_way()

    def _largest(self) -> _Holder:
        clients: Counter[str] = Counter()
        for holder, size in self._held.items():
            clients[holder.client] += size
        return max(self._held, key=lambda holder: (clients[holder.client], holder.client, self._held[holder]))
