"""What the sidecar does by one configuration: the loops that read, publish and watch, wired together."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from webhook import log
from webhook.adapters import sources
from webhook.adapters.cluster.api import Cluster
from webhook.adapters.cluster.client import Client
from webhook.adapters.registry import Logins, Registry
from webhook.config import assemble
from webhook.config.model import Configuration
from webhook.pullsecret.document import Document
from webhook.pullsecret.schedule import Schedule
from webhook.sidecar import credentials, publishing, watching
from webhook.sidecar.credentials import Answers, Credentials
from webhook.sidecar.entitlement import Entitlements
from webhook.sidecar.health import Beats
from webhook.sidecar.metrics import Metrics
from webhook.sidecar.publishing import Publisher, Terms
from webhook.sidecar.reporting import Reporter
from webhook.sidecar.steadiness import Steadiness
from webhook.sidecar.watching import Watching

_log = logging.getLogger("webhook.refresher")

#: Seconds before a loop that failed by a fault of our own is started again.
_AGAIN = 1.0

Loop = Callable[[Event, Callable[[], None]], None]


class Surroundings(NamedTuple):
    """What outlives a change of the configuration."""

    client: Client
    identity: str
    """What this replica is called in the Lease and in Events."""
    environment: Mapping[str, str]
    metrics: Metrics
    beats: Beats
    steadiness: Steadiness
    """The clocks, and what is known of them."""
    leading: Callable[[], bool]
    """Whether this replica is the one that writes."""
    logins: Logins
    """Logins that registries refused."""
    answers: Answers
    """What registries said of credentials."""
    entitlements: Entitlements
    """Which pull secrets have stood in a served namespace."""


class Threads:
    """Loops that run until told to stop, each in a thread; one that fails by a fault of our own is started again."""

    def __init__(self, around: Surroundings) -> None:
        """Begin with none."""
        self._around = around
        self.stop = Event()
        self._threads: dict[str, Thread] = {}

    def start(self, name: str, limit: float, loop: Loop) -> None:
        """Start a loop that gives a sign of life at least every `limit` seconds."""
        self._around.beats.expect(name, limit)
        thread = Thread(target=self._keep, args=(name, loop), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _keep(self, name: str, loop: Loop) -> None:
        while not self.stop.is_set():
            try:
                loop(self.stop, lambda: self._around.beats.beat(name))
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to go on
                if self.stop.is_set():
                    return
                self._around.metrics.loop_restarts.inc()
                _log.error("the loop %s failed and is started again: %s", name, log.where(error))
                self.stop.wait(_AGAIN)

    def end(self) -> None:
        """Tell all to stop, and expect no sign of life any more."""
        self.stop.set()
        self._around.beats.forget(self._threads)

    def join(self, timeout: float) -> None:
        """Wait for all, at most `timeout` seconds."""
        clock = self._around.steadiness.clocks.monotonic
        end = clock() + timeout
        for thread in self._threads.values():
            thread.join(max(0.0, end - clock()))


class Duties:
    """The loops of one configuration, and what they share."""

    def __init__(self, configuration: Configuration, around: Surroundings, good: Document | None = None) -> None:
        """Wire them; nothing is asked or read yet. `good` is what was published before, for the same registry."""
        self._threads = Threads(around)
        webhook = configuration.webhook
        name = webhook.pull_secret.name
        cluster = Cluster(around.client, name, configuration.installation.namespace)
        clocks = around.steadiness.clocks
        stopped = self._threads.stop.is_set

        def leading() -> bool:
            return around.leading() and not stopped()

        reporter = Reporter(cluster, name, around.identity, leading, clocks.monotonic)
        self.publisher = Publisher(
            cluster=cluster,
            terms=_terms(configuration),
            reporter=reporter,
            metrics=around.metrics,
            steadiness=around.steadiness,
            entitlements=around.entitlements,
            leading=leading,
        )
        prefixes = _prefixes(configuration)
        self.credentials = Credentials(
            source=sources.source(
                configuration, clock=clocks.wall, monotonic=clocks.monotonic, environment=around.environment
            ),
            ask=_asking(configuration, around, prefixes),
            prefixes=prefixes,
            leading=leading,
            strict=webhook.verify == "strict",
            schedule=_schedule(configuration),
            publisher=self.publisher,
            reporter=reporter,
            metrics=around.metrics,
            clocks=clocks,
            good=good,
        )
        self._watching = [
            Watching(kind, store, self.publisher.look_everywhere, around.metrics.watch_restarts.labels(what).inc)
            for what, kind, store in (
                ("namespaces", cluster.namespaces, self.publisher.namespaces),
                ("secrets", cluster.secrets, self.publisher.secrets),
            )
        ]

    def start(self) -> None:
        """Start everything."""
        for what, one in zip(("namespaces", "secrets"), self._watching, strict=True):
            self._threads.start(f"watch of {what}", watching.STALLED, one.run)
        self.start_workers()
        self._threads.start("credentials", credentials.STALLED, self.credentials.run)

    def start_workers(self) -> None:
        """Start what writes, and no more."""
        for number in range(publishing.WORKERS):
            self._threads.start(f"worker {number}", publishing.STALLED, self.publisher.work)

    def stop(self) -> None:
        """Stop everything, without waiting for answers that are on their way."""
        self._threads.end()
        self.credentials.close()
        self.publisher.close()
        for one in self._watching:
            one.close()

    def turned(self, leading: bool) -> None:  # noqa: FBT001 - the Lease's answer
        """Begin or cease to write."""
        if leading:
            self.publisher.begin()
        else:
            self.credentials.cease()
            self.publisher.cease()


def _terms(configuration: Configuration) -> Terms:
    webhook = configuration.webhook
    return Terms(
        secret=webhook.pull_secret.name,
        enabled=webhook.pull_secret.enabled,
        mode=webhook.namespaces.mode,
        bounds=assemble.bounds(configuration),
        linger=float(webhook.pull_secret.linger),
    )


def _schedule(configuration: Configuration) -> Schedule:
    registry = configuration.registry
    return Schedule(float(registry.token_ttl), registry.retry_attempts, float(registry.retry_delay))


def _prefixes(configuration: Configuration) -> tuple[str, ...]:
    """Give the registries that are private, the server first."""
    webhook = configuration.webhook
    server = [configuration.registry.server] if configuration.registry.server else []
    targets = [rule.target for rule in webhook.rules]
    return tuple(dict.fromkeys([*server, *targets, *webhook.pull_secret.registries]))


def _asking(configuration: Configuration, around: Surroundings, prefixes: tuple[str, ...]) -> credentials.Asking:
    webhook = configuration.webhook
    if webhook.verify == "off":
        return lambda _: None
    registry = Registry(
        ca_file=Path(webhook.verify_ca) if webhook.verify_ca else None,
        plain_http_on_loopback=webhook.verify_plain_http == "loopback",
        environment=around.environment,
        clock=around.steadiness.clocks.wall,
        logins=around.logins,
    )
    return credentials.asking(registry, prefixes, around.answers, float(configuration.registry.token_ttl))
