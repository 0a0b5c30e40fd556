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
from webhook.credentials.provider import CredentialProvider, CredentialResult
from webhook.errors import ClusterError, CredentialProviderError, InvalidCredential
from webhook.pull_secret import credential, keyring, retention
from webhook.pull_secret import manifest as documents
from webhook.pull_secret.credential import Credential, Entry
from webhook.pull_secret.manifest import PullSecret
from webhook.pull_secret.schedule import MIN_DELAY, Schedule
from webhook.refresher.pull_secrets import PullSecretController
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.registry.auth import Answer, CredentialChecker, Verdict
from webhook.timestamps import parse_rfc3339

_log = logging.getLogger("webhook.refresher")

CredentialCheck = Callable[[Credential], Verdict | None]
#: A registry, a user name and a password.
_Question = tuple[str, str, str]

#: How often a source's files are looked at between two passes, and a replica that does not write checks whether it
#: does now, seconds.
_POLL_INTERVAL, _STANDBY_INTERVAL = 1.0, 0.2
#: Seconds, and the part of `token_ttl`, for which an accepted credential counts as accepted: less than two passes are
#: apart.
_ACCEPTED_FOR, _ACCEPTED_SHARE = 60.0, 0.7
#: The longest that the namespaces are waited for after the first pass; after the others none is.
_SYNC_TIMEOUT = 60.0
#: Readings in a row with other secrets each, after which a provider counts as one that issues them at each reading.
_ISSUED_EACH_TIME = 2
#: Registries that are asked in one pass, each of which may take 50 seconds.
_MAX_REGISTRIES = 5
#: Verdicts that are remembered, and keys that a message names.
_MAX_VERDICTS, _NAMED = 100, 5
#: The longest that a pass may take: a helper's answers for several registries, and theirs.
STALL_TIMEOUT = 900.0


class Outcome(StrEnum):
    """What came of a pass."""

    PUBLISHED = "published"
    NONE = "none"
    """No credential is configured."""
    PROVIDER = "provider"
    """The source gave none."""
    REGISTRY = "registry"
    """The registry could not be asked."""
    REFUSED = "refused"
    """The registry refused it."""
    CLUSTER = "cluster"
    """The namespaces could not be listed."""
    STANDBY = "standby"
    """Another replica writes, or none yet: the source was read, and no more."""


SUCCESSFUL = frozenset({Outcome.PUBLISHED, Outcome.NONE, Outcome.STANDBY})
_NOTHING_TO_PUBLISH = frozenset({Outcome.NONE, Outcome.STANDBY})


class RefreshResult(NamedTuple):
    """A pass that is over."""

    outcome: Outcome
    detail: str = ""
    retry_after: float | None = None
    """Seconds that the registry asked to wait."""


_STOPPED = RefreshResult(Outcome.STANDBY, "this replica ceased to write")


class _Dated(NamedTuple):
    """A published entry, and the monotonic time at which it ends, however the wall clock is set in the meantime."""

    entry: Entry
    end: float


class CredentialRefresher:
    """The loop that reads, checks and publishes."""

    def __init__(  # noqa: PLR0913 - what a pass goes through, each part by name
        self,
        *,
        provider: CredentialProvider | None,
        ask: CredentialCheck,
        prefixes: tuple[str, ...],
        leading: Callable[[], bool],
        strict: bool,
        schedule: Schedule,
        pull_secrets: PullSecretController,
        events: EventRecorder,
        metrics: Metrics,
        clocks: Clocks,
        last_good: PullSecret | None = None,
    ) -> None:
        """Take the source, or None; `ask` asks the registry, and gives None where it is not to be asked.

        `prefixes` are the configured registries, `leading` tells whether this replica writes. `last_good` is the last
        good document of an earlier configuration: it stays until there is a better one.
        """
        self._provider = provider
        self._ask = ask
        self._prefixes = prefixes
        self._leading = leading
        self._strict = strict
        self._schedule = schedule
        self._pull_secrets = pull_secrets
        self._events = events
        self._metrics = metrics
        self._clocks = clocks
        self._failures = 0
        self.last_good = pull_secrets.pull_secret = last_good if provider else None
        """The last document that was not in doubt, or else the one that an earlier process published."""
        self._published = self._dated_by(last_good) if last_good else ()
        self._accepted: bytes | None = None
        """The content that the registry accepted last, as far as this process was told."""
        self._closed = False
        self._term = 0
        """Counts the times that this replica ceased to write."""
        self._adopted: int | None = None
        """The term in which what is published was read from the cluster."""
        self._refresh_after: float | None = None
        """Seconds after which the source wants to be read again."""
        self._last_secrets: tuple[str, ...] = ()
        """The secrets of the last reading."""
        self._renewed = 0
        """Counts the readings in a row that each gave other secrets than the one before."""
        self._max_age = schedule.period
        """The age, in seconds, up to which published secrets stay although the source gives others each time."""
        self._deferred: float | None = None
        """Seconds after which the registry may be asked."""
        self._ends: float | None = None
        """Monotonic time at which what is published ends."""
        self._listed: float | None = None
        """When all namespaces and Secrets were listed: the net below the watches, once a period."""
        self.synced = False
        """Whether the first pass is over, and every namespace has been looked at since."""
        self.last_result: RefreshResult | None = None
        """The last pass, None before the first is over."""
        self.refreshed_at = 0.0
        """POSIX time at which that was over."""

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Make passes until told to stop."""
        while not stop.is_set():
            beat()
            term, leads = self._term, self._leading()
            fingerprint = self._provider.fingerprint() if self._provider else None
            done = self.refresh(leads=leads)
            if self._closed:
                return
            wait = self._next(done)
            if not self.synced and self._pull_secrets.synced:
                self._pull_secrets.wait_until_idle(_SYNC_TIMEOUT)
                self.synced = True
            end = self._clocks.monotonic() + wait
            look = _POLL_INTERVAL if leads else _STANDBY_INTERVAL
            while (left := end - self._clocks.monotonic()) > 0 and not stop.wait(min(look, left)):
                beat()
                if term != self._term or leads != self._leading():
                    break
                if self._provider and self._provider.fingerprint() != fingerprint:
                    _log.info("the source has changed: it is read now")
                    self._failures = 0
                    break

    def stop_publishing(self) -> None:
        """Cease to write: before this replica writes again, it reads what another has published."""
        self._term += 1
        self._pull_secrets.pull_secret = None

    def close(self) -> None:
        """Stop for good: a refresh that is under way has no effect any more."""
        self._closed = True
        self._term += 1

    def refresh(self, *, leads: bool = True) -> RefreshResult:
        """Read, check and publish once; a replica that does not lead reads alone."""
        done = self._refresh(leads=leads)
        if self._closed:
            return done
        self.refreshed_at = self._clocks.wall()
        self.last_result = done
        if done.outcome is not Outcome.STANDBY:
            self._metrics.passes.labels(done.outcome.value).inc()
        return done

    def _next(self, result: RefreshResult) -> float:
        """Give the wait until the next pass."""
        dice = self._clocks.random()
        if result.outcome in SUCCESSFUL:
            self._failures = 0
            self._events.resolved(None, "CredentialRefused", "ProviderFailed", "RegistryUnclear", "ClusterUnreachable")
            wait = self._schedule.after_success(self._life(), dice, self._refresh_after)
        elif self._deferred is not None:
            wait = max(MIN_DELAY, self._deferred)
        else:
            self._failures += 1
            refused = result.outcome is Outcome.REFUSED
            wait = self._schedule.after_failure(
                self._failures,
                refused=refused,
                retry_after=result.retry_after,
                jitter=dice,
                refresh_after=self._refresh_after,
            )
        _log.info(log.event(f"pass: {result.outcome.value}", detail=result.detail or None, next_in=f"{wait:.0f}s"))
        return wait

    def expired(self) -> bool:
        """Tell whether what is published has ended."""
        life = self._life()
        return life is not None and life <= 0

    def published(self) -> bool:
        """Tell whether a pass has been made that gave something to publish, or found that there is nothing.

        A replica that ceased to write because the API server is away still has what it published.
        """
        if self._pull_secrets.pull_secret is not None or self.last_good is not None:
            return True
        return self.last_result is not None and self.last_result.outcome in _NOTHING_TO_PUBLISH

    def _life(self) -> float | None:
        return None if self._ends is None else self._ends - self._clocks.monotonic()

    def _refresh(self, *, leads: bool) -> RefreshResult:
        term = self._term
        if leads:
            self._adopt()
        self._deferred = None
        try:
            done = self._read_and_publish(term) if leads else self._read_only()
        except (CredentialProviderError, InvalidCredential) as error:
            done = _STOPPED if self._closed else self._failed(error)
        if leads and term == self._term and self._pull_secrets.pull_secret is None and self.last_good is not None:
            self._pull_secrets.publish(self.last_good)
        now = self._clocks.monotonic()
        if self._closed:
            return done
        if self._listed is not None and now - self._listed < self._schedule.period / 2:
            return done
        try:
            self._pull_secrets.relist()
        except ClusterError as error:
            if self._closed:
                return done
            self._events.warning("ClusterUnreachable", str(error), event=False)
            return RefreshResult(Outcome.CLUSTER, str(error)) if done.outcome in SUCCESSFUL else done
        self._listed = now
        self._pull_secrets.enqueue_all()
        return done

    def _failed(self, error: CredentialProviderError | InvalidCredential) -> RefreshResult:
        kind = "invalid" if isinstance(error, InvalidCredential) else "none"
        self._metrics.source_failures.labels(kind).inc()
        self._events.warning("ProviderFailed", str(error))
        return RefreshResult(Outcome.PROVIDER, str(error))

    def _adopt(self) -> None:
        """Read once a term what is published: it stays until there is a better one, whoever published it."""
        if self._adopted == self._term or self._provider is None:
            return
        try:
            if not self._pull_secrets.synced:
                self._pull_secrets.relist()
                self._listed = self._clocks.monotonic()
                self._pull_secrets.enqueue_all()
            published = self._pull_secrets.published()
        except ClusterError as error:
            if self._closed:
                return
            _log.info("what is published is not known: %s", error)
            return
        self._adopted = self._term
        if published is not None and (self.last_good is None or self.last_good.content != published.content):
            self.last_good = documents.from_published(published)
            self._published = self._dated_by(self.last_good)

    def _dated_by(self, pull_secret: PullSecret) -> tuple[_Dated, ...]:
        """Read the entries of a document of ours. The end that it states is taken for that of each but tokens."""
        end = parse_rfc3339(pull_secret.expires or "")
        found = documents.entries(pull_secret)
        return self._dated(
            structs.replace(entry, expires=token_expiry.expiry(entry.password) or end) for entry in found
        )

    def _dated(self, entries: Iterable[Entry]) -> tuple[_Dated, ...]:
        ahead = self._clocks.wall() - self._clocks.monotonic()
        return tuple(_Dated(entry, inf if entry.expires is None else entry.expires - ahead) for entry in entries)

    def _read_only(self) -> RefreshResult:
        if self._provider is not None:
            self._refresh_after = self._provider.read().refresh_after
        return RefreshResult(Outcome.STANDBY, "this replica does not write")

    def _read_and_publish(self, term: int) -> RefreshResult:
        if self._provider is None:
            return RefreshResult(Outcome.NONE, "no registry, or no credential for it, is configured")
        reading = self._read_provider(self._provider, term)
        if reading is None:
            return _STOPPED
        kept = self._retained(reading)
        verdict = self._ask(reading.credential)
        if term != self._term:
            return _STOPPED
        answer = self._record_verdict(verdict)
        whole = _with(reading.credential, tuple(one.entry for one in kept))
        dated = (*self._dated(reading.credential.entries), *kept)
        if verdict is None or answer is Answer.ACCEPTED:
            document = self._publish(whole, dated)
            self._accepted = document.content if verdict is not None else None
            result = RefreshResult(Outcome.PUBLISHED, verdict.detail if verdict else "")
        elif answer is Answer.UNCLEAR:
            if self._strict:
                self._publish_unverified(whole)
            else:
                self._publish(whole, dated)
            self._events.warning("RegistryUnclear", verdict.detail)
            result = RefreshResult(Outcome.REGISTRY, verdict.detail, verdict.retry_after)
        else:
            refusal = self._refusal(verdict, reading, whole)
            if not self._strict:
                self._publish_unverified(whole)
            self._events.warning("CredentialRefused", refusal)
            result = RefreshResult(Outcome.REFUSED, verdict.detail, verdict.retry_after)
        failure = reading.failure or _lack(kept)
        if failure is None:
            return result
        failed = self._failed(failure)
        return failed if result.outcome in SUCCESSFUL else result

    def _read_provider(self, provider: CredentialProvider, term: int) -> CredentialResult | None:
        """Read the source; None where this replica ceased to write meanwhile."""
        reading = provider.read()
        if term != self._term:
            return None
        self._refresh_after = reading.refresh_after
        for note in reading.notes:
            _log.info("the source: %s", note)
        return self._with_published_secrets(reading)

    def _with_published_secrets(self, result: CredentialResult) -> CredentialResult:
        """Give a reading with the published secrets in place of newer ones of the same users, while they last.

        A provider that does not state when a secret ends is read often, and one that issues another at each reading
        would have every Secret written as often. What is published stays until half its life is over, as far as that
        is known, or it is `token_ttl` old, or the registry no longer accepts it; after that, half the age at which it
        was refused. A secret that changed once was changed by somebody, and is published.
        """
        secrets = tuple(entry.password for entry in result.credential.entries)
        self._renewed = self._renewed + 1 if self._last_secrets and secrets != self._last_secrets else 0
        self._last_secrets = secrets
        since = parse_rfc3339(self.last_good.refreshed) if self.last_good else None
        is_asked = len(secrets) <= _MAX_REGISTRIES
        if result.refresh_after is None or self._renewed < _ISSUED_EACH_TIME or since is None or not is_asked:
            return result
        now = self._clocks.wall()
        known = {(one.entry.key, one.entry.username): one.entry for one in self._published}
        entries = tuple(known.get((entry.key, entry.username), entry) for entry in result.credential.entries)
        ends = [entry.expires for entry in entries if entry.expires is not None]
        steady = Credential(entries, min(ends, default=None), bool(ends))
        age = now - since
        if not 0 <= age < min(self._max_age, min(ends, default=inf) - now):
            return result
        verdict = self._ask(steady)
        if verdict is not None and verdict.answer is Answer.REFUSED:
            self._max_age = age / 2
        return result._replace(credential=steady) if verdict and verdict.answer is Answer.ACCEPTED else result

    def _retained(self, result: CredentialResult) -> tuple[_Dated, ...]:
        """Give the published entries that a reading lacks and that have not ended."""
        now = self._clocks.monotonic()
        valid = {one.entry: one for one in self._published if one.end > now}
        kept = retention.retained(valid, result.credential.entries, self._prefixes, result.unusable)
        return tuple(valid[entry] for entry in kept)

    def _record_verdict(self, verdict: Verdict | None) -> Answer:
        """Count an answer. A credential that may not be tried yet is treated as a refused one: others were refused."""
        answer = verdict.answer if verdict else Answer.ACCEPTED
        if verdict is not None and answer is Answer.DEFERRED:
            self._deferred = verdict.retry_after
        elif verdict is not None:
            self._metrics.registry_answers.labels(answer.value).inc()
        self._metrics.refused.set(answer in {Answer.REFUSED, Answer.DEFERRED})
        if answer in {Answer.ACCEPTED, Answer.UNCLEAR}:
            self._events.resolved(None, "CredentialRefused")
        return answer

    def _refusal(self, verdict: Verdict, result: CredentialResult, whole: Credential) -> str:
        refused = {documents.build(one, 0).content for one in (result.credential, whole)}
        published = self.last_good or self._pull_secrets.pull_secret
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
            for entry in result.credential.entries[:_NAMED]
            for odd in credential.likely_mistakes(entry)
        ]
        return f"{verdict.detail}: {stays}{''.join(dict.fromkeys(found))}"

    def _publish(self, credential: Credential, dated: tuple[_Dated, ...]) -> PullSecret:
        document = documents.build(credential, self._clocks.wall())
        known = self.last_good
        if known is not None and document.content == known.content:
            # The same as before, and published since then.
            same = structs.replace(document, refreshed=known.refreshed)
            document = known if same == known else same
        self._end(credential)
        self._published = dated
        self.last_good = document
        self._metrics.refreshed.set(self._clocks.wall())
        self._put(document)
        return document

    def _publish_unverified(self, credential: Credential) -> None:
        """Publish where there is none yet, unless there was a good one: that stays."""
        if self.last_good is None:
            document = documents.build(credential, self._clocks.wall())
            doubted = structs.replace(document, create_only=True)
            before = self._pull_secrets.pull_secret
            if before is None or before.content != doubted.content:
                self._end(credential)
                self._put(doubted)

    def _put(self, pull_secret: PullSecret) -> None:
        if pull_secret is not self._pull_secrets.pull_secret:
            self._pull_secrets.publish(pull_secret)

    def _end(self, credential: Credential) -> None:
        if credential.expires is None:
            self._ends = None
            self._metrics.expiry.set(float("inf"))
        else:
            self._ends = self._clocks.monotonic() + credential.expires - self._clocks.wall()
            self._metrics.expiry.set(credential.expires)


def _lack(kept: tuple[_Dated, ...]) -> CredentialProviderError | None:
    """Say that a reading lacks what is published, if it does."""
    keys = ", ".join(one.entry.key for one in kept[:_NAMED])
    return CredentialProviderError(f"no new credential for {keys}: what is published for it stays") if kept else None


def _with(credential: Credential, kept: tuple[Entry, ...]) -> Credential:
    """Add entries that stay to a credential; the first end counts."""
    ends = [(entry.expires, True) for entry in kept if entry.expires is not None]
    if credential.expires is not None:
        ends.append((credential.expires, credential.expiry_stated))
    return Credential((*credential.entries, *kept), *min(ends, default=(None, False)))


class VerdictCache:
    """What registries said of credentials, while it holds; it outlives a change of the configuration."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none. `clock` gives monotonic seconds."""
        self._clock = clock
        self._verdicts: dict[_Question, tuple[Verdict, float]] = {}

    def check(self, registry: CredentialChecker, question: _Question, period: float) -> Verdict:
        """Give the verdict on a credential: a refusal holds for `period` seconds, an acceptance until the next pass."""
        verdict, since = self._verdicts.get(question, (None, 0.0))
        age = self._clock() - since
        holds = period if verdict and verdict.answer is Answer.REFUSED else min(_ACCEPTED_FOR, period * _ACCEPTED_SHARE)
        if verdict is not None and age < holds:
            return verdict
        verdict = registry.check(*question)
        self._verdicts.pop(question, None)
        if verdict.answer in {Answer.ACCEPTED, Answer.REFUSED}:
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.pop(next(iter(self._verdicts)))
            self._verdicts[question] = (verdict, self._clock())
        return verdict


def credential_check(
    registry: CredentialChecker, prefixes: tuple[str, ...], answers: VerdictCache, period: float
) -> CredentialCheck:
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
                if question in asked or len(asked) == _MAX_REGISTRIES:
                    continue
                asked.add(question)
                verdict = answers.check(registry, question, period)
                if worst is None or _WORSE[verdict.answer] > _WORSE[worst.answer]:
                    worst = verdict
        return worst

    return ask


_WORSE = {Answer.ACCEPTED: 0, Answer.UNCLEAR: 1, Answer.DEFERRED: 2, Answer.REFUSED: 3}
