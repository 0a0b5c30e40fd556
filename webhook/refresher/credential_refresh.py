"""The loop that reads a credential from its provider, checks it with the registry and publishes it.

Only the leader asks the registry: all replicas together would multiply the logins with a wrong password.
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
from webhook.pull_secret import credential, manifest, retention
from webhook.pull_secret.credential import Credential, Entry
from webhook.pull_secret.manifest import PullSecret
from webhook.pull_secret.schedule import MIN_DELAY, Schedule
from webhook.refresher.credential_check import MAX_REGISTRIES, CredentialCheck
from webhook.refresher.pull_secrets import PullSecretController
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.event_reasons import EventReason
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.registry.auth import Answer, Verdict
from webhook.registry.failure import Failure
from webhook.timestamps import parse_rfc3339

_log = logging.getLogger("webhook.refresher")

#: Seconds between two checks for changed files and leadership: by the leader, and by a standby replica.
_POLL_INTERVAL, _STANDBY_INTERVAL = 1.0, 0.2
#: Seconds to wait for all namespaces after the first refresh; later refreshes do not wait.
_SYNC_TIMEOUT = 60.0
#: Changes of the secrets in a row after which a provider counts as one that issues new ones at each reading.
_ISSUED_EACH_TIME = 2
#: Keys that a message names.
_NAMED = 5
#: The longest time between two heartbeats, seconds: a helper answers for several registries, then each of them does.
STALL_TIMEOUT = 900.0


class Outcome(StrEnum):
    """The result of a refresh."""

    PUBLISHED = "published"
    NONE = "none"
    """No credential is configured."""
    PROVIDER = "provider"
    """The provider returned no usable credential."""
    REGISTRY = "registry"
    """The registry could not be asked, or its response proved nothing."""
    REFUSED = "refused"
    """The registry refused the credential, or is not asked because it refused others."""
    CLUSTER = "cluster"
    """The namespaces could not be listed."""
    STANDBY = "standby"
    """This replica does not write: it only read the provider."""


SUCCESSFUL = frozenset({Outcome.PUBLISHED, Outcome.NONE, Outcome.STANDBY})


class RefreshResult(NamedTuple):
    """A completed refresh."""

    outcome: Outcome
    detail: str = ""
    retry_after: float | None = None
    """Seconds that the registry asked to wait."""
    failure: Failure | None = None
    """Why the registry gave no usable answer."""


_PROBLEMS = (
    EventReason.CREDENTIAL_REFUSED,
    EventReason.PROVIDER_FAILED,
    EventReason.REGISTRY_UNCLEAR,
    EventReason.CLUSTER_UNREACHABLE,
)
_STOPPED = RefreshResult(Outcome.STANDBY, "stopped leading during the refresh")


class _Dated(NamedTuple):
    """A published entry with the monotonic time at which it ends, which setting the wall clock does not move."""

    entry: Entry
    end: float


class CredentialRefresher:
    """Reads, checks and publishes the credential on a schedule.

    Without a provider there is nothing to publish. `prefixes` are the configured registries, which `check` asks.
    `leading` returns whether this replica writes. `last_good` is what an earlier configuration published: it stays
    published until there is something better.
    """

    def __init__(  # noqa: PLR0913 - dependencies, each by name
        self,
        *,
        provider: CredentialProvider | None,
        check: CredentialCheck,
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
        self._provider = provider
        self._check = check
        self._prefixes = prefixes
        self._leading = leading
        self._strict = strict
        self._schedule = schedule
        self._pull_secrets = pull_secrets
        self._events = events
        self._metrics = metrics
        self._clocks = clocks
        self._failures = 0
        self.last_good = last_good
        """The last pull secret that was verified, or else the one that an earlier process published."""
        self._published = self._dated_by(last_good) if last_good else ()
        self._accepted: bytes | None = None
        """The content that the registry accepted last, as far as this process knows."""
        self._closed = False
        self._term = 0
        """Counts how often this replica stopped writing."""
        self._adopted: int | None = None
        """The term in which the published content was read from the cluster."""
        self._refresh_after: float | None = None
        """Seconds after which to read the provider again."""
        self._last_secrets: tuple[str, ...] = ()
        """The secrets of the last reading."""
        self._renewed = 0
        """Readings in a row whose secrets differ from those of the one before."""
        self._max_age = schedule.period
        """Age in seconds up to which published secrets stay although the provider issues others at each reading."""
        self._deferred: float | None = None
        """Seconds until the registry may be asked."""
        self._ends: float | None = None
        """Monotonic time at which the published credential ends."""
        self.synced = False
        """Whether the first refresh is complete, and every namespace has been reconciled since."""
        self.last_result: RefreshResult | None = None
        """The last refresh, None before the first is complete."""
        self.refreshed_at = 0.0
        """POSIX time of its completion."""

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Refresh until told to stop."""
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
            tick = _POLL_INTERVAL if leads else _STANDBY_INTERVAL
            while (left := end - self._clocks.monotonic()) > 0 and not stop.wait(min(tick, left)):
                beat()
                if term != self._term or leads != self._leading():
                    break
                if self._provider and self._provider.fingerprint() != fingerprint:
                    _log.info(log.event("credential provider changed, reading it now"))
                    self._failures = 0
                    break

    def stop_publishing(self) -> None:
        """Stop writing: before this replica writes again, it reads what another has published."""
        self._term += 1

    def close(self) -> None:
        """Stop for good: a refresh in progress has no further effect."""
        self._closed = True
        self._term += 1

    def refresh(self, *, leads: bool = True) -> RefreshResult:
        """Read, check and publish once; a replica that does not lead only reads."""
        done = self._refresh(leads=leads)
        if self._closed:
            return done
        self.refreshed_at = self._clocks.wall()
        self.last_result = done
        if done.outcome is not Outcome.STANDBY:
            self._metrics.refreshes.labels(done.outcome.value).inc()
        return done

    def _next(self, done: RefreshResult) -> float:
        """Return the seconds until the next refresh."""
        random = self._clocks.random()
        if done.outcome in SUCCESSFUL:
            self._failures = 0
            self._events.resolved(None, *_PROBLEMS)
            wait = self._schedule.after_success(self._life(), random, self._refresh_after)
        elif self._deferred is not None:
            wait = max(MIN_DELAY, self._deferred)
        else:
            self._failures += 1
            refused = done.outcome is Outcome.REFUSED
            wait = self._schedule.after_failure(
                self._failures,
                refused=refused,
                retry_after=done.retry_after,
                jitter=random,
                refresh_after=self._refresh_after,
            )
        about = {"outcome": done.outcome.value, "detail": done.detail or None, "next_in": f"{wait:.0f}s"}
        if done.outcome is Outcome.STANDBY:
            _log.debug(log.event("credential read by a replica that is not the leader", **about))
        elif done.outcome in SUCCESSFUL:
            _log.info(log.event("credential refresh completed", **about))
        else:
            _log.warning(log.event("credential refresh failed", **about))
        return wait

    def expired(self) -> bool:
        """Whether the published credential has ended."""
        life = self._life()
        return life is not None and life <= 0

    def has_result(self) -> bool:
        """Whether there is something to publish, or a refresh found that there is nothing.

        A replica that stopped writing because the API server is unreachable still has what it published.
        """
        if self._pull_secrets.pull_secret is not None or self.last_good is not None:
            return True
        return self.last_result is not None and self.last_result.outcome in {Outcome.NONE, Outcome.STANDBY}

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
        failure = None if self._closed else self._list_failure()
        if failure is None or self._closed:
            return done
        self._events.report(EventReason.CLUSTER_UNREACHABLE, failure, event=False)
        return RefreshResult(Outcome.CLUSTER, failure) if done.outcome in SUCCESSFUL else done

    def _list_failure(self) -> str | None:
        """Return why the namespaces cannot be listed; list them if the reflectors have not."""
        if not self._pull_secrets.synced:
            try:
                self._pull_secrets.relist()
            except ClusterError as error:
                return str(error)
        return self._pull_secrets.list_failure

    def _failed(self, error: CredentialProviderError | InvalidCredential) -> RefreshResult:
        kind = "invalid" if isinstance(error, InvalidCredential) else "none"
        self._metrics.provider_failures.labels(kind).inc()
        self._events.report(EventReason.PROVIDER_FAILED, f"The credential provider failed, retrying: {error.one_line}.")
        return RefreshResult(Outcome.PROVIDER, error.one_line)

    def _adopt(self) -> None:
        """Read the published pull secret once per term; it is kept until there is a better one."""
        if self._adopted == self._term or self._provider is None:
            return
        try:
            if not self._pull_secrets.synced:
                self._pull_secrets.relist()
            published = self._pull_secrets.published()
        except ClusterError as error:
            if not self._closed:
                _log.warning(log.event("reading published pull secrets failed", error=error))
            return
        self._adopted = self._term
        if published is not None and (self.last_good is None or self.last_good.content != published.content):
            self.last_good = manifest.from_published(published)
            self._published = self._dated_by(self.last_good)

    def _dated_by(self, pull_secret: PullSecret) -> tuple[_Dated, ...]:
        """Decode the entries of a pull secret. Its expiry applies to each, except to tokens that state their own."""
        end = parse_rfc3339(pull_secret.expires or "")
        found = manifest.entries(pull_secret)
        return self._dated(
            structs.replace(entry, expires=token_expiry.expiry(entry.password) or end) for entry in found
        )

    def _dated(self, entries: Iterable[Entry]) -> tuple[_Dated, ...]:
        ahead = self._clocks.wall() - self._clocks.monotonic()
        return tuple(_Dated(entry, inf if entry.expires is None else entry.expires - ahead) for entry in entries)

    def _read_only(self) -> RefreshResult:
        if self._provider is not None:
            self._refresh_after = self._provider.read().refresh_after
        return RefreshResult(Outcome.STANDBY, "not the leader")

    def _read_and_publish(self, term: int) -> RefreshResult:
        if self._provider is None:
            return RefreshResult(Outcome.NONE, "no registry or no credential is configured")
        result = self._provider.read()
        if term != self._term:
            return _STOPPED
        self._refresh_after = result.refresh_after
        for note in result.notes:
            _log.info(log.event("credential provider reported", note=note))
        result = self._with_published_secrets(result)
        kept = self._retained(result)
        verdict = self._check(result.credential)
        if term != self._term:
            return _STOPPED
        answer = self._record_verdict(verdict)
        whole = _with(result.credential, tuple(one.entry for one in kept))
        dated = (*self._dated(result.credential.entries), *kept)
        if verdict is None or answer is Answer.ACCEPTED:
            pull_secret = self._publish(whole, dated)
            self._accepted = pull_secret.content if verdict is not None else None
            done = RefreshResult(Outcome.PUBLISHED, verdict.detail if verdict else "")
        elif answer is Answer.UNCLEAR:
            if self._strict:
                self._publish_unverified(whole)
            else:
                self._publish(whole, dated)
            note = f"Could not check the credential, retrying: {verdict.one_line}."
            self._events.report(EventReason.REGISTRY_UNCLEAR, note)
            done = RefreshResult(Outcome.REGISTRY, verdict.detail, verdict.retry_after, verdict.failure)
        else:
            refusal = self._refusal(verdict, result, whole)
            if not self._strict:
                self._publish_unverified(whole)
            self._events.report(EventReason.CREDENTIAL_REFUSED, refusal)
            done = RefreshResult(Outcome.REFUSED, verdict.detail, verdict.retry_after)
        failure = result.failure or _lack(kept)
        if failure is None:
            return done
        failed = self._failed(failure)
        return failed if done.outcome in SUCCESSFUL else done

    def _with_published_secrets(self, result: CredentialResult) -> CredentialResult:
        """Return a reading with the published secrets instead of newer ones of the same users, while they are valid.

        A provider that does not state when a secret expires is read often. If it issues another at each reading, every
        pull secret would be written as often. So published secrets stay as long as the registry accepts them, until
        half their life is over, if it is known, or they are `token_ttl` old. After a refusal, secrets stay for half the
        age that the refused ones had. A secret that changed only once was changed by someone, and is published.
        """
        secrets = tuple(entry.password for entry in result.credential.entries)
        self._renewed = self._renewed + 1 if self._last_secrets and secrets != self._last_secrets else 0
        self._last_secrets = secrets
        since = parse_rfc3339(self.last_good.refreshed) if self.last_good else None
        is_asked = len(secrets) <= MAX_REGISTRIES
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
        verdict = self._check(steady)
        if verdict is not None and verdict.answer is Answer.REFUSED:
            self._max_age = age / 2
        return result._replace(credential=steady) if verdict and verdict.answer is Answer.ACCEPTED else result

    def _retained(self, result: CredentialResult) -> tuple[_Dated, ...]:
        """Return the published entries that a reading lacks and that have not ended."""
        now = self._clocks.monotonic()
        valid = {one.entry: one for one in self._published if one.end > now}
        kept = retention.retained(valid, result.credential.entries, self._prefixes, result.unusable)
        return tuple(valid[entry] for entry in kept)

    def _record_verdict(self, verdict: Verdict | None) -> Answer:
        """Count a verdict and return its answer. A deferred login is treated as refused, because others were."""
        answer = verdict.answer if verdict else Answer.ACCEPTED
        if verdict is not None and answer is Answer.DEFERRED:
            self._deferred = verdict.retry_after
        elif verdict is not None:
            self._metrics.registry_checks.labels(answer.value).inc()
        self._metrics.refused.set(answer in {Answer.REFUSED, Answer.DEFERRED})
        if answer in {Answer.ACCEPTED, Answer.UNCLEAR}:
            self._events.resolved(None, EventReason.CREDENTIAL_REFUSED)
        return answer

    def _refusal(self, verdict: Verdict, result: CredentialResult, whole: Credential) -> str:
        refused = {manifest.build(one, 0).content for one in (result.credential, whole)}
        published = self.last_good or self._pull_secrets.pull_secret
        if published is None:
            effect = (
                "Nothing is published" if self._strict else "It is published only in namespaces without a pull secret"
            )
        elif published.content in refused:
            effect = "It is the published credential"
        elif published.content == self._accepted:
            effect = "The published credential, which the registry accepted, is kept"
        else:
            effect = "The published credential is kept; it is not known whether the registry accepts it"
        found = [
            f" Possible mistake for {entry.key}: {mistake}."
            for entry in result.credential.entries[:_NAMED]
            for mistake in credential.likely_mistakes(entry)
        ]
        return f"{verdict.one_line}. {effect}.{''.join(dict.fromkeys(found))}"

    def _publish(self, credential: Credential, dated: tuple[_Dated, ...]) -> PullSecret:
        pull_secret = manifest.build(credential, self._clocks.wall())
        known = self.last_good
        if known is not None and pull_secret.content == known.content:
            # The same content keeps the time since when it has been published.
            same = structs.replace(pull_secret, refreshed=known.refreshed)
            pull_secret = known if same == known else same
        self._set_end(credential)
        self._published = dated
        self.last_good = pull_secret
        self._metrics.refreshed.set(self._clocks.wall())
        if pull_secret is not self._pull_secrets.pull_secret:
            self._pull_secrets.publish(pull_secret)
        return pull_secret

    def _publish_unverified(self, credential: Credential) -> None:
        """Publish only where there is no pull secret yet, unless a better one was published: that one stays."""
        if self.last_good is None:
            unverified = structs.replace(manifest.build(credential, self._clocks.wall()), create_only=True)
            before = self._pull_secrets.pull_secret
            if before is None or before.content != unverified.content:
                self._set_end(credential)
                self._pull_secrets.publish(unverified)

    def _set_end(self, credential: Credential) -> None:
        if credential.expires is None:
            self._ends = None
            self._metrics.expiry.set(inf)
        else:
            self._ends = self._clocks.monotonic() + credential.expires - self._clocks.wall()
            self._metrics.expiry.set(credential.expires)


def _lack(kept: tuple[_Dated, ...]) -> CredentialProviderError | None:
    """Return an error for what a reading lacks, if anything."""
    keys = ", ".join(one.entry.key for one in kept[:_NAMED])
    return CredentialProviderError(f"no credential for {keys}; the published one is kept") if kept else None


def _with(credential: Credential, kept: tuple[Entry, ...]) -> Credential:
    """Add retained entries to a credential; the earliest end counts."""
    ends = [(entry.expires, True) for entry in kept if entry.expires is not None]
    if credential.expires is not None:
        ends.append((credential.expires, credential.expiry_stated))
    return Credential((*credential.entries, *kept), *min(ends, default=(None, False)))
