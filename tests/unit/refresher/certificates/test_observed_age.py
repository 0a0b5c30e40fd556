"""How long observed values have been unchanged."""

from datetime import timedelta

from tests.support.fakes import Clock
from webhook.refresher.certificates.observed_age import AgeTracker


def test_observe_age_grows_until_value_changes() -> None:
    clock = Clock()
    witness = AgeTracker(clock)
    assert witness.observe({"one": "a", "two": None}) == {"one": timedelta(0), "two": timedelta(0)}
    clock.now += 5
    assert witness.observe({"one": "a", "two": "b"}) == {"one": timedelta(seconds=5), "two": timedelta(0)}
    clock.now += 5
    assert witness.observe({"one": "a"}) == {"one": timedelta(seconds=10)}
    assert witness.observe({"one": "a", "two": "b"})["two"] == timedelta(0)
