"""A credential is read, checked and published, the last valid one is kept, and the next refresh is on time."""

import base64
import json
import logging
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import pytest
from msgspec import structs

from tests.support.fakes import WALL, Clock, StandIn, Stop
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.credentials.provider import CredentialResult
from webhook.errors import CredentialProviderError, Forbidden, InvalidCredential, Unreachable
from webhook.kube.api import Listing
from webhook.pull_secret.credential import Credential, Entry, create_entry
from webhook.pull_secret.manifest import TYPE, Published, PullSecret, build, entries
from webhook.pull_secret.reconcile import ActionKind, Content, Namespace, Secret
from webhook.pull_secret.schedule import Schedule
from webhook.refresher.credential_refresh import CredentialRefresher, Outcome
from webhook.refresher.entitlement import Entitlements
from webhook.refresher.pull_secrets import PullSecretController
from webhook.refresher.runtime.clock_jump import ClockJumpGuard
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.registry.auth import Answer, Verdict
from webhook.settings import NamespaceSettings, PullSecretSettings, RegistrySettings
from webhook.timestamps import format_rfc3339

_BROKEN = CredentialProviderError("webhook.credential.file: no such file or directory (/etc/password)")


def credential(number: int = 1, expires: float | None = None, *, told: bool = False) -> Credential:
    return Credential((create_entry("registry.example.com", "robot", f"kept-secret-{number}"),), expires, told)


class Source:
    """A source whose file holds whatever a test puts there."""

    def __init__(self, content: Credential | Exception) -> None:
        self.content: Credential | Exception = content
        self.version = 0
        self.notes: tuple[str, ...] = ()
        self.unusable: tuple[str, ...] = ()
        self.within: float | None = None
        self.failure: CredentialProviderError | None = None
        self.reads = 0

    def read(self) -> CredentialResult:
        self.reads += 1
        if isinstance(self.content, Exception):
            raise self.content
        return CredentialResult(self.content, self.notes, self.unusable, self.within, self.failure)

    def fingerprint(self) -> bytes | None:
        return str(self.version).encode()


class Scene:
    """The loop, with its surroundings by hand."""

    def __init__(self, *, strict: bool = False, period: int = 100, good: PullSecret | None = None) -> None:
        self.clock = Clock()
        self.server = StandIn()
        self.metrics = Metrics()
        self.source = Source(credential())
        self.verdict: Verdict | None = None
        self.answer: Callable[[Credential], Verdict | None] = lambda _: self.verdict
        self.leads = True
        self.asked = 0
        clocks = self.clock.clocks()
        cluster = self.server.cluster
        reporter = EventRecorder(cluster, "pull", "replica", lambda: True, self.clock)
        self.publisher = PullSecretController(
            cluster=cluster,
            settings=PullSecretSettings("pull", linger=60),
            namespace_filter=NamespaceFilter(NamespaceSettings()),
            events=reporter,
            metrics=self.metrics,
            clock_guard=ClockJumpGuard(clocks),
            entitlements=Entitlements(),
            leading=lambda: self.leads,
            resync_interval=period,
            pull_secret=good,
        )
        self.credentials = CredentialRefresher(
            provider=self.source,
            check=self.ask,
            prefixes=("registry.example.com", "ecr.example.com/team"),
            leading=lambda: self.leads,
            strict=strict,
            schedule=Schedule(RegistrySettings(token_ttl=period, retry_attempts=3, retry_delay=5)),
            pull_secrets=self.publisher,
            events=reporter,
            metrics=self.metrics,
            clocks=clocks,
            last_good=good,
        )

    def lose_the_lease(self) -> None:
        self.credentials.stop_publishing()
        self.publisher.stop()

    def ask(self, asked: Credential) -> Verdict | None:
        self.asked += 1
        return self.answer(asked)

    def passes(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> list[float]:
        """Run for so many seconds, and give the times at which passes were made, from 0 on."""
        start, times, reads = self.clock.now, list[float](), self.source.reads
        read = self.source.read

        def noted() -> CredentialResult:
            times.append(self.clock.now - start)
            return read()

        self.source.read = noted  # type: ignore[method-assign]
        beats: list[float] = []
        self.credentials.run(Stop(self.clock, seconds, meanwhile), lambda: beats.append(self.clock.now))
        self.source.read = read  # type: ignore[method-assign]
        assert self.source.reads - reads == len(times)
        assert all(later - sooner < 10 for sooner, later in pairwise(beats))
        return times

    def published(self) -> tuple[int, bool] | None:
        """Say which credential is published, and whether it is in doubt."""
        document = self.publisher.pull_secret
        if document is None:
            return None
        (number,) = (n for n in range(10) if build(credential(n), 0).content == document.content)
        return number, document.create_only

    def reasons(self) -> list[str]:
        """Give the reasons of the Events since the last time."""
        reasons = [event["reason"] for event in self.server.events]
        self.server.events.clear()
        return reasons


_ACCEPTED = Verdict(Answer.ACCEPTED, "accepted")
_REFUSED = Verdict(Answer.REFUSED, "the registry refused it (401)")
_UNCLEAR = Verdict(Answer.UNCLEAR, "the registry is out of reach")


class Row(NamedTuple):
    strict: bool
    good: bool
    """Whether there was a good one before."""
    verdict: Verdict | Exception | None
    published: tuple[int, bool] | None
    outcome: Outcome
    reason: str | None = None


_ROWS = [
    # Not asked (verify off, or no entry for our registry), or accepted: published.
    *(
        Row(strict, good, verdict, (2, False), Outcome.PUBLISHED)
        for strict in (False, True)
        for good in (False, True)
        for verdict in (None, _ACCEPTED)
    ),
    # Refused: it stands only where nothing does, and under strict nowhere; never in the place of a good one.
    Row(False, False, _REFUSED, (2, True), Outcome.REFUSED, "CredentialRefused"),
    Row(False, True, _REFUSED, (1, False), Outcome.REFUSED, "CredentialRefused"),
    Row(True, False, _REFUSED, None, Outcome.REFUSED, "CredentialRefused"),
    Row(True, True, _REFUSED, (1, False), Outcome.REFUSED, "CredentialRefused"),
    # Unclear: a registry out of reach stops no first publication; under strict it replaces nothing.
    Row(False, False, _UNCLEAR, (2, False), Outcome.REGISTRY, "RegistryUnclear"),
    Row(False, True, _UNCLEAR, (2, False), Outcome.REGISTRY, "RegistryUnclear"),
    Row(True, False, _UNCLEAR, (2, True), Outcome.REGISTRY, "RegistryUnclear"),
    Row(True, True, _UNCLEAR, (1, False), Outcome.REGISTRY, "RegistryUnclear"),
    # No credential, or none that kubelet could use: what there is stays.
    *(
        Row(strict, good, error, (1, False) if good else None, Outcome.PROVIDER, "ProviderFailed")
        for strict in (False, True)
        for good in (False, True)
        for error in (_BROKEN, InvalidCredential("the user name has a colon"))
    ),
]


@pytest.mark.parametrize("row", _ROWS)
def test_refresh_result_by_verdict_and_mode(row: Row) -> None:
    scene = Scene(strict=row.strict)
    if row.good:
        assert scene.credentials.refresh().outcome is Outcome.PUBLISHED
        assert scene.published() == (1, False)
    if isinstance(row.verdict, Exception):
        scene.source.content = row.verdict
    else:
        scene.source.content = credential(2)
        scene.verdict = row.verdict
    done = scene.credentials.refresh()
    assert done.outcome is row.outcome
    assert scene.published() == row.published
    assert scene.reasons() == ([row.reason] if row.reason else [])
    assert scene.credentials.last_result is done
    assert scene.credentials.has_result() == (row.published is not None)
    counted = {
        ("provider_failures", "kind", "none"): row.verdict is _BROKEN,
        ("provider_failures", "kind", "invalid"): isinstance(row.verdict, InvalidCredential),
        ("registry_checks", "result", "accepted"): row.verdict is _ACCEPTED,
        ("registry_checks", "result", "refused"): row.verdict is _REFUSED,
        ("registry_checks", "result", "unclear"): row.verdict is _UNCLEAR,
    }
    for (name, label, value), once in counted.items():
        assert f'{name}_total{{{label}="{value}"}} {float(once)}'.encode() in scene.metrics.exposition()
    refused = f"credential_refused {float(row.verdict is _REFUSED)}"
    assert refused.encode() in scene.metrics.exposition()


@pytest.mark.parametrize("strict", [False, True])
def test_refresh_without_provider_outcome_none(strict: bool) -> None:
    scene = Scene(strict=strict)
    scene.credentials._provider = None  # noqa: SLF001
    assert scene.credentials.refresh().outcome is Outcome.NONE
    assert scene.credentials.has_result()
    assert scene.published() is None


def test_refresh_refused_then_accepted_published() -> None:
    scene = Scene()
    scene.verdict = _REFUSED
    scene.credentials.refresh()
    assert scene.published() == (1, True)
    doubted = scene.publisher.pull_secret
    scene.credentials.refresh()
    assert scene.publisher.pull_secret is doubted
    scene.verdict = _ACCEPTED
    scene.credentials.refresh()
    assert scene.published() == (1, False)


def test_refresh_provider_fails_last_good_published() -> None:
    scene = Scene(good=build(credential(5), WALL))
    scene.source.content = _BROKEN
    assert scene.credentials.refresh().outcome is Outcome.PROVIDER
    assert scene.published() == (5, False)


def test_refresh_same_content_published_once() -> None:
    scene = Scene()
    scene.credentials.refresh()
    first = scene.publisher.pull_secret
    assert first is not None
    assert first.refreshed == format_rfc3339(WALL)
    scene.clock.now += 80
    scene.credentials.refresh()
    assert scene.publisher.pull_secret is first
    scene.clock.now += 80
    scene.source.content = credential(2)
    scene.credentials.refresh()
    second = scene.publisher.pull_secret
    assert second is not None
    assert second.refreshed == format_rfc3339(WALL + 160)


def test_refresh_same_content_new_expiry_updates_expiry() -> None:
    scene = Scene()
    for end in (500.0, 900.0):
        scene.source.content = credential(1, WALL + end, told=True)
        scene.credentials.refresh()
        scene.clock.now += 80
        document = scene.publisher.pull_secret
        assert document is not None
        assert (document.refreshed, document.expires) == (format_rfc3339(WALL), format_rfc3339(WALL + end))


def test_expired_until_new_credential() -> None:
    scene = Scene()
    scene.source.content = credential(1, WALL + 30, told=True)
    scene.credentials.refresh()
    assert not scene.credentials.expired()
    assert b"expiry_timestamp_seconds 1.79000003e+09" in scene.metrics.exposition()
    scene.source.content = _BROKEN
    scene.clock.now += 29.9
    scene.credentials.refresh()
    assert not scene.credentials.expired()
    scene.clock.now += 0.2
    assert scene.credentials.expired()
    scene.source.content = credential(2)
    scene.credentials.refresh()
    assert not scene.credentials.expired()
    assert b"expiry_timestamp_seconds +Inf" in scene.metrics.exposition()


def test_expired_ignores_refused_credential() -> None:
    scene = Scene()
    scene.credentials.refresh()
    scene.source.content = credential(2, WALL - 5, told=True)
    scene.verdict = _REFUSED
    scene.credentials.refresh()
    assert not scene.credentials.expired()


# When the next pass comes


def test_refresh_success_once_per_period() -> None:
    scene = Scene()
    assert scene.passes(330) == [0, 80, 160, 240, 320]


def test_refresh_short_lifetime_minimum_interval() -> None:
    scene = Scene()
    scene.source.content = credential(1, WALL - 1000)
    assert scene.passes(60) == [0, 10, 20, 30, 40, 50]


def test_refresh_provider_failure_backoff() -> None:
    scene = Scene(period=1800)
    scene.source.content = _BROKEN
    assert scene.passes(800) == [0, 5, 10, 20, 40, 80, 160, 320, 620]


def test_refresh_refused_waits_for_period_or_change() -> None:
    scene = Scene(period=1800)
    scene.verdict = _REFUSED

    def meanwhile() -> None:
        scene.source.version = int(scene.clock.now - 1000 >= 4000)

    assert scene.passes(6000, meanwhile) == [0, 1800, 3600, 4000, 5800]


def test_refresh_refused_helper_read_early() -> None:
    scene = Scene(period=1800)
    scene.source.within = 120.0
    scene.verdict = _REFUSED
    assert scene.passes(300) == [0, 96, 192, 288]


def test_refresh_deferred_login_retried_when_allowed() -> None:
    scene = Scene(period=1800, good=build(credential(5), WALL))
    scene.verdict = Verdict(Answer.DEFERRED, "not asked: too many logins were refused", 250.0)
    assert scene.passes(600) == [0, 250, 500]
    assert scene.published() == (5, False)
    assert b'registry_checks_total{result="refused"} 0.0' in scene.metrics.exposition()


def test_refresh_unknown_expiry_every_two_minutes() -> None:
    scene = Scene(period=1800)
    scene.source.within = 120.0
    assert scene.passes(300) == [0, 96, 192, 288]


def issuing(scene: Scene, life: float, expires: float | None = None) -> list[float]:
    """Let a provider issue another secret at each reading, good for `life` seconds; give when each was published."""
    scene.source.within = 120.0
    issued, published = dict[str, float](), dict[bytes, float]()
    read = scene.source.read

    def issue() -> CredentialResult:
        end = expires and scene.clock.wall() + expires
        one = credential(len(issued), end, told=True)
        scene.source.content = one = structs.replace(one, entries=(structs.replace(one.entries[0], expires=end),))
        issued[one.entries[0].password] = scene.clock.now
        return read()

    def note() -> None:
        if scene.publisher.pull_secret is not None:
            published.setdefault(scene.publisher.pull_secret.content, scene.clock.now)

    def ask(asked: Credential) -> Verdict:
        return _ACCEPTED if scene.clock.now - issued[asked.entries[0].password] < life else _REFUSED

    scene.source.read = issue  # type: ignore[method-assign]
    scene.answer = ask
    start = scene.clock.now
    scene.passes(4 * 3600, note)
    return [time - start for time in published.values()]


@pytest.mark.parametrize(("life", "fewest", "most"), [(12 * 3600, 8, 12), (3600, 8, 12), (1200, 15, 32)])
def test_refresh_new_secret_per_read_published_when_old(life: float, fewest: int, most: int) -> None:
    times = issuing(Scene(period=1800), life)
    assert fewest <= len(times) <= most
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert max(gaps) < 1800 + 120
    # It is learned once how long they last.
    assert sum(gap > life for gap in gaps) <= 1


def test_refresh_new_secret_per_read_unchecked_published() -> None:
    scene = Scene(period=1800)
    scene.verdict = None
    scene.source.within = 120.0
    for number in range(6):
        scene.source.content = credential(number)
        scene.credentials.refresh()
        assert scene.published() == (number, False)


def test_refresh_new_secret_published_at_half_life() -> None:
    gaps = [later - sooner for sooner, later in pairwise(issuing(Scene(period=1800), 600, 600.0))]
    assert max(gaps) < 300 + 120


def test_refresh_changed_credential_published_at_once() -> None:
    scene = Scene(period=1800)
    scene.verdict = _ACCEPTED
    scene.source.within = 120.0
    for number in (1, 1, 2, 2, 3, 3):
        scene.source.content = credential(number)
        scene.credentials.refresh()
        assert scene.published() == (number, False)


def test_refresh_retry_after_honored() -> None:
    scene = Scene(period=1800)
    scene.verdict = _UNCLEAR._replace(retry_after=120.0)
    assert scene.passes(400) == [0, 120, 240, 360]


def test_refresh_success_resets_backoff() -> None:
    scene = Scene(period=1800)
    scene.source.content = _BROKEN

    def meanwhile() -> None:
        at = scene.clock.now - 1000
        scene.source.content = credential() if 300 < at < 400 else _BROKEN

    # 320 went well; from the next on there are two quick tries again.
    assert scene.passes(1800, meanwhile) == [0, 5, 10, 20, 40, 80, 160, 320, 1760, 1765, 1770, 1780]


def test_refresh_changed_provider_read_and_backoff_reset() -> None:
    scene = Scene(period=1800)
    scene.source.content = _BROKEN

    def meanwhile() -> None:
        at = scene.clock.now - 1000
        if at >= 200 and scene.source.version == 0:
            scene.source.version = 1

    assert scene.passes(230, meanwhile) == [0, 5, 10, 20, 40, 80, 160, 200, 205, 210, 220]


def test_refresh_provider_changed_during_read_read_again() -> None:
    scene = Scene()

    def changing(_: Credential) -> None:
        if scene.source.reads == 1:
            scene.source.content = credential(2)
            scene.source.version = 1

    scene.credentials._check = changing  # noqa: SLF001
    assert scene.passes(50) == [0, 1]
    assert scene.published() == (2, False)


# The wall clock is set

_YEARS = 2 * 365 * 24 * 3600.0


@pytest.mark.parametrize("ahead", [_YEARS, -_YEARS])
def test_refresh_interval_independent_of_wall_clock(ahead: float) -> None:
    scene = Scene()

    def meanwhile() -> None:
        scene.clock.ahead = ahead if 100 < scene.clock.now - 1000 < 200 else 0.0

    assert scene.passes(330, meanwhile) == [0, 80, 160, 240, 320]


def test_refresh_clock_ahead_minimum_interval() -> None:
    scene = Scene()
    scene.source.content = credential(1, WALL + 5000, told=True)

    def meanwhile() -> None:
        scene.clock.ahead = _YEARS if 100 < scene.clock.now - 1000 < 200 else 0.0

    assert scene.passes(400, meanwhile) == [0, 80, 160, 170, 180, 190, 200, 280, 360]
    assert scene.published() == (1, False)


@pytest.mark.parametrize("ahead", [_YEARS, -_YEARS])
def test_expired_independent_of_wall_clock_jump(ahead: float) -> None:
    scene = Scene()
    scene.source.content = credential(1, WALL + 30, told=True)
    scene.credentials.refresh()
    scene.clock.ahead = ahead
    assert not scene.credentials.expired()
    scene.clock.now += 31
    assert scene.credentials.expired()


def secret_of(namespace: str, document: PullSecret, since: str | None = None) -> Secret:
    content = Content(TYPE, document.hash)
    return Secret(namespace, 7, "1-2-3", True, True, document.refreshed, None, since, content)


def lingering(scene: Scene, *, seconds: float) -> None:
    """Have a namespace that is not served since so many seconds, with the Secret as it should be."""
    scene.credentials.refresh()
    document = scene.publisher.pull_secret
    assert document
    since = format_rfc3339(scene.clock.wall() - seconds)
    scene.publisher.namespaces.put(Namespace("team", 7, {}, terminating=False))
    scene.publisher.secrets.put(secret_of("team", document, since))


def test_plan_clock_jump_ahead_restarts_linger() -> None:
    scene = Scene()
    lingering(scene, seconds=10)
    assert scene.publisher.plan("team").due == scene.clock.wall() + 50
    scene.clock.ahead = _YEARS
    step = scene.publisher.plan("team")
    assert (step.kind, step.due) == (ActionKind.KEEP, scene.clock.wall() + 60)
    scene.clock.now += 59
    assert scene.publisher.plan("team").kind is ActionKind.KEEP
    scene.clock.now += 1
    assert scene.publisher.plan("team").kind is ActionKind.DELETE


def test_plan_clock_jump_and_return_restarts_linger() -> None:
    scene = Scene()
    scene.clock.ahead = _YEARS
    lingering(scene, seconds=0)
    scene.clock.ahead = 0.0
    step = scene.publisher.plan("team")
    assert (step.kind, step.deselected_since, step.due) == (ActionKind.UPDATE, format_rfc3339(WALL), WALL + 60)


# Lists in addition to the watches


@pytest.mark.parametrize("leads", [True, False])
def test_refresh_not_listed_lists_once(leads: bool) -> None:
    scene = Scene()
    scene.leads = leads
    scene.passes(330)
    assert scene.server.lists == 2


def test_refresh_after_failed_resync_reports_cluster() -> None:
    scene = Scene()
    scene.credentials.refresh()
    scene.server.fault = Unreachable("cannot list namespaces: no answer")
    scene.publisher.resync(Stop(scene.clock, 101), lambda: None)
    assert scene.credentials.refresh() == (Outcome.CLUSTER, str(scene.server.fault), None, None)
    scene.server.fault = None
    scene.publisher.relist()
    assert scene.credentials.refresh().outcome is Outcome.PUBLISHED


def test_resync_lists_at_intervals_and_after_failure() -> None:
    scene = Scene(period=100)
    beats: list[float] = []
    scene.publisher.resync(Stop(scene.clock, 330), lambda: beats.append(scene.clock.now))
    assert scene.server.lists == 2 * 3
    assert all(later - sooner < 10 for sooner, later in pairwise(beats))

    def meanwhile() -> None:
        scene.server.fault = Unreachable("no answer") if scene.clock.now < began + 120 else None

    began = scene.clock.now
    scene.publisher.resync(Stop(scene.clock, 130, meanwhile), lambda: None)
    assert scene.server.lists == 2 * 4


@pytest.mark.parametrize("fault", [Unreachable("cannot list namespaces: no answer"), Forbidden("cannot list (403)")])
def test_relist_failure_retried_credential_published(
    fault: Unreachable | Forbidden,
) -> None:
    scene = Scene(period=1800)
    scene.server.fault = fault

    def meanwhile() -> None:
        if scene.clock.now >= 1030:
            scene.server.fault = None

    assert scene.passes(100, meanwhile) == [0, 5, 10, 20, 40]
    assert scene.published() == (1, False)
    assert scene.credentials.last_result == (Outcome.PUBLISHED, "", None, None)
    assert scene.server.lists == 2


def test_refresh_provider_failure_precedes_relist_failure() -> None:
    scene = Scene()
    scene.server.fault = Unreachable("cannot list namespaces: no answer")
    scene.source.content = _BROKEN
    assert scene.credentials.refresh() == (Outcome.PROVIDER, str(_BROKEN), None, None)


# What is said


def test_refresh_failure_event_once_until_success() -> None:
    scene = Scene(period=1800)
    scene.source.content = _BROKEN
    scene.passes(800)
    assert scene.reasons() == ["ProviderFailed"]
    scene.source.content = credential()
    scene.passes(1)
    scene.source.content = _BROKEN
    scene.passes(1)
    assert scene.reasons() == ["ProviderFailed"]


def test_refresh_log_without_credential(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.source.notes = ("an entry was left out",)
    with caplog.at_level(logging.DEBUG):
        for verdict in (_ACCEPTED, _REFUSED, _UNCLEAR):
            scene.verdict = verdict
            scene.passes(1)
    assert "an entry was left out" in caplog.text
    assert "credential refresh failed outcome=refused" in caplog.text
    assert "kept-secret" not in caplog.text
    assert "a2VwdC1zZWNyZX" not in caplog.text


# What a reading lacks


def entry(host: str, number: int, expires: float | None = None) -> Entry:
    return structs.replace(create_entry(host, "robot", f"kept-secret-{number}"), expires=expires)


def jwt_ending(end: float) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, {"exp": end})]
    return ".".join([*parts, "kept-secret"])


def logins(scene: Scene) -> dict[str, str]:
    document = scene.publisher.pull_secret
    assert document is not None
    assert not document.create_only
    return {one.key: one.password[-1] for one in entries(document)}


_ECR = "ecr.example.com/team/"


@pytest.mark.parametrize("verdict", [None, _ACCEPTED, _UNCLEAR])
def test_refresh_missing_registry_entry_retained(verdict: Verdict | None) -> None:
    scene = Scene()
    scene.source.content = Credential((entry("registry.example.com", 1), entry(_ECR, 2), entry("removed.com", 3)))
    assert scene.credentials.refresh().outcome is Outcome.PUBLISHED
    scene.verdict = verdict
    scene.source.content = Credential((entry("registry.example.com", 4),))
    for _ in range(3):
        outcome = scene.credentials.refresh().outcome
        assert outcome is (Outcome.REGISTRY if verdict is _UNCLEAR else Outcome.PROVIDER)
        # What the configuration does not name goes.
        assert logins(scene) == {"registry.example.com": "4", _ECR: "2"}
    assert scene.reasons() == (["RegistryUnclear"] if verdict is _UNCLEAR else []) + ["ProviderFailed"]
    assert b'provider_failures_total{kind="none"} 3.0' in scene.metrics.exposition()
    scene.verdict = _ACCEPTED
    scene.source.content = Credential((entry("registry.example.com", 4), entry(_ECR, 5)))
    assert scene.credentials.refresh().outcome is Outcome.PUBLISHED
    assert logins(scene) == {"registry.example.com": "4", _ECR: "5"}


def test_refresh_server_entry_missing_others_published() -> None:
    scene = Scene()
    scene.source.content = Credential((entry(_ECR, 2),))
    scene.source.failure = _BROKEN
    done = scene.credentials.refresh()
    assert (done.outcome, done.detail) == (Outcome.PROVIDER, str(_BROKEN))
    assert logins(scene) == {_ECR: "2"}
    assert scene.reasons() == ["ProviderFailed"]


def test_refresh_unusable_entry_published_one_retained() -> None:
    scene = Scene()
    scene.source.content = Credential((entry("registry.example.com", 1), entry("other.com", 3)))
    scene.credentials.refresh()
    scene.source.content = credential(1)
    scene.source.unusable = ("other.com",)
    assert scene.credentials.refresh().outcome is Outcome.PROVIDER
    assert logins(scene) == {"registry.example.com": "1", "other.com": "3"}


@pytest.mark.parametrize("ahead", [0.0, _YEARS, -_YEARS])
def test_refresh_expired_entry_removed(ahead: float) -> None:
    scene = Scene()
    scene.source.content = Credential((entry("registry.example.com", 1), entry(_ECR, 2, WALL + 60)))
    scene.credentials.refresh()
    scene.source.content = credential(1)
    scene.clock.now += 59
    scene.clock.ahead = ahead
    scene.credentials.refresh()
    assert logins(scene) == {"registry.example.com": "1", _ECR: "2"}
    scene.clock.ahead = 0.0
    scene.clock.now += 1
    assert scene.credentials.refresh().outcome is Outcome.PUBLISHED
    assert logins(scene) == {"registry.example.com": "1"}


def store(scene: Scene, **contents: PullSecret) -> None:
    """Have namespaces that hold documents of an earlier process."""
    scene.publisher.relist()
    for name, document in contents.items():
        scene.publisher.namespaces.put(Namespace(name, 7, {"registry-webhook/enabled": "true"}, terminating=False))
        scene.publisher.secrets.put(secret_of(name, document))
        scene.server.published_in[name] = Published(document.content, document.expires, document.refreshed)


def test_refresh_after_restart_entry_retained() -> None:
    scene = Scene()
    before = build(Credential((entry("registry.example.com", 1), entry(_ECR, 2))), WALL - 500)
    store(scene, a=before, b=before)
    assert scene.credentials.refresh().outcome is Outcome.PROVIDER
    assert scene.publisher.pull_secret is not None
    assert (scene.publisher.pull_secret.content, scene.publisher.pull_secret.refreshed) == (
        before.content,
        before.refreshed,
    )


@pytest.mark.parametrize("token", [True, False])
def test_refresh_after_restart_expired_entry_removed(token: bool) -> None:
    scene = Scene()
    ended = structs.replace(entry(_ECR, 2), password=jwt_ending(WALL - 5)) if token else entry(_ECR, 2)
    login = entry("registry.example.com", 1)
    before = build(Credential((login, ended), None if token else WALL - 5, expiry_stated=not token), WALL - 500)
    store(scene, a=before)
    assert scene.credentials.refresh().outcome is Outcome.PUBLISHED
    assert logins(scene) == {"registry.example.com": "1"}


def test_refresh_after_restart_provider_fails() -> None:
    scene = Scene()
    store(scene, a=build(credential(3), WALL - 500))
    scene.source.content = _BROKEN
    assert scene.credentials.refresh().outcome is Outcome.PROVIDER
    assert scene.published() == (3, True)


def test_refresh_after_restart_majority_of_namespaces() -> None:
    scene = Scene()
    sound, edited = build(credential(3), WALL - 500), build(credential(4), WALL - 500)
    store(scene, a=edited, b=sound, c=sound)
    scene.source.content = _BROKEN
    scene.credentials.refresh()
    assert scene.published() == (3, True)


def test_refresh_after_restart_refused_event() -> None:
    scene = Scene()
    store(scene, a=build(credential(1), WALL - 500))
    scene.verdict = _REFUSED
    scene.credentials.refresh()
    assert scene.server.events[0]["note"].endswith("It is the published credential.")


def test_refresh_refused_trailing_space_in_event() -> None:
    scene = Scene()
    scene.source.content = Credential((create_entry("registry.example.com", "robot", "kept-secret "),))
    scene.verdict = _REFUSED
    scene.credentials.refresh()
    note = scene.server.events[0]["note"]
    assert "the password ends with a space" in note
    assert "kept-secret" not in note


# Which replica asks


def test_refresh_standby_no_registry_check() -> None:
    scene = Scene()
    scene.leads = False
    assert scene.passes(300) == [0, 80, 160, 240]
    assert scene.asked == 0
    assert b'refreshes_total{outcome="published"} 0.0' in scene.metrics.exposition()
    assert scene.credentials.last_result is not None
    assert scene.credentials.last_result.outcome is Outcome.STANDBY
    assert scene.credentials.has_result()
    assert scene.publisher.pull_secret is None


def test_refresh_new_leader_reads_and_checks_at_once() -> None:
    scene = Scene()
    scene.leads = False

    def meanwhile() -> None:
        scene.leads = scene.clock.now >= 1020

    assert scene.passes(60, meanwhile) == [0, pytest.approx(20, abs=0.5)]
    assert scene.asked == 1
    assert scene.published() == (1, False)


def test_refresh_takeover_retains_published() -> None:
    scene = Scene()
    scene.credentials.refresh()
    scene.lose_the_lease()
    assert scene.publisher.pull_secret is None
    store(scene, a=build(credential(7), WALL))
    scene.source.content = _BROKEN
    scene.credentials.refresh()
    assert scene.published() == (7, True)


def test_refresh_verdict_after_lease_loss_ignored() -> None:
    scene = Scene()

    def lose(_: Credential) -> Verdict:
        scene.lose_the_lease()
        return _REFUSED

    scene.credentials._check = lose  # noqa: SLF001
    assert scene.credentials.refresh().outcome is Outcome.STANDBY
    assert scene.publisher.pull_secret is None
    assert scene.reasons() == []
    assert b"credential_refused 0.0" in scene.metrics.exposition()


def counted(scene: Scene) -> list[bytes]:
    """Give all metrics of ours; a counter's time of creation is none."""
    lines = scene.metrics.exposition().splitlines()
    return [line for line in lines if line.startswith(b"registry_webhook")]


@pytest.mark.parametrize("during", ["the source is read", "the registry is asked", "the cluster is listed"])
@pytest.mark.parametrize(
    "came", [_REFUSED, _UNCLEAR, _ACCEPTED, _BROKEN], ids=["refused", "unclear", "accepted", "failed"]
)
def test_refresh_closed_while_waiting_no_report(
    during: str, came: Verdict | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Another configuration is used by then: what came of the one before is told by nothing."""
    scene = Scene()
    exposed = counted(scene)
    read, ask = scene.source.read, scene.ask
    scene.source.notes = ("a note",) if during == "the source is read" else ()
    scene.verdict = came if isinstance(came, Verdict) else None

    def stopped_read() -> CredentialResult:
        if during == "the source is read":
            scene.credentials.close()
            if isinstance(came, Exception):
                raise came
        return read()

    def stopped_ask(asked: Credential) -> Verdict | None:
        scene.credentials.close()
        return ask(asked)

    def stopped_list() -> Listing[Namespace]:
        scene.credentials.close()
        raise Unreachable("cannot list namespaces")

    scene.source.read = stopped_read  # type: ignore[method-assign]
    if during == "the registry is asked":
        scene.credentials._check = stopped_ask  # noqa: SLF001 - the moment at which it is stopped
    if during == "the cluster is listed":
        scene.server.namespaces.list = stopped_list  # type: ignore[method-assign]
    with caplog.at_level(logging.DEBUG):
        scene.credentials.run(threading.Event(), lambda: None)
    assert scene.credentials.last_result is None
    assert scene.reasons() == []
    assert caplog.records == []
    assert scene.publisher.pull_secret is None
    assert counted(scene) == exposed


_STAYS = {
    "accepted": "The published credential, which the registry accepted, is kept.",
    "unknown": "The published credential is kept; it is not known whether the registry accepts it.",
    "refused": "It is the published credential.",
    "nothing": "Nothing is published.",
    "where there is none": "It is published only in namespaces without a pull secret.",
}


@pytest.mark.parametrize(
    ("sequence", "strict", "stays"),
    [
        ([(1, _ACCEPTED), (2, _REFUSED)], False, "accepted"),
        ([(1, _ACCEPTED), (2, _REFUSED)], True, "accepted"),
        ([(1, _ACCEPTED), (1, _UNCLEAR), (2, _REFUSED)], False, "accepted"),
        ([(1, _ACCEPTED), (2, _UNCLEAR), (3, _REFUSED)], False, "unknown"),
        ([(1, _UNCLEAR), (2, _REFUSED)], False, "unknown"),
        ([(1, None), (2, _REFUSED)], False, "unknown"),
        ([(1, _UNCLEAR), (1, _REFUSED)], False, "refused"),
        ([(1, _ACCEPTED), (1, _REFUSED)], False, "refused"),
        ([(1, _ACCEPTED), (1, _REFUSED)], True, "refused"),
        ([(1, _REFUSED)], False, "where there is none"),
        ([(1, _REFUSED)], True, "nothing"),
    ],
)
def test_refresh_refused_event_names_published(
    sequence: list[tuple[int, Verdict | None]], strict: bool, stays: str
) -> None:
    scene = Scene(strict=strict)
    for number, verdict in sequence:
        scene.source.content, scene.verdict = credential(number), verdict
        scene.server.events.clear()
        scene.credentials.refresh()
    (event,) = (event for event in scene.server.events if event["reason"] == "CredentialRefused")
    assert event["note"].endswith(f". {_STAYS[stays]}")
