"""The credential: read from its provider, checked with the registry, published; and when that is done the next time.

Only the replica that writes asks the registry: the others would multiply the logins of a wrong password.
"""

import logging
from collections.abc import Callable, Iterable
from enum import StrEnum
from math import inf
from threading import Event
from typing import NamedTuple

from msgspec import structs

from webhook import log
from webhook.credentials import token_expiry
from webhook.credentials.provider import Reading, Source
from webhook.errors import ClusterError, InvalidCredential, SourceError
from webhook.pull_secret import credential, keyring, retention
from webhook.pull_secret import manifest as documents
from webhook.pull_secret.credential import Credential, Entry
from webhook.pull_secret.manifest import Document
from webhook.pull_secret.schedule import LEAST, Schedule
from webhook.refresher.pull_secrets import Publisher
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.event_recorder import Reporter
from webhook.refresher.runtime.metrics import Metrics
from webhook.registry.auth import Answer, Registry, Verdict
from webhook.timestamps import moment

_log = logging.getLogger("webhook.refresher")

Asking = Callable[[Credential], Verdict | None]
#: A registry, a user name and a password.
_Question = tuple[str, str, str]

#: How often a source's files are looked at between two passes, and a replica that does not write checks whether it
#: does now, seconds.
_LOOK, _STANDBY = 1.0, 0.2
#: Seconds, and the part of `token_ttl`, for which an accepted credential counts as accepted: less than two passes are
#: apart.
_HOLDS, _HOLDS_PART = 60.0, 0.7
#: The longest that the namespaces are waited for after the first pass; after the others none is.
_SETTLING = 60.0
#: Readings in a row with other secrets each, after which a provider counts as one that issues them at each reading.
_ISSUES = 2
#: Registries that are asked in one pass, each of which may take 50 seconds.
_ASKED = 5
#: Verdicts that are remembered, and keys that a message names.
_REMEMBERED, _NAMED = 100, 5
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
    STANDBY = "standby"
    """Another replica writes, or none yet: the source was read, and no more."""


WELL = frozenset({Outcome.PUBLISHED, Outcome.NONE, Outcome.STANDBY})
_STOOD_BY = frozenset({Outcome.NONE, Outcome.STANDBY})


class Pass(NamedTuple):
    """A pass that is over."""

    outcome: Outcome
    detail: str = ""
    retry_after: float | None = None
    """Seconds that the registry asked to wait."""


_CEASED = Pass(Outcome.STANDBY, "this replica ceased to write")


class _Dated(NamedTuple):
    """A published entry, and the monotonic time at which it ends, however the wall clock is set in the meantime."""

    entry: Entry
    end: float


class Credentials:
    """The loop that reads, checks and publishes."""

    def __init__(  # noqa: PLR0913 - what a pass goes through, each part by name
        self,
        *,
        source: Source | None,
        ask: Asking,
        prefixes: tuple[str, ...],
        leading: Callable[[], bool],
        strict: bool,
        schedule: Schedule,
        publisher: Publisher,
        reporter: Reporter,
        metrics: Metrics,
        clocks: Clocks,
        good: Document | None = None,
    ) -> None:
        """Take the source, or None; `ask` asks the registry, and gives None where it is not to be asked.

        `prefixes` are the configured registries, `leading` tells whether this replica writes. `good` is the last good
        document of an earlier configuration: it stays until there is a better one.
        """
        self._source = source
        self._ask = ask
        self._prefixes = prefixes
        self._leading = leading
        self._strict = strict
        self._schedule = schedule
        self._publisher = publisher
        self._reporter = reporter
        self._metrics = metrics
        self._clocks = clocks
        self._failures = 0
        self.good = publisher.document = good if source else None
        """The last document that was not in doubt, or else the one that an earlier process published."""
        self._published = self._dated_by(good) if good else ()
        self._accepted: bytes | None = None
        """The content that the registry accepted last, as far as this process was told."""
        self._closed = False
        self._term = 0
        """Counts the times that this replica ceased to write."""
        self._adopted: int | None = None
        """The term in which what is published was read from the cluster."""
        self._within: float | None = None
        """Seconds after which the source wants to be read again."""
        self._read: tuple[str, ...] = ()
        """The secrets of the last reading."""
        self._renewed = 0
        """Counts the readings in a row that each gave other secrets than the one before."""
        self._lasting = schedule.period
        """The age, in seconds, up to which published secrets stay although the source gives others each time."""
        self._deferred: float | None = None
        """Seconds after which the registry may be asked."""
        self._ends: float | None = None
        """Monotonic time at which what is published ends."""
        self._listed: float | None = None
        """When all namespaces and Secrets were listed: the net below the watches, once a period."""
        self.settled = False
        """Whether the first pass is over, and every namespace has been looked at since."""
        self.last: Pass | None = None
        """The last pass, None before the first is over."""
        self.refreshed_at = 0.0
        """POSIX time at which that was over."""

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Make passes until told to stop."""
        while not stop.is_set():
            beat()
            term, leads = self._term, self._leading()
            fingerprint = self._source.fingerprint() if self._source else None
            done = self.make_pass(leads=leads)
            if self._closed:
                return
            wait = self._next(done)
            if not self.settled and self._publisher.listed:
                self._publisher.wait_until_idle(_SETTLING)
                self.settled = True
            end = self._clocks.monotonic() + wait
            look = _LOOK if leads else _STANDBY
            while (left := end - self._clocks.monotonic()) > 0 and not stop.wait(min(look, left)):
                beat()
                if term != self._term or leads != self._leading():
                    break
                if self._source and self._source.fingerprint() != fingerprint:
                    _log.info("the source has changed: it is read now")
                    self._failures = 0
                    break

    def cease(self) -> None:
        """Cease to write: before this replica writes again, it reads what another has published."""
        self._term += 1
        self._publisher.document = None

    def close(self) -> None:
        """Stop for good: a refresh that is under way has no effect any more."""
        self._closed = True
        self._term += 1

    def make_pass(self, *, leads: bool = True) -> Pass:
        """Read, check and publish once; a replica that does not lead reads alone."""
        done = self._pass(leads=leads)
        if self._closed:
            return done
        self.refreshed_at = self._clocks.wall()
        self.last = done
        if done.outcome is not Outcome.STANDBY:
            self._metrics.passes.labels(done.outcome.value).inc()
        return done

    def _next(self, done: Pass) -> float:
        """Give the wait until the next pass."""
        dice = self._clocks.dice()
        if done.outcome in WELL:
            self._failures = 0
            self._reporter.settled(None, "CredentialRefused", "SourceFailed", "RegistryUnclear", "ClusterUnreachable")
            wait = self._schedule.after_success(self._life(), dice, self._within)
        elif self._deferred is not None:
            wait = max(LEAST, self._deferred)
        else:
            self._failures += 1
            refused = done.outcome is Outcome.REFUSED
            wait = self._schedule.after_failure(
                self._failures, refused=refused, retry_after=done.retry_after, dice=dice, within=self._within
            )
        _log.info(log.event(f"pass: {done.outcome.value}", detail=done.detail or None, next_in=f"{wait:.0f}s"))
        return wait

    def expired(self) -> bool:
        """Tell whether what is published has ended."""
        life = self._life()
        return life is not None and life <= 0

    def published(self) -> bool:
        """Tell whether a pass has been made that gave something to publish, or found that there is nothing.

        A replica that ceased to write because the API server is away still has what it published.
        """
        if self._publisher.document is not None or self.good is not None:
            return True
        return self.last is not None and self.last.outcome in _STOOD_BY

    def _life(self) -> float | None:
        return None if self._ends is None else self._ends - self._clocks.monotonic()

    def _pass(self, *, leads: bool) -> Pass:
        term = self._term
        if leads:
            self._adopt()
        self._deferred = None
        try:
            done = self._read_and_publish(term) if leads else self._read_alone()
        except (SourceError, InvalidCredential) as error:
            done = _CEASED if self._closed else self._failed(error)
        if leads and term == self._term and self._publisher.document is None and self.good is not None:
            self._publisher.publish(self.good)
        now = self._clocks.monotonic()
        if self._closed:
            return done
        if self._listed is not None and now - self._listed < self._schedule.period / 2:
            return done
        try:
            self._publisher.relist()
        except ClusterError as error:
            if self._closed:
                return done
            self._reporter.warn("ClusterUnreachable", str(error), event=False)
            return Pass(Outcome.CLUSTER, str(error)) if done.outcome in WELL else done
        self._listed = now
        self._publisher.look_everywhere()
        return done

    def _failed(self, error: SourceError | InvalidCredential) -> Pass:
        kind = "invalid" if isinstance(error, InvalidCredential) else "none"
        self._metrics.source_failures.labels(kind).inc()
        self._reporter.warn("SourceFailed", str(error))
        return Pass(Outcome.SOURCE, str(error))

    def _adopt(self) -> None:
        """Read once a term what is published: it stays until there is a better one, whoever published it."""
        if self._adopted == self._term or self._source is None:
            return
        try:
            if not self._publisher.listed:
                self._publisher.relist()
                self._listed = self._clocks.monotonic()
                self._publisher.look_everywhere()
            published = self._publisher.published()
        except ClusterError as error:
            if self._closed:
                return
            _log.info("what is published is not known: %s", error)
            return
        self._adopted = self._term
        if published is not None and (self.good is None or self.good.content != published.content):
            self.good = documents.adopted(published)
            self._published = self._dated_by(self.good)

    def _dated_by(self, document: Document) -> tuple[_Dated, ...]:
        """Read the entries of a document of ours. The end that it states is taken for that of each but tokens."""
        end = moment(document.expires or "")
        found = documents.entries(document)
        return self._dated(structs.replace(entry, expires=token_expiry.end(entry.password) or end) for entry in found)

    def _dated(self, entries: Iterable[Entry]) -> tuple[_Dated, ...]:
        ahead = self._clocks.wall() - self._clocks.monotonic()
        return tuple(_Dated(entry, inf if entry.expires is None else entry.expires - ahead) for entry in entries)

    def _read_alone(self) -> Pass:
        if self._source is not None:
            self._within = self._source.read().within
        return Pass(Outcome.STANDBY, "this replica does not write")

    def _read_and_publish(self, term: int) -> Pass:
        if self._source is None:
            return Pass(Outcome.NONE, "no registry, or no credential for it, is configured")
        reading = self._take_reading(self._source, term)
        if reading is None:
            return _CEASED
        kept = self._kept(reading)
        verdict = self._ask(reading.credential)
        if term != self._term:
            return _CEASED
        answer = self._judge(verdict)
        whole = _with(reading.credential, tuple(one.entry for one in kept))
        dated = (*self._dated(reading.credential.entries), *kept)
        if verdict is None or answer is Answer.ACCEPTED:
            document = self._publish(whole, dated)
            self._accepted = document.content if verdict is not None else None
            done = Pass(Outcome.PUBLISHED, verdict.detail if verdict else "")
        elif answer is Answer.UNCLEAR:
            if self._strict:
                self._publish_in_doubt(whole)
            else:
                self._publish(whole, dated)
            self._reporter.warn("RegistryUnclear", verdict.detail)
            done = Pass(Outcome.REGISTRY, verdict.detail, verdict.retry_after)
        else:
            refusal = self._refusal(verdict, reading, whole)
            if not self._strict:
                self._publish_in_doubt(whole)
            self._reporter.warn("CredentialRefused", refusal)
            done = Pass(Outcome.REFUSED, verdict.detail, verdict.retry_after)
        failure = reading.failure or _lack(kept)
        if failure is None:
            return done
        failed = self._failed(failure)
        return failed if done.outcome in WELL else done

    def _take_reading(self, source: Source, term: int) -> Reading | None:
        """Read the source; None where this replica ceased to write meanwhile."""
        reading = source.read()
        if term != self._term:
            return None
        self._within = reading.within
        for note in reading.notes:
            _log.info("the source: %s", note)
        return self._steady(reading)

    def _steady(self, reading: Reading) -> Reading:
        """Give a reading with the published secrets in place of newer ones of the same users, while they last.

        A provider that does not state when a secret ends is read often, and one that issues another at each reading
        would have every Secret written as often. What is published stays until half its life is over, as far as that
        is known, or it is `token_ttl` old, or the registry no longer accepts it; after that, half the age at which it
        was refused. A secret that changed once was changed by somebody, and is published.
        """
        secrets = tuple(entry.password for entry in reading.credential.entries)
        self._renewed = self._renewed + 1 if self._read and secrets != self._read else 0
        self._read = secrets
        since = moment(self.good.refreshed) if self.good else None
        is_asked = len(secrets) <= _ASKED
        if reading.within is None or self._renewed < _ISSUES or since is None or not is_asked:
            return reading
        now = self._clocks.wall()
        known = {(one.entry.key, one.entry.username): one.entry for one in self._published}
        entries = tuple(known.get((entry.key, entry.username), entry) for entry in reading.credential.entries)
        ends = [entry.expires for entry in entries if entry.expires is not None]
        steady = Credential(entries, min(ends, default=None), bool(ends))
        age = now - since
        if not 0 <= age < min(self._lasting, min(ends, default=inf) - now):
            return reading
        verdict = self._ask(steady)
        if verdict is not None and verdict.answer is Answer.REFUSED:
            self._lasting = age / 2
        return reading._replace(credential=steady) if verdict and verdict.answer is Answer.ACCEPTED else reading

    def _kept(self, reading: Reading) -> tuple[_Dated, ...]:
        """Give the published entries that a reading lacks and that have not ended."""
        now = self._clocks.monotonic()
        valid = {one.entry: one for one in self._published if one.end > now}
        kept = retention.kept(valid, reading.credential.entries, self._prefixes, reading.unusable)
        return tuple(valid[entry] for entry in kept)

    def _judge(self, verdict: Verdict | None) -> Answer:
        """Count an answer. A credential that may not be tried yet is treated as a refused one: others were refused."""
        answer = verdict.answer if verdict else Answer.ACCEPTED
        if verdict is not None and answer is Answer.DEFERRED:
            self._deferred = verdict.retry_after
        elif verdict is not None:
            self._metrics.registry_answers.labels(answer.value).inc()
        self._metrics.refused.set(answer in {Answer.REFUSED, Answer.DEFERRED})
        if answer in {Answer.ACCEPTED, Answer.UNCLEAR}:
            self._reporter.settled(None, "CredentialRefused")
        return answer

    def _refusal(self, verdict: Verdict, reading: Reading, whole: Credential) -> str:
        refused = {documents.compose(one, 0).content for one in (reading.credential, whole)}
        published = self.good or self._publisher.document
        if published is None:
            stays = "nothing is published" if self._strict else "it is published only where there is none yet"
        elif published.content in refused:
            name = "the refused one" if verdict.answer is Answer.REFUSED else "the same one"
            stays = f"the published credential is {name}"
        elif published.content == self._accepted:
            stays = "the published one stays, which the registry accepted"
        else:
            stays = "the published one stays; it is not known whether the registry accepts that"
        found = [
            f"; {odd} (for {entry.key})"
            for entry in reading.credential.entries[:_NAMED]
            for odd in credential.suspicions(entry)
        ]
        return f"{verdict.detail}: {stays}{''.join(dict.fromkeys(found))}"

    def _publish(self, credential: Credential, dated: tuple[_Dated, ...]) -> Document:
        document = documents.compose(credential, self._clocks.wall())
        known = self.good
        if known is not None and document.content == known.content:
            # The same as before, and published since then.
            same = structs.replace(document, refreshed=known.refreshed)
            document = known if same == known else same
        self._end(credential)
        self._published = dated
        self.good = document
        self._metrics.refreshed.set(self._clocks.wall())
        self._put(document)
        return document

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


def _lack(kept: tuple[_Dated, ...]) -> SourceError | None:
    """Say that a reading lacks what is published, if it does."""
    keys = ", ".join(one.entry.key for one in kept[:_NAMED])
    return SourceError(f"no new credential for {keys}: what is published for it stays") if kept else None


def _with(credential: Credential, kept: tuple[Entry, ...]) -> Credential:
    """Add entries that stay to a credential; the first end counts."""
    ends = [(entry.expires, True) for entry in kept if entry.expires is not None]
    if credential.expires is not None:
        ends.append((credential.expires, credential.told))
    return Credential((*credential.entries, *kept), *min(ends, default=(None, False)))


class Answers:
    """What registries said of credentials, while it holds; it outlives a change of the configuration."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none. `clock` gives monotonic seconds."""
        self._clock = clock
        self._known: dict[_Question, tuple[Verdict, float]] = {}

    def ask(self, registry: Registry, question: _Question, period: float) -> Verdict:
        """Give the verdict on a credential: a refusal holds for `period` seconds, an acceptance until the next pass."""
        verdict, since = self._known.get(question, (None, 0.0))
        age = self._clock() - since
        holds = period if verdict and verdict.answer is Answer.REFUSED else min(_HOLDS, period * _HOLDS_PART)
        if verdict is not None and age < holds:
            return verdict
        verdict = registry.check(*question)
        self._known.pop(question, None)
        if verdict.answer in {Answer.ACCEPTED, Answer.REFUSED}:
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[question] = (verdict, self._clock())
        return verdict


def asking(registry: Registry, prefixes: tuple[str, ...], answers: Answers, period: float) -> Asking:
    """Make what asks about a credential: for each of our registries, the entry that kubelet would use there.

    The worst answer counts: refused by one, or unclear at one. None where no entry is for any of our registries. They
    are asked in this order, and no more of them than a pass has time for. What one said in the last `period` seconds,
    it is not asked again.
    """

    def ask(credential: Credential) -> Verdict | None:
        worst: Verdict | None = None
        asked: set[_Question] = set()
        for prefix in prefixes:
            host = prefix.partition("/")[0]
            for entry in keyring.own(credential.entries, f"{prefix}/image")[:1]:
                question = (host, entry.username, entry.password)
                if question in asked or len(asked) == _ASKED:
                    continue
                asked.add(question)
                verdict = answers.ask(registry, question, period)
                if worst is None or _WORSE[verdict.answer] > _WORSE[worst.answer]:
                    worst = verdict
        return worst

    return ask


_WORSE = {Answer.ACCEPTED: 0, Answer.UNCLEAR: 1, Answer.DEFERRED: 2, Answer.REFUSED: 3}
