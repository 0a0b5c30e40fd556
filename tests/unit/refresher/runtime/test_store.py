"""The newest update of each object counts, in whatever order updates arrive."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import structs

from webhook.kube.api import Listing
from webhook.pull_secret.reconcile import Namespace
from webhook.refresher.runtime.store import Store


def at(version: int, name: str = "team") -> Namespace:
    return Namespace(name, version, {"version": str(version)}, terminating=False)


class Recorded:
    """A store, and the namespaces for which it called `changed`."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.store: Store[Namespace] = Store(lambda item: item.name, self.changed.append)

    def version(self, name: str = "team") -> int | None:
        known = self.store.get(name)
        return None if known is None else known.version


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_put_new_object_known_and_reported(recorded: Recorded) -> None:
    recorded.store.put(at(5))
    assert recorded.store.get("team") == at(5)
    assert "team" in recorded.store
    assert recorded.store.names() == ["team"]
    assert recorded.changed == ["team"]


@pytest.mark.parametrize("version", [4, 5])
def test_put_not_newer_reports_nothing(recorded: Recorded, version: int) -> None:
    recorded.store.put(at(5))
    recorded.store.put(at(version))
    assert recorded.changed == ["team"]


def test_replace_reports_only_what_differs(recorded: Recorded) -> None:
    for item in (at(2, "same"), at(3, "gone"), at(4, "changed"), at(9, "newer")):
        recorded.store.put(item)
    assert not recorded.store.synced
    recorded.changed.clear()
    recorded.store.replace(Listing([at(2, "same"), at(6, "changed"), at(5, "found")], "7"))
    assert recorded.store.synced
    assert sorted(recorded.changed) == ["changed", "found", "gone"]


def test_refresh_restored_history_same_version_other_object_wins(recorded: Recorded) -> None:
    recorded.store.replace(Listing([at(700), at(900, "newer")], "1000"))
    other = structs.replace(at(700), labels={"other": "history"})
    recorded.store.refresh(lambda: Listing([other], "800"))
    assert recorded.store.get(other.name) == other


class StoreMachine(RuleBasedStateMachine):
    """An API server's history, of which a store gets updates and lists late, repeatedly and in any order.

    The store should know each object as it was at the newest version of any update about it. The history of an etcd
    that was restored counts alone from the next list on.
    """

    names = st.sampled_from("ab")

    def __init__(self) -> None:
        super().__init__()
        self.recorded = Recorded()
        self.store = self.recorded.store
        self.history: list[tuple[str, bool]] = []
        """The object that changed at each version, from 1 on, and whether it existed afterwards."""
        self.newest = dict.fromkeys("ab", 0)
        """The newest version of any update about an object."""
        self.before: dict[str, int | None] = {}

    def _version(self, name: str, at: int) -> int | None:
        """Return the version of an object as it was at a version of the history, None where it did not exist."""
        changes = [number for number, change in enumerate(self.history[:at], 1) if change[0] == name]
        return changes[-1] if changes and self.history[changes[-1] - 1][1] else None

    def _listing(self, version: int) -> Listing[Namespace]:
        versions = ((name, self._version(name, version)) for name in "ab")
        return Listing([at(found, name) for name, found in versions if found is not None], str(version))

    def _listed(self, version: int) -> None:
        self.newest = {name: max(version, newest) for name, newest in self.newest.items()}

    def _deliver(self, version: int) -> None:
        name, exists = self.history[version - 1]
        (self.store.put if exists else self.store.remove)(at(version, name))
        self.newest[name] = max(version, self.newest[name])

    @rule(changes=st.lists(st.tuples(names, st.booleans()), min_size=1, max_size=4))
    def change(self, changes: list[tuple[str, bool]]) -> None:
        self.history += changes

    @precondition(lambda self: self.history)
    @rule(choice=st.data())
    def deliver(self, choice: st.DataObject) -> None:
        for version in choice.draw(st.lists(st.integers(1, len(self.history)), min_size=1, max_size=4)):
            self._deliver(version)

    @rule(choice=st.data())
    def list_late(self, choice: st.DataObject) -> None:
        version = choice.draw(st.integers(0, len(self.history)))
        self.store.replace(self._listing(version))
        self._listed(version)

    @precondition(lambda self: self.history)
    @rule(choice=st.data())
    def refresh_overtaken(self, choice: st.DataObject) -> None:
        """List while other updates arrive."""
        version = choice.draw(st.integers(max(self.newest.values()), len(self.history)))
        updates = choice.draw(st.lists(st.integers(1, len(self.history)), max_size=3))

        def read() -> Listing[Namespace]:
            for update in updates:
                self._deliver(update)
            return self._listing(version)

        assert self.store.refresh(read) == str(version)
        self._listed(version)

    @rule(choice=st.data(), changes=st.lists(st.tuples(names, st.booleans()), max_size=6))
    def restore(self, choice: st.DataObject, changes: list[tuple[str, bool]]) -> None:
        """Restore etcd from a backup, and make other changes there: fewer than before, or more."""
        self.history[choice.draw(st.integers(0, len(self.history))) :] = changes
        self.store.refresh(lambda: self._listing(len(self.history)))
        self.newest = dict.fromkeys("ab", len(self.history))

    @invariant()
    def newest_update_counts(self) -> None:
        now = {name: self.recorded.version(name) for name in "ab"}
        assert now == {name: self._version(name, newest) for name, newest in self.newest.items()}
        changed = {name for name, version in now.items() if version != self.before.get(name)}
        assert changed <= set(self.recorded.changed)
        self.recorded.changed.clear()
        self.before = now


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(stateful_step_count=40)
