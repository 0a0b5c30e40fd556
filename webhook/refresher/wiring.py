"""What the sidecar does by one configuration: the loops that read, publish and watch, wired together."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from webhook.config import assemble
from webhook.credentials import factory
from webhook.kube.api import Cluster
from webhook.kube.client import Client
from webhook.pull_secret.manifest import Document
from webhook.pull_secret.schedule import Schedule
from webhook.refresher import credential_refresh, pull_secrets
from webhook.refresher.credential_refresh import Answers, Credentials
from webhook.refresher.entitlement import Entitlements
from webhook.refresher.pull_secrets import Publisher, Terms
from webhook.refresher.runtime import reflector
from webhook.refresher.runtime.clock_jump import Steadiness
from webhook.refresher.runtime.event_recorder import Reporter
from webhook.refresher.runtime.liveness import Beats
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.reflector import Watching
from webhook.refresher.runtime.thread_group import Threads
from webhook.registry.auth import Registry
from webhook.registry.logins import Logins
from webhook.settings import Configuration

_log = logging.getLogger("webhook.refresher")


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


class Duties:
    """The loops of one configuration, and what they share."""

    def __init__(self, configuration: Configuration, around: Surroundings, good: Document | None = None) -> None:
        """Wire them; nothing is asked or read yet. `good` is what was published before, for the same registry."""
        self._threads = Threads(around.beats, around.metrics, around.steadiness.clocks.monotonic)
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
            source=factory.source(
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
            self._threads.start(f"watch of {what}", reflector.STALLED, one.run)
        self.start_workers()
        self._threads.start("credentials", credential_refresh.STALLED, self.credentials.run)

    def start_workers(self) -> None:
        """Start what writes, and no more."""
        for number in range(pull_secrets.WORKERS):
            self._threads.start(f"worker {number}", pull_secrets.STALLED, self.publisher.work)

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


def _asking(configuration: Configuration, around: Surroundings, prefixes: tuple[str, ...]) -> credential_refresh.Asking:
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
    return credential_refresh.asking(registry, prefixes, around.answers, float(configuration.registry.token_ttl))
