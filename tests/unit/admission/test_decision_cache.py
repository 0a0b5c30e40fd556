"""The cache of decisions does not change answers and has limited memory."""

import base64
import json
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.properties import CONFIGURATION, PODS, REQUESTS, envelope
from webhook.admission import review
from webhook.admission.decision import Decision, Outcome
from webhook.admission.decision_cache import DecisionCache
from webhook.admission.mutator import Mutator
from webhook.config.load import load
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.images.resolver import Resolution, Resolver
from webhook.settings import Configuration, RegistrySettings

from .test_mutator import containers, handler, pod

CONFIGURED = load(CONFIGURATION.encode(), "known", {}).configuration
#: Has answered whatever a property test has drawn before.
EXPERIENCED = Mutator(CONFIGURED)


def template(**spec: Any) -> dict[str, Any]:
    return pod(containers=containers(a="nginx", b="quay.io/x", c="ghcr.io/y"), **spec)


@given(st.lists(st.tuples(PODS, REQUESTS), min_size=1, max_size=3))
def test_cache_used_mutator_decides_as_new_one(asked: list[tuple[Any, dict[str, Any]]]) -> None:
    for document, request in asked:
        body = envelope(document, request)
        first, again = Mutator(CONFIGURED).review(body), EXPERIENCED.review(body)
        assert again.answer == first.answer
        assert again.decision.images == first.decision.images
        assert again.name == first.name


#: What a request or its Pod can say more than the template, and what makes it another case.
OTHERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"dryRun": True}),
    ({}, {"namespace": "other"}),
    ({}, {"namespace": "kube-system"}),
    ({}, {"operation": "DELETE"}),
    ({}, {"operation": "UPDATE", "oldObject": template()}),
    ({}, {"operation": "UPDATE", "oldObject": pod(containers=containers(a="nginx"))}),
    ({}, {"operation": "UPDATE", "oldObject": None}),
    ({}, {"subResource": "status"}),
    ({}, {"subResource": "ephemeralcontainers", "operation": "UPDATE", "oldObject": pod()}),
    ({}, {"kind": {"group": "x", "version": "v1", "kind": "Pod"}}),
    ({}, {"kind": {"group": "", "version": "v1", "kind": "Node"}}),
    ({"labels": {ENABLED_LABEL: "false"}}, {}),
    ({"annotations": {}}, {}),
    ({"annotations": 3}, {}),
    ({"annotations": {MIRROR_ANNOTATION: None}}, {}),
    ({"annotations": {ORIGINALS_ANNOTATION: '{"a":"first"}'}}, {}),
    ({"annotations": {ORIGINALS_ANNOTATION: '{"z":"gone"}'}}, {}),
]


def test_pod_request_differs_if_decision_does() -> None:
    experienced = handler()
    for _ in range(2):
        for metadata, request in OTHERS:
            document = template() | {"metadata": {"name": "x", **metadata}}
            body = review.encode_review(document, **{"dryRun": False, "namespace": "team", **request})
            assert experienced.review(body).answer == handler().review(body).answer, (metadata, request)


SPECS: list[dict[str, Any]] = [
    {"containers": containers(a="nginx")},
    {"containers": containers(b="nginx")},
    {"containers": containers(a="nginx:1")},
    {"initContainers": containers(a="nginx")},
    {"ephemeralContainers": containers(a="nginx")},
    {"volumes": [{"name": "a", "image": {"reference": "nginx"}}]},
    {"volumes": [{"name": "b", "image": {"reference": "nginx"}}]},
    {"volumes": [{"name": "c"}, {"name": "a", "image": {"reference": "nginx"}}]},
    {"volumes": [{"name": "a", "image": {"reference": "nginx"}}, {"name": "c"}]},
    {"containers": [{}, {"name": "a", "image": "nginx"}]},
    {"containers": containers(a="nginx"), "imagePullSecrets": None},
    {"containers": containers(a="nginx"), "imagePullSecrets": []},
    {"containers": containers(a="nginx"), "imagePullSecrets": [{}]},
    {"containers": containers(a="nginx"), "imagePullSecrets": [{"name": "theirs"}]},
    {"containers": containers(a="nginx"), "imagePullSecrets": [{"name": "registry-webhook-pull"}]},
    {"containers": containers(a="nginx"), "imagePullSecrets": {}},
]


def test_pod_request_differs_for_each_read_field() -> None:
    experienced = handler()
    for _ in range(2):
        for spec in SPECS:
            body = review.encode_review(pod(**spec), dryRun=False)
            assert experienced.review(body).answer == handler().review(body).answer, spec


RESOLVER = Resolver(Configuration(RegistrySettings("registry.example.com")))


def counting() -> tuple[Mutator, list[str]]:
    """A mutator that records the images that it resolves."""
    seen: list[str] = []

    def resolve(image: str) -> Resolution:
        seen.append(image)
        return RESOLVER.resolve(image)

    return handler(resolve=resolve), seen


def test_cache_pods_of_template_share_decision() -> None:
    made, seen = counting()
    decided = [
        made.review(
            review.encode_review(
                {**template(), "metadata": {"generateName": "web-", "name": name, "uid": name}},
                uid=f"u-{name}",
                name=name,
            )
        )
        for name in ("web-1", "web-2", "web-3", "web-4")
    ]
    assert len({id(each.decision) for each in decided[1:]}) == 1
    assert seen == ["nginx", "quay.io/x", "ghcr.io/y"] * 2
    assert [each.name for each in decided] == ["web-1", "web-2", "web-3", "web-4"]
    uids = [json.loads(each.answer)["response"]["uid"] for each in decided]
    assert uids == ["u-web-1", "u-web-2", "u-web-3", "u-web-4"]


def test_cache_volumes_without_image_ignored() -> None:
    made, seen = counting()
    for name in ("kube-api-access-x7k2p", "kube-api-access-9q4zd", "kube-api-access-m5v8c"):
        token = {"name": name, "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
        data = {"name": "data", "image": {"reference": "redis"}}
        answer = json.loads(made.review(review.encode_review(template(volumes=[token, data]))).answer)["response"]
        assert {"op": "replace", "path": "/spec/volumes/1/image/reference", "value": "registry.example.com/redis"} in (
            json.loads(base64.b64decode(answer["patch"]))
        )
    assert seen == ["nginx", "quay.io/x", "ghcr.io/y", "redis"] * 2


@pytest.mark.parametrize("version", ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"])
def test_cache_decision_answered_in_requested_version(version: str) -> None:
    made = handler()
    for asked in ("admission.k8s.io/v1", version):
        body = review.encode_review(template()).replace(b"admission.k8s.io/v1", asked.encode())
        assert json.loads(made.review(body).answer)["apiVersion"] == asked


@pytest.mark.parametrize(("length", "times"), [(16 * 1024, 2), (16 * 1024 + 1, 3)])
def test_cache_decision_on_long_body_not_stored(length: int, times: int) -> None:
    made, seen = counting()
    body = review.encode_review(pod(containers=containers(a="nginx")))
    body += b" " * (length - len(body))
    assert made.review(body).answer == made.review(body).answer == made.review(body).answer
    assert seen == ["nginx"] * times


def test_cache_error_not_stored() -> None:
    errors = [ValueError(), ValueError()]

    def resolve(image: str) -> Resolution:
        if errors:
            raise errors.pop()
        return RESOLVER.resolve(image)

    made = handler(resolve=resolve)
    outcomes = [made.review(review.encode_review(template())).decision.outcome for _ in range(3)]
    assert outcomes == [Outcome.ERROR, Outcome.ERROR, Outcome.REWRITTEN]


class Kept(Decision, frozen=True, gc=True, weakref=True):
    """A decision that can be referenced weakly."""


def decision_on(case: str, size: int) -> Kept:
    decision = handler().review(review.encode_review(pod())).decision
    return Kept(decision.outcome, case, b"x" * size, decision.log_fields)


def ask_twice(known: DecisionCache[str], case: str, decide: Callable[[str], Decision]) -> None:
    """Ask for a decision, which is cached the second time."""
    for _ in range(2):
        known.get_or_decide(case, b"", decide)


def test_cache_evicts_unused_and_is_bounded() -> None:
    decided: list[str] = []
    alive: weakref.WeakValueDictionary[int, Kept] = weakref.WeakValueDictionary()

    def decide(case: str) -> Decision:
        decided.append(case)
        decision = decision_on(case, 100_000)
        alive[len(decided)] = decision
        return decision

    known: DecisionCache[str] = DecisionCache()
    ask_twice(known, "forgotten", decide)
    most = 0
    for number in range(300):
        ask_twice(known, f"flood-{number}", decide)
        if number % 3 == 0:
            ask_twice(known, "wanted", decide)
        most = max(most, len(alive))
    assert decided.count("wanted") == 2
    assert 2 < most < 100
    known.get_or_decide("forgotten", b"", decide)
    assert decided.count("forgotten") == 3


def test_cache_new_keys_not_stored() -> None:
    decided: list[str] = []

    def decide(case: str) -> Decision:
        decided.append(case)
        return decision_on(case, 100)

    known: DecisionCache[str] = DecisionCache()
    ask_twice(known, "wanted", decide)
    tracemalloc.start()
    try:
        for number in range(3_000):
            known.get_or_decide(f"flood-{number}", b"", decide)
        assert tracemalloc.get_traced_memory()[0] < 3_000_000
    finally:
        tracemalloc.stop()
    known.get_or_decide("wanted", b"", decide)
    assert decided.count("wanted") == 2


def test_cache_large_decision_stored_once() -> None:
    decided: list[str] = []

    def decide(case: str) -> Decision:
        decided.append(case)
        return decision_on(case, 10_000_000)

    known: DecisionCache[str] = DecisionCache()
    for case in ("a", "a", "a", "b", "b", "b", "a"):
        assert known.get_or_decide(case, b"", decide).why == case
    assert decided == ["a", "a", "b", "b"]


#: Cases of which every one is new, about which there is little to say, and whose bodies have less than 16 KiB.
LONG: dict[str, tuple[int, Callable[[int], list[Any]]]] = {
    "a long name": (2500, lambda number: [{"name": f"{number}" + "x" * 15_000}]),
    "many containers": (160, lambda number: [{"name": f"{number}"}] + [{}] * 5000),
}


@pytest.mark.parametrize("case", LONG)
def test_cache_long_keys_bounded(case: str) -> None:
    times, make = LONG[case]
    made = handler()
    tracemalloc.start()
    try:
        for number in range(times):
            body = review.encode_review(pod(containers=make(number)), dryRun=False)
            assert made.review(body).answer == made.review(body).answer
        assert tracemalloc.get_traced_memory()[0] < 24_000_000
    finally:
        tracemalloc.stop()
