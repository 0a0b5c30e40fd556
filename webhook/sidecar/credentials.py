"""The credential: read from its source, checked with the registry, published; and when that is done the next time."""

import logging
from collections.abc import Callable
from enum import StrEnum
from threading import Event
from typing import NamedTuple

from msgspec import structs

from webhook import log
from webhook.adapters.registry import Answer, Registry, Verdict
from webhook.adapters.sources import Source
from webhook.errors import ClusterError, InvalidCredential, SourceError
from webhook.pullsecret import document as documents
from webhook.pullsecret import matching
from webhook.pullsecret.credential import Credential
from webhook.pullsecret.document import Document
from webhook.pullsecret.schedule import Schedule
from webhook.sidecar.clocks import Clocks
from webhook.sidecar.metrics import Metrics
from webhook.sidecar.publishing import Publisher
from webhook.sidecar.reporting import Reporter

_log = logging.getLogger("webhook.refresher")

Asking = Callable[[Credential], Verdict | None]

#: How often a source's files are looked at between two passes, seconds.
_LOOK = 1.0
#: The longest that the namespaces are waited for after the first pass; after the others none is.
_SETTLING = 60.0
#: Registries that are asked in one pass, each of which may take 50 seconds.
_ASKED = 5
#: The longest that a pass may take: a helper's answers for several registries, and theirs.
STALLED = 900.0


class Outcome(StrEnum):
    """What came of a pass."""

    PUBLISHED = "published"
    NONE = "none"
    """No credential is configured."""
    SOURCE = "source"
    """The source gave none."""
    REGISTRY = "registry"
    """The registry could not be asked."""
    REFUSED = "refused"
    """The registry refused it."""
    CLUSTER = "cluster"
    """The namespaces could not be listed."""


WELL = frozenset({Outcome.PUBLISHED, Outcome.NONE})


class Pass(NamedTuple):
    """A pass that is over."""

    outcome: Outcome
    detail: str = ""
    retry_after: float | None = None
    """Seconds that the registry asked to wait."""


class Credentials:
    """The loop that reads, checks and publishes."""

    def __init__(  # noqa: PLR0913 - what a pass goes through, each part by name
        self,
        *,
        source: Source | None,
        ask: Asking,
        strict: bool,
        schedule: Schedule,
        publisher: Publisher,
        reporter: Reporter,
        metrics: Metrics,
        clocks: Clocks,
        good: Document | None = None,
    ) -> None:
        """Take the source, or None; `ask` asks the registry, and gives None where it is not to be asked.

        `good` is the last good document of an earlier configuration: it stays until there is a better one.
        """
        self._source = source
        self._ask = ask
        self._strict = strict
        self._schedule = schedule
        self._publisher = publisher
        self._reporter = reporter
        self._metrics = metrics
        self._clocks = clocks
        self._failures = 0
        self.good = publisher.document = good if source else None
        """The last document that was not in doubt."""
        self._ends: float | None = None
        """Monotonic time at which what is published ends."""
        self._listed: float | None = None
        """When all namespaces and Secrets were listed: the net below the watches, once a period."""
        self.settled = False
        """Whether the first pass is over, and every namespace has been looked at since."""
        self.last: Pass | None = None
        """The last pass, None before the first is over."""

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Make passes until told to stop."""
        while not stop.is_set():
            beat()
            fingerprint = self._source.fingerprint() if self._source else None
            wait = self._next(self.make_pass())
            if not self.settled and self._publisher.listed:
                self._publisher.wait_until_idle(_SETTLING)
                self.settled = True
            self._wait(wait, fingerprint, stop, beat)

    def _wait(self, wait: float, fingerprint: bytes | None, stop: Event, beat: Callable[[], None]) -> None:
        """Wait for the next pass, or until the source's files hold something else."""
        end = self._clocks.monotonic() + wait
        while (left := end - self._clocks.monotonic()) > 0 and not stop.wait(min(_LOOK, left)):
            beat()
            if self._source and self._source.fingerprint() != fingerprint:
                _log.info("the source has changed: it is read now")
                self._failures = 0
                return

    def make_pass(self) -> Pass:
        """Read, check and publish once."""
        self.last = done = self._pass()
        self._metrics.passes.labels(done.outcome.value).inc()
        return done

    def _next(self, done: Pass) -> float:
        """Give the wait until the next pass."""
        dice = self._clocks.dice()
        if done.outcome in WELL:
            self._failures = 0
            self._reporter.settled(None, "CredentialRefused", "SourceFailed", "RegistryUnclear", "ClusterUnreachable")
            wait = self._schedule.after_success(self._life(), dice)
        else:
            self._failures += 1
            refused = done.outcome is Outcome.REFUSED
            wait = self._schedule.after_failure(
                self._failures, refused=refused, retry_after=done.retry_after, dice=dice
            )
        _log.info(log.event(f"pass: {done.outcome.value}", detail=done.detail or None, next_in=f"{wait:.0f}s"))
        return wait

    def expired(self) -> bool:
        """Tell whether what is published has ended."""
        life = self._life()
        return life is not None and life <= 0

    def published(self) -> bool:
        """Tell whether a pass has been made that gave something to publish, or found that there is nothing."""
        return self._publisher.document is not None or (self.last is not None and self.last.outcome is Outcome.NONE)

    def _life(self) -> float | None:
        return None if self._ends is None else self._ends - self._clocks.monotonic()

    def _pass(self) -> Pass:
        try:
            done = self._read_and_publish()
        except (SourceError, InvalidCredential) as error:
            kind = "invalid" if isinstance(error, InvalidCredential) else "none"
            self._metrics.source_failures.labels(kind).inc()
            self._reporter.warn("SourceFailed", str(error))
            done = Pass(Outcome.SOURCE, str(error))
        now = self._clocks.monotonic()
        if self._listed is not None and now - self._listed < self._schedule.period / 2:
            return done
        try:
            self._publisher.relist()
        except ClusterError as error:
            self._reporter.warn("ClusterUnreachable", str(error), event=False)
            return Pass(Outcome.CLUSTER, str(error)) if done.outcome in WELL else done
        self._listed = now
        self._publisher.look_everywhere()
        return done

    def _read_and_publish(self) -> Pass:
        if self._source is None:
            return Pass(Outcome.NONE, "no registry, or no credential for it, is configured")
        reading = self._source.read()
        for note in reading.notes:
            _log.info("the source: %s", note)
        verdict = self._ask(reading.credential)
        if verdict is not None and verdict.answer is not Answer.DEFERRED:
            self._metrics.registry_answers.labels(verdict.answer.value).inc()
        answer = verdict.answer if verdict else Answer.ACCEPTED
        if answer is Answer.DEFERRED:
            answer = Answer.REFUSED
        self._metrics.refused.set(answer is Answer.REFUSED)
        if answer is not Answer.REFUSED:
            self._reporter.settled(None, "CredentialRefused")
        if verdict is None or answer is Answer.ACCEPTED:
            self._publish(reading.credential)
            return Pass(Outcome.PUBLISHED, verdict.detail if verdict else "")
        if answer is Answer.REFUSED:
            if not self._strict:
                self._publish_in_doubt(reading.credential)
            self._reporter.warn("CredentialRefused", self._refusal(verdict))
            return Pass(Outcome.REFUSED, verdict.detail, verdict.retry_after)
        if self._strict:
            self._publish_in_doubt(reading.credential)
        else:
            self._publish(reading.credential)
        self._reporter.warn("RegistryUnclear", verdict.detail)
        return Pass(Outcome.REGISTRY, verdict.detail, verdict.retry_after)

    def _refusal(self, verdict: Verdict) -> str:
        kept = "the last good one stays" if self.good else "it replaces none that is published"
        return f"{verdict.detail}: {kept}"

    def _publish(self, credential: Credential) -> None:
        document = documents.compose(credential, self._clocks.wall())
        known = self.good
        if known is not None and document.content == known.content:
            # The same as before, and published since then.
            same = structs.replace(document, refreshed=known.refreshed)
            document = known if same == known else same
        self._end(credential)
        self.good = document
        self._metrics.refreshed.set(self._clocks.wall())
        self._put(document)

    def _publish_in_doubt(self, credential: Credential) -> None:
        """Publish where there is none yet, unless there was a good one: that stays."""
        if self.good is None:
            document = documents.compose(credential, self._clocks.wall())
            doubted = structs.replace(document, creates_only=True)
            before = self._publisher.document
            if before is None or before.content != doubted.content:
                self._end(credential)
                self._put(doubted)

    def _put(self, document: Document) -> None:
        if document is not self._publisher.document:
            self._publisher.publish(document)

    def _end(self, credential: Credential) -> None:
        if credential.expires is None:
            self._ends = None
            self._metrics.expiry.set(float("inf"))
        else:
            self._ends = self._clocks.monotonic() + credential.expires - self._clocks.wall()
            self._metrics.expiry.set(credential.expires)


def asking(registry: Registry, prefixes: tuple[str, ...]) -> Asking:
    """Make what asks about a credential: for each of our registries, the entry that kubelet would use there.

    The worst answer counts: refused by one, or unclear at one. None where no entry is for any of our registries. They
    are asked in this order, and no more of them than a pass has time for.
    """

    def ask(credential: Credential) -> Verdict | None:
        worst: Verdict | None = None
        asked: set[tuple[str, str, str]] = set()
        for prefix in prefixes:
            host = prefix.partition("/")[0]
            for entry in matching.lookup(credential.entries, f"{prefix}/image")[:1]:
                question = (host, entry.username, entry.password)
                if question in asked or len(asked) == _ASKED:
                    continue
                asked.add(question)
                verdict = registry.check(*question)
                if worst is None or _WORSE[verdict.answer] > _WORSE[worst.answer]:
                    worst = verdict
        return worst

    return ask


_WORSE = {Answer.ACCEPTED: 0, Answer.UNCLEAR: 1, Answer.DEFERRED: 2, Answer.REFUSED: 3}
