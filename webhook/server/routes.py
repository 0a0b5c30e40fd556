"""The answers to requests: functions from values to a Reply. It must not import Flask.

Both our own server and the Flask application for other WSGI servers answer with these functions.
"""

import logging
from time import perf_counter

from msgspec import Struct

from webhook import __version__, log
from webhook.admission.decision import UNEXAMINED, Outcome, ReviewResult
from webhook.admission.mutator import Mutator
from webhook.admission.review import BODY_LIMIT
from webhook.errors import MalformedReview
from webhook.server.counters import ReviewCounters
from webhook.server.refusals import Refusal, Refused
from webhook.server.reloader import ServerState

_JSON = "application/json"
_REVIEW = (("Content-Type", _JSON),)
_METRICS = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)

_log = logging.getLogger("webhook.admission")


class Request(Struct, frozen=True, gc=False):
    """An HTTP request with its complete body."""

    method: bytes
    path: bytes
    """Percent-encoded, as sent."""
    headers: dict[bytes, bytes]
    """Names in lower case."""
    body: bytes
    client: str = ""
    """The client's address."""

    def header(self, name: bytes) -> str:
        """Return a header's value, empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")


class Reply(Struct, frozen=True, gc=False):
    """An HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Without Content-Length."""
    body: bytes

    @property
    def line(self) -> str:
        """The text of a reply from `text`, without the final line feed."""
        return self.body.decode().rstrip("\n")


def text(status: int, line: str) -> Reply:
    """Return a plain-text reply of one or more lines."""
    return Reply(status, _TEXT, f"{line}\n".encode())


def not_allowed(method: bytes) -> Reply:
    """Return the reply to another method than the only one of a path."""
    reply = text(405, "method not allowed")
    allowed = "GET, HEAD" if method == b"GET" else method.decode()
    return Reply(reply.status, (*reply.headers, ("Allow", allowed)), reply.body)


NOT_FOUND = text(404, "not found")
TOO_LARGE = text(413, f"body is larger than {BODY_LIMIT // 1024 // 1024} MiB")
#: Without Retry-After: API servers retry only if there is one, and the user's request would wait for that.
OVERLOADED = text(503, "overloaded: too many or too large requests are in progress")
FAILED = text(500, "internal error; see the log of registry-webhook")


def mutate(mutator: Mutator, content_type: str, body: bytes, counters: ReviewCounters, client: str = "") -> Reply:
    """Answer an AdmissionReview: with 200 and the review, or a 4xx and one line.

    The review is logged, with the client's address, and counted.
    """
    began = perf_counter()
    if content_type != _JSON and content_type.partition(";")[0].strip().lower() != _JSON:
        why = f"content type must be {_JSON}"
        counters.refuse(Refused(415, Refusal.CONTENT_TYPE, client, why))
        return text(415, why)
    try:
        result = mutator.review(body)
    except MalformedReview as error:
        why = log.escape(f"malformed review: {error}")
        counters.refuse(Refused(400, Refusal.MALFORMED_REVIEW, client, why))
        return text(400, why)
    return _answer(result, client, counters, len(body), began)


def mutate_truncated(mutator: Mutator, beginning: bytes, counters: ReviewCounters, client: str = "") -> Reply | None:
    """Answer an AdmissionReview that is too large from the beginning of its body; return None if there is no uid in it.

    The outcome is `too-large`.
    """
    began = perf_counter()
    try:
        result = mutator.review_truncated(beginning)
    except MalformedReview:
        return None
    return _answer(result, client, counters, len(beginning), began)


def _answer(result: ReviewResult, client: str, counters: ReviewCounters, size: int, began: float) -> Reply:
    _log_review(result, client)
    reply = Reply(200, _REVIEW, result.answer)
    counters.count(result, size, perf_counter() - began)
    return reply


def about() -> Reply:
    """Answer `GET /` with name and version."""
    return text(200, f"registry-webhook {__version__}: a mutating admission webhook; API servers POST to /mutate")


def alive() -> Reply:
    """Answer the liveness probe."""
    return text(200, "ok")


def ready(now: ServerState, *, draining: bool) -> Reply:
    """Answer the readiness probe, with errors even if the last valid configuration and certificate are still used."""
    errors = {
        "configuration reload failed, using the previous configuration": now.configuration_error,
        "certificate reload failed, using the previous certificate": now.certificate_error,
        "client CA reload failed, using the previous CAs": now.client_ca_error,
        "the certificate is not valid": now.certificate_invalid,
        "the client CAs are not valid": now.client_ca_invalid,
    }
    if draining:
        return text(503, "not ready: shutting down")
    if now.tls is None:
        missing = {"certificate": now.certificate_error, "client CA": now.client_ca_error}
        state, errors = "not ready", {f"no {part} yet": error for part, error in missing.items()}
    else:
        state = "ready"
    lines = [f"{what}: {log.shorten(error, 512)}" for what, error in errors.items() if error is not None]
    return text(200 if now.tls else 503, "\n".join([state, *lines]))


def metrics(exposition: bytes) -> Reply:
    """Answer a scrape."""
    return Reply(200, _METRICS, exposition)


def _log_review(result: ReviewResult, client: str) -> None:
    """Log a review if it changed the Pod, or was not examined."""
    decision, request = result.decision, result.review.request
    rewritten = decision.changes_pod and _log.isEnabledFor(logging.INFO)
    if not rewritten and decision.outcome not in UNEXAMINED:
        return
    about = {
        "namespace": request.namespace,
        "pod": result.name or None,
        "uid": request.uid,
        "dry_run": request.dry_run or None,
        "client": client or None,
    }
    if rewritten:
        log.info(_log, log.Event("Pod changed", about, decision.log_fields))
    else:
        level = logging.ERROR if decision.outcome is Outcome.ERROR else logging.WARNING
        _log.log(level, log.Event("Pod not examined", about, decision.log_fields))
