"""What the sidecar does by one configuration: the loops that read, publish and watch, wired together."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from webhook.admission.namespace_filter import NamespaceFilter
from webhook.credentials import factory
from webhook.kube.api import Cluster
from webhook.kube.client import Client
from webhook.pull_secret.manifest import PullSecret
from webhook.pull_secret.schedule import Schedule
from webhook.refresher import credential_refresh, pull_secrets
from webhook.refresher.credential_refresh import CredentialRefresher, VerdictCache
from webhook.refresher.entitlement import Entitlements
from webhook.refresher.pull_secrets import PullSecretController
from webhook.refresher.runtime import reflector
from webhook.refresher.runtime.clock_jump import ClockJumpGuard
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.liveness import Heartbeats
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.reflector import Reflector
from webhook.refresher.runtime.thread_group import ThreadGroup
from webhook.registry.auth import CredentialChecker
from webhook.registry.logins import Logins
from webhook.settings import Configuration

_log = logging.getLogger("webhook.refresher")


class Dependencies(NamedTuple):
    """What outlives a change of the configuration."""

    client: Client
    identity: str
    """What this replica is called in the Lease and in Events."""
    environment: Mapping[str, str]
    metrics: Metrics
    heartbeats: Heartbeats
    clock_guard: ClockJumpGuard
    """The clocks, and what is known of them."""
    leading: Callable[[], bool]
    """Whether this replica is the one that writes."""
    logins: Logins
    """Logins that registries refused."""
    answers: VerdictCache
    """What registries said of credentials."""
    entitlements: Entitlements
    """Which pull secrets have stood in a served namespace."""


class Controllers:
    """The loops of one configuration, and what they share."""

    def __init__(
        self, configuration: Configuration, dependencies: Dependencies, last_good: PullSecret | None = None
    ) -> None:
        """Wire them; nothing is asked or read yet. `last_good` is what was published before, for the same registry."""
        self._threads = ThreadGroup(
            dependencies.heartbeats, dependencies.metrics, dependencies.clock_guard.clocks.monotonic
        )
        webhook = configuration.webhook
        name = webhook.pull_secret.name
        cluster = Cluster(dependencies.client, name, configuration.installation.namespace)
        clocks = dependencies.clock_guard.clocks
        stopped = self._threads.stop.is_set

        def leading() -> bool:
            return dependencies.leading() and not stopped()

        events = EventRecorder(cluster, name, dependencies.identity, leading, clocks.monotonic)
        self.pull_secrets = PullSecretController(
            cluster=cluster,
            settings=webhook.pull_secret,
            namespace_filter=NamespaceFilter(webhook.namespaces, configuration.installation.namespace),
            events=events,
            metrics=dependencies.metrics,
            clock_guard=dependencies.clock_guard,
            entitlements=dependencies.entitlements,
            leading=leading,
        )
        prefixes = configuration.private_prefixes
        self.credentials = CredentialRefresher(
            provider=factory.create_provider(
                configuration, clock=clocks.wall, monotonic=clocks.monotonic, environment=dependencies.environment
            ),
            ask=_credential_check(configuration, dependencies, prefixes),
            prefixes=prefixes,
            leading=leading,
            strict=webhook.verify == "strict",
            schedule=Schedule(configuration.registry),
            pull_secrets=self.pull_secrets,
            events=events,
            metrics=dependencies.metrics,
            clocks=clocks,
            last_good=last_good,
        )
        self._reflectors = [
            Reflector(kind, store, self.pull_secrets.enqueue_all, dependencies.metrics.watch_restarts.labels(what).inc)
            for what, kind, store in (
                ("namespaces", cluster.namespaces, self.pull_secrets.namespaces),
                ("secrets", cluster.secrets, self.pull_secrets.secrets),
            )
        ]

    def start(self) -> None:
        """Start everything."""
        for what, one in zip(("namespaces", "secrets"), self._reflectors, strict=True):
            self._threads.start(f"watch of {what}", reflector.STALL_TIMEOUT, one.run)
        self.start_workers()
        self._threads.start("credentials", credential_refresh.STALL_TIMEOUT, self.credentials.run)

    def start_workers(self) -> None:
        """Start what writes, and no more."""
        for number in range(pull_secrets.WORKERS):
            self._threads.start(f"worker {number}", pull_secrets.STALL_TIMEOUT, self.pull_secrets.work)

    def stop(self) -> None:
        """Stop everything, without waiting for answers that are on their way."""
        self._threads.request_stop()
        self.credentials.close()
        self.pull_secrets.close()
        for one in self._reflectors:
            one.close()

    def on_leadership_change(self, leading: bool) -> None:  # noqa: FBT001 - the Lease's answer
        """Begin or cease to write."""
        if leading:
            self.pull_secrets.start()
        else:
            self.credentials.stop_publishing()
            self.pull_secrets.stop()


def _credential_check(
    configuration: Configuration, dependencies: Dependencies, prefixes: tuple[str, ...]
) -> credential_refresh.CredentialCheck:
    webhook = configuration.webhook
    if webhook.verify == "off":
        return lambda _: None
    registry = CredentialChecker(
        ca_file=Path(webhook.verify_ca) if webhook.verify_ca else None,
        plain_http_on_loopback=webhook.verify_plain_http == "loopback",
        environment=dependencies.environment,
        clock=dependencies.clock_guard.clocks.wall,
        logins=dependencies.logins,
    )
    return credential_refresh.credential_check(
        registry, prefixes, dependencies.answers, float(configuration.registry.token_ttl)
    )
