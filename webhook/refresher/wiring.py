"""Wire the loops of one configuration: everything that they share is created here and passed to constructors."""

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
from webhook.refresher.credential_check import CredentialCheck, VerdictCache, credential_check
from webhook.refresher.credential_refresh import CredentialRefresher
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


class Dependencies(NamedTuple):
    """Dependencies that outlive a change of the configuration."""

    client: Client
    identity: str
    """This replica's name in the Lease and in Events."""
    environment: Mapping[str, str]
    metrics: Metrics
    heartbeats: Heartbeats
    clock_guard: ClockJumpGuard
    leading: Callable[[], bool]
    """Whether this replica is the one that writes."""
    logins: Logins
    verdicts: VerdictCache
    entitlements: Entitlements


class Controllers:
    """The loops of one configuration. `last_good` is what was published before, for the same registry."""

    def __init__(
        self, configuration: Configuration, dependencies: Dependencies, last_good: PullSecret | None = None
    ) -> None:
        metrics, guard = dependencies.metrics, dependencies.clock_guard
        clocks, webhook = guard.clocks, configuration.webhook
        self._threads = ThreadGroup(dependencies.heartbeats, metrics, clocks.monotonic)
        stopped = self._threads.stop.is_set

        def leading() -> bool:
            return dependencies.leading() and not stopped()

        name = webhook.pull_secret.name
        cluster = Cluster(dependencies.client, name, configuration.installation.namespace)
        events = EventRecorder(cluster, name, dependencies.identity, leading, clocks.monotonic)
        provider = factory.create_provider(
            configuration, clock=clocks.wall, monotonic=clocks.monotonic, environment=dependencies.environment
        )
        prefixes = configuration.private_prefixes
        last_good = last_good if provider else None
        schedule = Schedule(configuration.registry)
        self.pull_secrets = PullSecretController(
            cluster=cluster,
            settings=webhook.pull_secret,
            namespace_filter=NamespaceFilter(webhook.namespaces, configuration.installation.namespace),
            events=events,
            metrics=metrics,
            clock_guard=guard,
            entitlements=dependencies.entitlements,
            leading=leading,
            resync_interval=schedule.after_success(None, clocks.random()),
            pull_secret=last_good,
        )
        self.credentials = CredentialRefresher(
            provider=provider,
            check=_check(configuration, dependencies, prefixes),
            prefixes=prefixes,
            leading=leading,
            strict=webhook.verify == "strict",
            schedule=schedule,
            pull_secrets=self.pull_secrets,
            events=events,
            metrics=metrics,
            clocks=clocks,
            last_good=last_good,
        )
        watched = (
            ("namespaces", cluster.namespaces, self.pull_secrets.namespaces),
            ("secrets", cluster.secrets, self.pull_secrets.secrets),
        )
        self._reflectors = {
            what: Reflector(resource, store, self.pull_secrets.enqueue_all, metrics.watch_restarts.labels(what).inc)
            for what, resource, store in watched
        }

    def start(self) -> None:
        """Start all loops."""
        for what, one in self._reflectors.items():
            self._threads.start(f"watch of {what}", reflector.STALL_TIMEOUT, one.run)
        self._threads.start("resync", pull_secrets.STALL_TIMEOUT, self.pull_secrets.resync)
        self.start_workers()
        self._threads.start("credentials", credential_refresh.STALL_TIMEOUT, self.credentials.run)

    def start_workers(self) -> None:
        """Start only the workers that write pull secrets."""
        for number in range(pull_secrets.WORKERS):
            self._threads.start(f"worker {number}", pull_secrets.STALL_TIMEOUT, self.pull_secrets.work)

    def stop(self) -> None:
        """Stop all loops, without waiting for pending responses."""
        self._threads.request_stop()
        self.credentials.close()
        self.pull_secrets.close()
        for one in self._reflectors.values():
            one.close()

    def on_leadership_change(self, leading: bool) -> None:  # noqa: FBT001 - the election's callback
        """Start or stop writing."""
        if leading:
            self.pull_secrets.start()
        else:
            self.credentials.stop_publishing()
            self.pull_secrets.stop()


def _check(configuration: Configuration, dependencies: Dependencies, prefixes: tuple[str, ...]) -> CredentialCheck:
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
    return credential_check(registry, prefixes, dependencies.verdicts, float(configuration.registry.token_ttl))
