from webhook.server.memory_budget import MemoryBudget


class Consumer:
    def __init__(self, client: str = "192.0.2.1") -> None:
        self.client = client
        self.is_there = True

    def evict(self) -> None:
        self.is_there = False


class Held:
    """A budget of 100 bytes that counts evictions."""

    def __init__(self) -> None:
        self.count = 0
        self.memory = MemoryBudget(100, self._on_evict)

    def _on_evict(self) -> None:
        self.count += 1


def test_budget_counts_until_freed() -> None:
    held = Held()
    one, two = Consumer(), Consumer()
    held.memory.set_usage(one, 40)
    held.memory.set_usage(two, 60)
    held.memory.set_usage(one, 30)
    assert (held.memory.total, held.count) == (90, 0)
    held.memory.set_usage(two, 0)
    held.memory.set_usage(two, 0)
    assert held.memory.total == 30
    assert one.is_there
    assert two.is_there


def test_budget_exceeded_evicts_largest() -> None:
    held = Held()
    small, large, newcomer = Consumer(), Consumer(), Consumer()
    held.memory.set_usage(small, 20)
    held.memory.set_usage(large, 70)
    held.memory.set_usage(newcomer, 30)
    assert (small.is_there, large.is_there, newcomer.is_there) == (True, False, True)
    assert (held.memory.total, held.count) == (50, 1)


def test_budget_exceeded_evicts_newcomer_if_largest() -> None:
    held = Held()
    holders = [Consumer() for _ in range(4)]
    for holder in holders:
        held.memory.set_usage(holder, 25)
    newcomer = Consumer()
    held.memory.set_usage(newcomer, 80)
    assert not newcomer.is_there
    assert all(holder.is_there for holder in holders)
    held.memory.set_usage(holders[0], 101)
    assert not holders[0].is_there
    assert held.memory.total == 75


def test_budget_exceeded_evicts_largest_of_largest_client() -> None:
    held = Held()
    flood = [Consumer("192.0.2.66") for _ in range(5)]
    for holder in flood:
        held.memory.set_usage(holder, 11)
    review = Consumer("192.0.2.1")
    held.memory.set_usage(review, 47)
    assert review.is_there
    assert sum(holder.is_there for holder in flood) == 4
    assert (held.memory.total, held.count) == (91, 1)
