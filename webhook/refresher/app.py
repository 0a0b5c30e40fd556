"""The refresher's process: its loops, leader election, port and configuration reloads.

No failure of a provider, the registry or the API server ends it. It must not import `webhook.server`.
"""

import logging
import secrets
import socket
from collections.abc import Iterator
from http import HTTPStatus
from threading import Event, Thread

from webhook import log, readiness
from webhook.config.watcher import ConfigWatcher
from webhook.kube.api import Cluster
from webhook.kube.client import Client
from webhook.kube.install import InstallationClient
from webhook.log import shorten
from webhook.pki.rotation import CertificateSpec
from webhook.readiness import Code, Lease, Notice, Readiness, Refresh
from webhook.refresher.certificates.controller import CertificateController, Replica
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.credential_check import VerdictCache
from webhook.refresher.credential_refresh import SUCCESSFUL, Outcome
from webhook.refresher.entitlement import Entitlements
from webhook.refresher.runtime import leader_election
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.clock_jump import ClockJumpGuard
from webhook.refresher.runtime.event_reasons import EventReason
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.leader_election import LeaderElection
from webhook.refresher.runtime.liveness import Heartbeats
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.probe_server import ProbeServer, Reply, accepts
from webhook.refresher.runtime.thread_group import ThreadGroup
from webhook.refresher.wiring import Controllers, Dependencies
from webhook.registry.failure import Failure
from webhook.registry.logins import Logins
from webhook.settings import Configuration
from webhook.timestamps import format_rfc3339

_log = logging.getLogger("webhook.refresher")

#: Seconds between two checks of the configuration file.
_POLL_INTERVAL = 1.0
#: Seconds in which to release the Lease: the process has one second to stop.
_STOP_TIMEOUT = 0.7
_SHOWN = 200
#: Namespaces that warnings of one kind name.
_NAMED = 10
_CODES = {
    Outcome.PUBLISHED: Code.PUBLISHED,
    Outcome.NONE: Code.NO_CREDENTIAL,
    Outcome.STANDBY: Code.STANDBY,
    Outcome.PROVIDER: Code.PROVIDER_FAILED,
    Outcome.REGISTRY: Code.REGISTRY_UNAVAILABLE,
    Outcome.REFUSED: Code.CREDENTIAL_REFUSED,
    Outcome.CLUSTER: Code.CLUSTER_UNAVAILABLE,
}
#: Characters of a replica's name, which becomes the name of an annotation:
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set
_NAME_LIMIT = 63
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class RefresherApp:
    """The refresher. With `key_pair_dir` it manages the webhook's certificate, and writes the key pair there."""

    def __init__(
        self,
        watcher: ConfigWatcher,
        client: Client,
        metrics: Metrics,
        key_pair_dir: KeyPairDir | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._watcher = watcher
        self.configuration = watcher.loaded.configuration
        self._metrics = metrics
        clocks = clocks or Clocks()
        identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        names = self.configuration.installation
        cluster = Cluster(client, self.configuration.webhook.pull_secret.name, names.namespace)
        logins = Logins(clocks.wall)
        self.leadership = LeaderElection(cluster, identity, clocks.monotonic, self._on_leadership_change, logins)
        self._dependencies = Dependencies(
            client=client,
            identity=identity,
            environment=watcher.environment,
            metrics=metrics,
            heartbeats=Heartbeats(clocks.monotonic),
            clock_guard=ClockJumpGuard(clocks),
            leading=self.leadership.leading,
            logins=logins,
            verdicts=VerdictCache(clocks.monotonic),
            entitlements=Entitlements(),
        )
        self._threads = ThreadGroup(self._dependencies.heartbeats, metrics, clocks.monotonic)
        self._events = EventRecorder(cluster, "", identity, self.leadership.leading, clocks.monotonic)
        pod = watcher.environment.get("HOSTNAME") or socket.gethostname()
        self._certificates = CertificateController(
            installation=InstallationClient(client, names),
            key_pair_dir=key_pair_dir,
            spec=lambda: CertificateSpec(names.hosts, self.configuration.webhook.certificate),
            replica=Replica(pod[:_NAME_LIMIT], self.leadership.leading),
            events=self._events,
            metrics=metrics,
            clocks=clocks,
        )
        self.controllers = Controllers(self.configuration, self._dependencies)

    def run(self, stop: Event, listening: socket.socket) -> None:
        """Run until told to stop, and answer probes on a listening socket."""
        paths = {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._exposition}
        server = ProbeServer(listening, paths)
        Thread(target=server.serve_forever, name="http", daemon=True).start()
        _log.info(log.event("configuration loaded", hash=self._note_configuration()))
        _log.info(log.event("probe server started", address=server.address))
        self._dependencies.clock_guard.start()
        self.controllers.start()
        self.start_leadership()
        self._certificates.start(self._threads)
        while not stop.wait(_POLL_INTERVAL):
            if self._watcher.poll():
                self._change_configuration(self._watcher.loaded.configuration)
            self._report_configuration()
        self.stop()

    def start_leadership(self) -> None:
        """Start to compete for the Lease."""
        self._threads.start("lease", leader_election.STALL_TIMEOUT, self.leadership.run)

    def stop(self) -> None:
        """Stop writing and release the Lease; the process's end stops the rest."""
        self.controllers.stop()
        self._threads.request_stop()
        self._certificates.close()
        self._threads.join(_STOP_TIMEOUT)

    def _on_leadership_change(self, leading: bool) -> None:  # noqa: FBT001 - the election's callback
        self.controllers.on_leadership_change(leading)
        self._certificates.reconcile_now()

    def _change_configuration(self, configuration: Configuration) -> None:
        self.controllers.stop()
        same = configuration.registry.server == self.configuration.registry.server
        self.configuration = configuration
        _log.info(log.event("configuration reloaded", hash=self._note_configuration()))
        last_good = self.controllers.credentials.last_good if same else None
        self.controllers = Controllers(configuration, self._dependencies, last_good)
        self.controllers.start()

    def _report_configuration(self) -> None:
        """Create an Event for an invalid configuration, and another when its errors change."""
        if self._watcher.errors:
            note = f"Invalid configuration, using the previous one: {'; '.join(self._watcher.errors)}."
            self._events.report(EventReason.CONFIGURATION_INVALID, note)
        else:
            self._events.resolved(None, EventReason.CONFIGURATION_INVALID)

    def _note_configuration(self) -> str:
        """Export what the current configuration sets, and return its hash."""
        digest = self.configuration.digest
        self._metrics.configuration.info({"hash": digest})
        self._metrics.refresh_interval.set(self.configuration.registry.token_ttl)
        return digest

    def _health(self, _accept: str) -> Reply:
        """Answer whether every loop is alive."""
        stalled = self._dependencies.heartbeats.stalled()
        if not stalled:
            return Reply(HTTPStatus.OK, b"ok\n")
        return Reply(HTTPStatus.SERVICE_UNAVAILABLE, f"no heartbeat: {', '.join(stalled)}\n".encode())

    def _readiness(self, accept: str) -> Reply:
        """Answer whether the first refresh is complete and the credential unexpired, with all warnings."""
        found = self.readiness()
        status = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
        if accepts(accept, readiness.JSON):
            return Reply(status, readiness.encode(found), readiness.JSON)
        return Reply(status, readiness.text(found).encode())

    def readiness(self) -> Readiness:
        """Return the state of this replica."""
        obstacle = self._obstacle()
        credentials = self.controllers.credentials
        last = credentials.last_result
        refresh = None
        if last is not None:
            result = "success" if last.outcome in SUCCESSFUL else "failure"
            code = Code.REGISTRY_UNTRUSTED if last.failure is Failure.UNTRUSTED else _CODES[last.outcome]
            message = shorten(last.detail, _SHOWN)
            refresh = Refresh(format_rfc3339(credentials.refreshed_at), result, code, message)
        return Readiness(
            ready=obstacle is None,
            config_hash=self.configuration.digest,
            lease=Lease(self.leadership.holder, self.leadership.leading()),
            last_refresh=refresh,
            warnings=tuple(self._warnings(obstacle, refresh)),
        )

    def _obstacle(self) -> Notice | None:
        """Return why this replica is not ready."""
        credentials = self.controllers.credentials
        if credentials.last_result is None or not credentials.synced:
            return Notice(Code.REFRESH_PENDING, "the first refresh is not complete")
        if not credentials.has_result():
            return Notice(Code.NOT_PUBLISHED, "there is nothing to publish yet")
        if credentials.expired():
            return Notice(Code.CREDENTIAL_EXPIRED, "the published credential has expired")
        if not self.leadership.ever_held:
            return Notice(Code.NO_LEADER, "no replica has held the Lease yet")
        return None

    def _warnings(self, obstacle: Notice | None, refresh: Refresh | None) -> Iterator[Notice]:
        if obstacle is not None:
            yield obstacle
        if refresh is not None and refresh.result != "success":
            yield Notice(refresh.code, refresh.message)
        errors = {
            Code.LEASE_FAILED: self.leadership.error,
            Code.CERTIFICATE_FAILED: self._certificates.error,
            Code.CONFIGURATION_INVALID: self._watcher.error,
        }
        for code, error in errors.items():
            if error is not None:
                yield Notice(code, shorten(error, _SHOWN))
        pull_secrets = self.controllers.pull_secrets
        namespaces = {Code.PULL_SECRET_FAILED: pull_secrets.failing, Code.FOREIGN_SECRET: pull_secrets.foreign}
        for code, found in namespaces.items():
            # Name only a few: any client that reaches the port can read them. The metrics count all.
            for name, why in sorted(found.copy().items())[:_NAMED]:
                yield Notice(code, shorten(why, _SHOWN), name)

    def _exposition(self, _accept: str) -> Reply:
        metrics, pull_secrets = self._metrics, self.controllers.pull_secrets
        metrics.leading.set(self.leadership.leading())
        metrics.selected.set(pull_secrets.selected_count())
        metrics.failing.set(len(pull_secrets.failing))
        metrics.foreign.set(len(pull_secrets.foreign))
        metrics.contended.set(len(pull_secrets.contended))
        metrics.reloaded.set(self._watcher.error is None)
        return Reply(HTTPStatus.OK, metrics.exposition(), _EXPOSITION)
