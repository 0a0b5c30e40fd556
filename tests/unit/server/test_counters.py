"""Counters of reviews, and the limit on their label values."""

from typing import Any

import pytest

from tests.unit.admission.test_mutator import Pod, handler, pod
from webhook.admission import review
from webhook.admission.mutator import Mutator
from webhook.server import routes
from webhook.server.counters import Histogram, ReviewCounters
from webhook.server.refusals import Refusal
from webhook.settings import Configuration, RuleSettings, WebhookSettings

JSON = "application/json"


def images(*names: str) -> Pod:
    return pod(containers=[{"name": f"c{number}", "image": name} for number, name in enumerate(names)])


def counted(document: Any, made: Mutator | None = None, **request: Any) -> ReviewCounters:
    tally = ReviewCounters()
    routes.mutate(made or handler(), JSON, review.encode_review(document, **request), tally)
    return tally


def seen(counts: dict[str, int]) -> dict[str, int]:
    return {what: count for what, count in counts.items() if count}


def test_count_review_by_operation_and_outcome() -> None:
    tally = counted(images("nginx"))
    assert tally.reviews["CREATE"]["rewritten"] == 1
    assert sum(sum(outcomes.values()) for outcomes in tally.reviews.values()) == 1


@pytest.mark.parametrize("operation", ["DELETE", "x" * 1000, None])
def test_count_unknown_operations_share_a_label(operation: str | None) -> None:
    tally = counted(images("nginx"), operation=operation)
    assert set(tally.reviews) == {"CREATE", "UPDATE", "other"}
    assert tally.reviews["other"]["unsupported"] == 1


def test_count_images_by_reason_and_rule() -> None:
    document = images("nginx", "quay.io/a", "quay.io/b", "gcr.io/x", "ghcr.io/x", "registry.example.com/x", "Not/An")
    tally = counted(document)
    expected = {"server": 1, "rule": 2, "excluded": 1, "qualified": 1, "already-prefixed": 1, "invalid": 1}
    assert seen(tally.images) == expected
    assert tally.rules == {"quay.io -> registry.example.com/quay": 2}


def test_count_cached_decision_counts_images_again() -> None:
    tally, made = ReviewCounters(), handler()
    for _ in range(3):
        routes.mutate(made, JSON, review.encode_review(images("nginx", "quay.io/a")), tally)
    assert (tally.images["server"], tally.images["rule"]) == (3, 3)


def test_count_internal_error() -> None:
    def broken(_: str) -> Any:
        raise RuntimeError

    assert counted(images("nginx"), handler(resolve=broken)).reviews["CREATE"]["error"] == 1


def test_count_rules_beyond_limit_share_a_label() -> None:
    rules = tuple(RuleSettings(f"r{number}.example.com", "registry.example.com/r") for number in range(300))
    made = Mutator(Configuration(webhook=WebhookSettings(rules=rules)))
    tally = counted(images(*(f"r{number}.example.com/x" for number in range(300))), made)
    assert len(tally.rules) == 257
    assert tally.rules["other"] == 44
    assert sum(tally.rules.values()) == tally.images["rule"] == 300


def test_refuse_counts_by_status_and_reason() -> None:
    tally = ReviewCounters()
    routes.mutate(handler(), "text/plain", b"{}", tally)
    routes.mutate(handler(), JSON, b"{", tally)
    routes.mutate(handler(), JSON, b"[]", tally)
    refused = {what: count for what, count in tally.refused.items() if count}
    assert refused == {(415, Refusal.CONTENT_TYPE): 1, (400, Refusal.MALFORMED_REVIEW): 2}
    assert tally.seconds.cumulative()[-1][1] == 0


def test_count_review_fills_histograms() -> None:
    tally, made = ReviewCounters(), handler()
    body = review.encode_review(images("nginx"))
    for _ in range(5):
        routes.mutate(made, JSON, body, tally)
    assert tally.seconds.cumulative()[-1] == (float("inf"), 5)
    assert 0 < tally.seconds.total < 5
    assert tally.sizes.total == 5 * len(body)
    assert tally.sizes.cumulative()[0] == (1024, 5)


def test_histogram_value_at_bound_is_within_it() -> None:
    values = Histogram((1, 10))
    for value in (0, 1, 1.5, 10, 11):
        values.add(value)
    assert values.cumulative() == [(1, 2), (10, 4), (float("inf"), 5)]
