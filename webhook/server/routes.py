"""What is answered to whom, whatever door the request came through: values in, a Reply out.

Both doors, the one of our own server and the Flask routes that any WSGI server can call, answer with these.
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
    """An HTTP request whose body is whole."""

    method: bytes
    path: bytes
    """As written, percent signs and all."""
    query: bytes
    headers: dict[bytes, bytes]
    """Names in lower case."""
    body: bytes
    client: str = ""
    """The address that it came from."""

    def header(self, name: bytes) -> str:
        """Give the header of that name, or nothing."""
        return self.headers.get(name, b"").decode("latin-1")


class Reply(Struct, frozen=True, gc=False):
    """An HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """All but the length."""
    body: bytes

    @property
    def line(self) -> str:
        """What `text` was given."""
        return self.body.decode().rstrip("\n")


def text(status: int, line: str) -> Reply:
    """Answer with one line of text."""
    return Reply(status, _TEXT, f"{line}\n".encode())


TOO_LARGE = text(413, f"the body is larger than {BODY_LIMIT // 1024 // 1024} MiB")
#: No Retry-After: the API server waits for nothing but that before it asks again, and its client waits for it.
OVERLOADED = text(503, "too much is under way")
FAILED = text(500, "registry-webhook failed; its log says where")


def mutate(mutator: Mutator, content_type: str, body: bytes, counters: ReviewCounters, client: str = "") -> Reply:
    """Answer an AdmissionReview, and count it: 200 with the review, or a 4xx with one line that says what was wrong.

    `client` is the address that it came from, for the log.
    """
    began = perf_counter()
    if content_type != _JSON and content_type.partition(";")[0].strip().lower() != _JSON:
        why = f"the content type must be {_JSON}"
        counters.refuse(Refused(415, Refusal.CONTENT_TYPE, client, why))
        return text(415, why)
    try:
        decided = mutator.review(body)
    except MalformedReview as error:
        why = log.escape(f"the body is {error}")
        counters.refuse(Refused(400, Refusal.MALFORMED_REVIEW, client, why))
        return text(400, why)
    _record(decided, client)
    reply = Reply(200, _REVIEW, decided.answer)
    counters.count(decided, len(body), perf_counter() - began)
    return reply


def mutate_truncated(mutator: Mutator, beginning: bytes, counters: ReviewCounters, client: str = "") -> Reply | None:
    """Answer an AdmissionReview that is too large by the beginning of its body, and count it: as what is not examined.

    None where the beginning does not tell which review it is.
    """
    began = perf_counter()
    try:
        decided = mutator.review_truncated(beginning)
    except MalformedReview:
        return None
    _record(decided, client)
    counters.count(decided, len(beginning), perf_counter() - began)
    return Reply(200, _REVIEW, decided.answer)


def about() -> Reply:
    """Say what this is."""
    return text(200, f"registry-webhook {__version__}: a mutating admission webhook; the API server POSTs to /mutate")


def alive() -> Reply:
    """Answer the liveness probe: the process answers, so it is alive."""
    return text(200, "alive")


def ready(now: ServerState, *, draining: bool) -> Reply:
    """Answer the readiness probe, saying what is not as it should be even while the last good state serves."""
    faults = [
        f"{part}: {log.shorten(fault, 512)}"
        for part, fault in (("configuration", now.configuration_error), ("certificate", now.certificate_error))
        if fault is not None
    ]
    if draining:
        return text(503, "not ready: stopping")
    if now.tls is None:
        return text(503, "\n".join(["not ready: TLS connections cannot be answered yet", *faults]))
    lines = [f"the last good one stays; {fault}" for fault in faults]
    if now.certificate_invalid is not None:
        lines.append(f"what is served is not valid; certificate: {log.shorten(now.certificate_invalid, 512)}")
    return text(200, "\n".join(["ready", *lines]))


def metrics(exposition: bytes) -> Reply:
    """Answer Prometheus."""
    return Reply(200, _METRICS, exposition)


def _record(result: ReviewResult, client: str) -> None:
    """Write a line of what is worth one: every rewrite, what is not looked at, and every fault of our own."""
    decision, request = result.decision, result.review.request
    rewritten = bool(decision.operations) and _log.isEnabledFor(logging.INFO)
    if not rewritten and decision.outcome not in UNEXAMINED:
        return
    about = {
        "namespace": request.namespace,
        "pod": result.name,
        "uid": request.uid,
        "dry_run": request.dry_run or None,
        "client": client or None,
    }
    if rewritten:
        log.info(_log, log.Event(decision.outcome, about, decision.log_fields))
    else:
        level = logging.ERROR if decision.outcome is Outcome.ERROR else logging.WARNING
        _log.log(level, log.Event("not examined", {"outcome": decision.outcome, **about}, decision.log_fields))
