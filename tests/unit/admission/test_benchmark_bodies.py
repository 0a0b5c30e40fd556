"""The bodies of `make bench` reach the state of the server that its output names."""

from collections.abc import Callable, Iterable
from importlib import import_module

import pytest

from webhook.admission.decision import Decision
from webhook.admission.mutator import Mutator, PodRequest
from webhook.images import reference
from webhook.images.reference import Reference
from webhook.settings import Configuration, RegistrySettings

#: mypy knows it by another name, because the benchmarks run as scripts.
bodies = import_module("tests.bench.bodies")
TEMPLATES = 12
#: In the bodies with known images.
IMAGES = 12


class CountingMutator(Mutator):
    """Counts the decisions that are not cached."""

    decided = 0

    def decide(self, request: PodRequest) -> Decision:
        self.decided += 1
        return super().decide(request)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The references that are parsed."""
    seen: list[str] = []
    parse = reference.parse

    def record(text: str) -> Reference:
        seen.append(text)
        return parse(text)

    monkeypatch.setattr(reference, "parse", record)
    return seen


def review_all(body: Callable[[int], bytes], numbers: Iterable[int], mutator: Mutator) -> None:
    for number in numbers:
        assert mutator.review(body(number)).decision.operations


def mutator() -> CountingMutator:
    return CountingMutator(Configuration(RegistrySettings(bodies.SERVER)))


def test_usual_bodies_share_decisions() -> None:
    made = mutator()
    review_all(bodies.usual, range(240), made)
    assert made.decided == 2 * TEMPLATES


def test_known_bodies_decided_each_with_known_images(parsed: list[str]) -> None:
    made = mutator()
    review_all(bodies.known, range(bodies.UNCACHEABLE), made)
    written = [image for image in parsed if not image.startswith(bodies.SERVER)]
    review_all(bodies.known, range(TEMPLATES), made)
    assert made.decided == bodies.UNCACHEABLE + TEMPLATES
    assert len(written) == len(set(written)) == IMAGES


def test_unseen_bodies_resolved_each(parsed: list[str]) -> None:
    made = mutator()
    review_all(bodies.unseen, range(bodies.UNCACHEABLE), made)
    parsed.clear()
    review_all(bodies.unseen, range(TEMPLATES), made)
    assert made.decided == bodies.UNCACHEABLE + TEMPLATES
    assert len({image for image in parsed if not image.startswith(bodies.SERVER)}) == 3 * TEMPLATES
