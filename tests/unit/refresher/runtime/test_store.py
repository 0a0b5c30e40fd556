"""What is known of the cluster is the newest that anybody told, in whatever order it was told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from webhook.kube.api import Listing
from webhook.pull_secret.reconcile import Namespace
from webhook.refresher.runtime.store import Store


def at(version: int, name: str = "team") -> Namespace:
    return Namespace(name, version, {"version": str(version)}, terminating=False)


class Told:
    """A store, and of which namespaces it told that they changed."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.store: Store[Namespace] = Store(lambda item: item.name, self.changed.append)

    def version(self, name: str = "team") -> int | None:
        known = self.store.get(name)
        return None if known is None else known.version


@pytest.fixture
def told() -> Told:
    return Told()


def test_what_is_put_is_known_and_told(told: Told) -> None:
    told.store.put(at(5))
    assert told.store.get("team") == at(5)
    assert "team" in told.store
    assert told.store.names() == ["team"]
    assert told.changed == ["team"]


@pytest.mark.parametrize("version", [4, 5])
def test_what_is_not_newer_changes_nothing_and_is_not_told(told: Told, version: int) -> None:
    told.store.put(at(5))
    told.store.put(at(version))
    assert told.version() == 5
    assert told.changed == ["team"]


def test_a_put_that_comes_late_does_not_undo_a_deletion(told: Told) -> None:
    told.store.put(at(5))
    told.store.remove(at(7))
    told.store.put(at(6))
    assert "team" not in told.store
    told.store.put(at(8))
    assert told.version() == 8
    assert told.changed == ["team", "team", "team"]


def test_a_deletion_that_comes_late_does_not_undo_what_was_made_since(told: Told) -> None:
    told.store.put(at(8))
    told.store.remove(at(7))
    assert told.version() == 8
    assert told.changed == ["team"]


def test_an_older_deletion_does_not_make_a_younger_one_forgotten(told: Told) -> None:
    told.store.remove(at(9))
    told.store.remove(at(5))
    told.store.put(at(7))
    assert "team" not in told.store


def test_a_list_replaces_what_is_older(told: Told) -> None:
    told.store.put(at(3, "gone"))
    told.store.put(at(4, "changed"))
    assert not told.store.synced
    told.changed.clear()
    told.store.replace(Listing([at(6, "changed"), at(2, "found")], "7"))
    assert told.store.synced
    assert sorted(told.store.names()) == ["changed", "found"]
    assert told.version("changed") == 6
    assert sorted(told.changed) == ["changed", "found", "gone"]


def test_a_list_leaves_what_is_younger(told: Told) -> None:
    told.store.put(at(9, "made"))
    told.store.put(at(8, "changed"))
    told.store.remove(at(10, "deleted"))
    told.changed.clear()
    told.store.replace(Listing([at(5, "changed"), at(6, "deleted")], "7"))
    assert sorted(told.store.names()) == ["changed", "made"]
    assert told.version("changed") == 8
    assert told.changed == []


def test_an_answer_that_comes_after_a_list_that_is_younger_brings_nothing_back(told: Told) -> None:
    """One was made at 5 and deleted at 6; the list tells of neither, and then what was made is told at last."""
    told.store.replace(Listing([], "7"))
    told.store.put(at(5))
    assert "team" not in told.store


def test_store_list_older_than_known_when_asked_replaces_all(told: Told) -> None:
    """As etcd has it that was restored from a backup."""
    told.store.replace(Listing([at(900, "changed"), at(950, "made"), at(400, "same")], "1000"))
    told.store.remove(at(980, "deleted"))
    told.changed.clear()
    told.store.refresh(lambda: Listing([at(650, "changed"), at(600, "deleted"), at(400, "same")], "700"))
    assert sorted(told.store.names()) == ["changed", "deleted", "same"]
    assert told.version("changed") == 650
    assert sorted(told.changed) == ["changed", "deleted", "made"]
    told.store.put(at(710, "changed"))
    assert told.version("changed") == 710


def test_store_list_of_restored_history_same_version_other_object_wins(told: Told) -> None:
    told.store.replace(Listing([at(700), at(900, "newer")], "1000"))
    other = structs.replace(at(700), labels={"other": "history"})
    told.store.refresh(lambda: Listing([other], "800"))
    assert told.store.get(other.name) == other


def test_store_list_from_restored_history_that_outran_known_wins(told: Told) -> None:
    told.store.replace(Listing([at(900, "changed"), at(950, "made")], "1000"))
    told.store.refresh(lambda: Listing([at(650, "changed")], "1010"))
    assert told.store.names() == ["changed"]
    assert told.version("changed") == 650


def test_store_list_overtaken_while_asked_is_ignored(told: Told) -> None:
    def read() -> Listing[Namespace]:
        told.store.put(at(9))
        told.store.replace(Listing([at(9)], "12"))
        return Listing([at(3)], "5")

    told.store.refresh(read)
    assert told.version() == 9


_STORY = st.lists(st.booleans(), min_size=1, max_size=8)


@given(story=_STORY, choice=st.data())
def test_in_whatever_order_and_however_often_it_is_told_the_newest_counts(
    story: list[bool], choice: st.DataObject
) -> None:
    """An object comes, changes and goes; each moment is told, some more than once, lists among them."""
    told = Told()
    moments = list(enumerate(story, start=1))
    order = choice.draw(st.permutations(moments + choice.draw(st.lists(st.sampled_from(moments), max_size=6))))
    for version, there in order:
        if choice.draw(st.booleans()):
            told.store.replace(Listing([at(version)] if there else [], str(version)))
        elif there:
            told.store.put(at(version))
        else:
            told.store.remove(at(version))
    assert told.version() == (len(story) if story[-1] else None)
