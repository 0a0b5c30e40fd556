"""Properties of the answer to a drawn review; `python -m tests.endure.judging SEED NUMBER` checks one again."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import jsonpatch
import msgspec

from tests.support import properties
from webhook.admission import review
from webhook.admission.decision import UNEXAMINED, Outcome, ReviewResult
from webhook.admission.mutator import Mutator
from webhook.config.load import load
from webhook.errors import MalformedReview

from . import pods
from .pods import Drawn

_SERVER = "opencti: {daemon: {registry: {server: registry.example.com}}}\n"
#: By what they set.
CONFIGURATIONS = {
    "server": _SERVER,
    "rules": _SERVER
    + """webhook:
  rules:
    - {from: quay.io, to: mirror.example.com/quay}
    - {from: quay.io/coreos, to: registry.example.com/core}
    - {from: docker.io/library, to: "mirror.example.com:5000/official"}
  exclude: [gcr.io/**, "*.example.com/team/**"]
  pull_secret: {registries: [ghcr.io/private, localhost]}
""",
    "all namespaces": _SERVER + "webhook: {namespaces: {mode: all, deny: [denied-*]}}\n",
    "no opting out": _SERVER + "webhook: {pod_opt_out: ignore, pull_secret: {enabled: false}}\n",
    "deny": _SERVER + "webhook: {on_error: deny}\n",
    "no server": "webhook: {rules: [{from: quay.io, to: mirror.example.com}]}\n",
}
#: What is read of a request beside its objects.
_READ = {
    "apiVersion",
    "kind",
    "request",
    "uid",
    "subResource",
    "namespace",
    "name",
    "operation",
    "dryRun",
    "group",
    "version",
}
#: One in so many is judged by slower means as well.
_SAMPLE = 50

Outcomes = Counter[str]


def judge_range(seed: int, begin: int, end: int) -> Outcomes:
    """Judge what the numbers of a range draw, by one configuration after the other; say what the outcomes were."""
    configured = [load(text.encode(), name, {}).configuration for name, text in CONFIGURATIONS.items()]
    handlers = [Mutator(each) for each in configured]
    outcomes: Outcomes = Counter()
    for number in range(begin, end):
        which = number % len(configured)
        inexperienced = Mutator(configured[which]) if number % _SAMPLE < len(configured) else None
        try:
            outcomes[judge(pods.draw(seed, number), handlers[which], inexperienced)] += 1
        except Exception as error:
            again = f"python -m tests.endure.judging {seed} {number}"
            raise AssertionError(f"draw {number} of seed {seed} ({again}): {type(error).__name__}: {error}") from error
    return outcomes


def judge(drawn: Drawn, handler: Mutator, inexperienced: Mutator | None = None) -> str:
    """Judge the answer to a review, and say the outcome; who has answered nothing before must answer the same."""
    decided = _decide(handler, drawn.body)
    if decided is None:
        assert why_unanswerable(drawn.body) is not None, "it could be answered"
        return "refused"
    assert decided.decision.outcome is not Outcome.ERROR, decided.decision.why
    if decided.decision.outcome in UNEXAMINED:
        assert decided.decision.outcome is Outcome.TOO_LARGE or why_unanswerable(drawn.body) is not None, (
            "it is readable"
        )
        response = json.loads(decided.answer)["response"]
        assert ("warnings" in response, "status" in response) == (response["allowed"], not response["allowed"])
        assert "patch" not in response
        return decided.decision.outcome
    _hold(drawn, decided, handler, properties.apply)
    if inexperienced is not None:
        _judge_slowly(drawn, decided, handler, inexperienced)
    return decided.decision.outcome


def _judge_slowly(drawn: Drawn, decided: ReviewResult, handler: Mutator, inexperienced: Mutator) -> None:
    """Judge also by jsonpatch, and by who has answered nothing before."""
    _hold(drawn, decided, handler, jsonpatch.apply_patch)
    anew = inexperienced.review(drawn.body)
    assert anew.answer == decided.answer, "what was decided before has changed the answer"
    assert anew.decision.images == decided.decision.images
    # However often it is asked for.
    assert inexperienced.review(drawn.body).answer == decided.answer


def _decide(handler: Mutator, body: bytes) -> ReviewResult | None:
    try:
        return handler.review(body)
    except MalformedReview as error:
        text = str(error)
        assert text.isascii()
        assert text.isprintable()
        return None


def _hold(drawn: Drawn, decided: ReviewResult, handler: Mutator, apply: Callable[[Any, list[Any]], Any]) -> None:
    found = drawn.review
    twice: set[str] = set()
    if found is None:
        try:
            found, twice = _read(drawn.body)
        except (ValueError, RecursionError):
            # What nobody reads may be no JSON, and then the API server has not sent it.
            return
    request = properties.patched(found["request"], decided.answer, apply)
    # Of what is there twice the last counts, but where one of them does not fit, none does.
    if request is not found["request"] and not twice:
        properties.check_again(request, handler)


def _read(body: bytes) -> tuple[Any, set[str]]:
    """Decode JSON as Python does, and say which members of any object are there twice."""
    twice: set[str] = set()

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        twice.update(name for name in counts if counts[name] > 1)
        return dict(pairs)

    # No number matters, and Python could not write one again that is too large for it.
    found = json.loads(
        body.decode("utf-8"), object_pairs_hook=members, parse_float=lambda _: 0.5, parse_constant=_refuse
    )
    # Python keeps half a character, where Go has U+FFFD.
    written = json.dumps(found, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
    return json.loads(written.decode("utf-16-le", "replace")), twice


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def why_unanswerable(body: bytes) -> str | None:
    """Say why nobody could answer a body, or None: Python's own decoder, and the fields that are read one by one."""
    try:
        found, twice = _read(body)
        # Python has no bound on how deep it goes.
        msgspec.json.decode(json.dumps(found))
    except (ValueError, RecursionError) as error:
        return str(error)
    if twice & _READ:
        return "there twice, of which one may not fit"
    request = found.get("request") if isinstance(found, dict) else None
    if not isinstance(request, dict) or found.get("kind") != "AdmissionReview":
        return "no AdmissionReview"
    if found.get("apiVersion") not in review.VERSIONS:
        return "another version"
    kind = request.get("kind", {})
    texts = [
        request.get("uid"),
        *(kind.get(name, "") for name in ("group", "version", "kind") if isinstance(kind, dict)),
    ]
    texts += [
        request[name] for name in ("subResource", "namespace", "name", "operation") if request.get(name) is not None
    ]
    fits = isinstance(kind, dict) and all(isinstance(text, str) for text in texts) and 0 < len(request["uid"]) <= 1024
    return None if fits and isinstance(request.get("dryRun"), bool | None) else "a field of another type"


if __name__ == "__main__":
    seed, number = map(int, sys.argv[1:])
    sys.stdout.write(f"{pods.draw(seed, number).body!r}\n")
    sys.stdout.write(f"{judge_range(seed, number, number + 1)}\n")
