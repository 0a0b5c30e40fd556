"""The sidecar's process: its loops, the Lease, its port, and the configuration that changes under it.

No fault of a source, of the registry or of the API server ends it, and nothing here knows of the webhook's process.
"""

import logging
import secrets
import socket
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from threading import Event, Thread

from webhook import log
from webhook.adapters.cluster.api import Cluster
from webhook.adapters.cluster.client import Client
from webhook.adapters.cluster.installation import Installation
from webhook.adapters.configuration import WatchedConfiguration
from webhook.adapters.pair import ServedPair
from webhook.adapters.registry import Logins
from webhook.certificates.rotation import Terms
from webhook.config.fingerprint import fingerprint
from webhook.config.model import Configuration
from webhook.log import shorten
from webhook.sidecar import leadership
from webhook.sidecar.certificates import Certificates, Replica
from webhook.sidecar.clocks import Clocks
from webhook.sidecar.credentials import WELL, Answers
from webhook.sidecar.duties import Duties, Surroundings, Threads
from webhook.sidecar.health import Beats
from webhook.sidecar.http import Reply, Server
from webhook.sidecar.leadership import Leadership
from webhook.sidecar.metrics import Metrics
from webhook.sidecar.reporting import Reporter
from webhook.sidecar.steadiness import Steadiness

_log = logging.getLogger("webhook.refresher")

#: Seconds between two looks at the configuration file.
_LOOK = 1.0
#: What is left of the second in which the process has to stop, for the Lease to be given up in.
_GIVING_UP = 0.7
_SHOWN = 200
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/#syntax-and-character-set
_NAME_LIMIT = 63
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Process:
    """Everything that runs."""

    def __init__(
        self,
        watched: WatchedConfiguration,
        client: Client,
        metrics: Metrics,
        served: ServedPair | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        """Wire everything; nothing is started yet. With `served` the webhook's certificate is kept there."""
        self._watched = watched
        self.configuration = watched.loaded.configuration
        self.metrics = metrics
        clocks = clocks or Clocks()
        identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        names = self.configuration.installation
        cluster = Cluster(client, self.configuration.webhook.pull_secret.name, names.namespace)
        self.logins = Logins(clocks.wall)
        self.leadership = Leadership(cluster, identity, clocks.monotonic, self._turned, self.logins)
        self._around = Surroundings(
            client,
            identity,
            watched.environment,
            self.metrics,
            Beats(clocks.monotonic),
            Steadiness(clocks),
            self.leadership.leading,
            self.logins,
            Answers(clocks.monotonic),
        )
        self._threads = Threads(self._around)
        self.certificates = self._wire_certificates(cluster, served)
        self.duties = Duties(self.configuration, self._around)

    def run(self, stop: Event, listening: socket.socket) -> None:
        """Run until told to stop, and answer on a listening socket meanwhile."""
        server = Server(listening, {"/healthz": self._health, "/readyz": self._readiness, "/metrics": self._exposition})
        Thread(target=server.serve_forever, name="http", daemon=True).start()
        self._say_configuration()
        _log.info(log.event("serving probes and metrics", address=server.address))
        self._around.steadiness.begin()
        self.duties.start()
        self.start_leadership()
        self.certificates.start(self._threads)
        while not stop.wait(_LOOK):
            if self._watched.look():
                self._change_configuration(self._watched.loaded.configuration)
        self.stop()

    def start_leadership(self) -> None:
        """Begin to try for the Lease."""
        self._threads.start("lease", leadership.STALLED, self.leadership.run)

    def stop(self) -> None:
        """Stop writing, give the Lease up, and leave the rest to the process's end."""
        self.duties.stop()
        self._threads.end()
        self.certificates.close()
        self._threads.join(_GIVING_UP)

    def _wire_certificates(self, cluster: Cluster, served: ServedPair | None) -> Certificates:
        around = self._around
        clocks = around.steadiness.clocks
        name = around.environment.get("HOSTNAME") or socket.gethostname()
        return Certificates(
            installation=Installation(around.client, self.configuration.installation),
            served=served,
            terms=lambda: _terms(self.configuration),
            replica=Replica(name[:_NAME_LIMIT], around.leading),
            reporter=Reporter(cluster, "", around.identity, around.leading, clocks.monotonic),
            metrics=around.metrics,
            clocks=clocks,
        )

    def _turned(self, leading: bool) -> None:  # noqa: FBT001 - the Lease's answer
        self.duties.turned(leading)
        self.certificates.look()

    def _change_configuration(self, configuration: Configuration) -> None:
        self.duties.stop()
        same = configuration.registry.server == self.configuration.registry.server
        self.configuration = configuration
        self._say_configuration()
        self.duties = Duties(configuration, self._around, self.duties.credentials.good if same else None)
        self.duties.start()

    def _say_configuration(self) -> None:
        digits = fingerprint(self.configuration)
        self.metrics.configuration.info({"hash": digits})
        _log.info(log.event("configuration in force", hash=digits))

    def _health(self) -> Reply:
        """Say whether every loop goes round."""
        stalled = self._around.beats.stalled()
        if not stalled:
            return Reply(HTTPStatus.OK, b"ok\n")
        return Reply(HTTPStatus.SERVICE_UNAVAILABLE, f"no sign of life: {', '.join(stalled)}\n".encode())

    def _readiness(self) -> Reply:
        """Say whether the first pass is done and the credential unexpired, and what is wrong besides."""
        credentials = self.duties.credentials
        last = credentials.last
        why = None
        if last is None or not credentials.settled:
            why = "the first pass is not over"
        elif not credentials.published():
            why = f"nothing is published yet: {last.detail}"
        elif credentials.expired():
            why = "the published credential has expired"
        elif not self.leadership.held:
            why = "no replica has had the Lease yet"
        lines = ["ready" if why is None else f"not ready: {why}", shorten(self.leadership.who(), _SHOWN)]
        if last is not None and last.outcome not in WELL:
            lines.append(f"last pass: {last.outcome.value}: {last.detail}")
        if self.leadership.fault is not None:
            lines.append(self.leadership.fault)
        if self.certificates.fault is not None:
            lines.append(self.certificates.fault)
        if self._watched.fault is not None:
            lines.append(
                f"the configuration is broken, the last good one stays: {shorten(self._watched.fault, _SHOWN)}"
            )
        publisher = self.duties.publisher
        lines += [f"{name}: {fault}" for name, fault in sorted(publisher.failing.items())[:10]]
        lines += [f"{name}: another Secret has the name" for name in sorted(publisher.foreign)[:10]]
        status = HTTPStatus.OK if why is None else HTTPStatus.SERVICE_UNAVAILABLE
        return Reply(status, "".join(f"{line}\n" for line in lines).encode())

    def _exposition(self) -> Reply:
        publisher = self.duties.publisher
        counts: dict[str, Callable[[], float]] = {
            "leading": self.leadership.leading,
            "served": publisher.served,
            "failing": lambda: len(publisher.failing),
            "foreign": lambda: len(publisher.foreign),
            "contended": lambda: len(publisher.contended),
            "reloaded": lambda: self._watched.fault is None,
        }
        for name, count in counts.items():
            getattr(self.metrics, name).set(count())
        return Reply(HTTPStatus.OK, self.metrics.exposition(), _EXPOSITION)


def _terms(configuration: Configuration) -> Terms:
    settings = configuration.webhook.certificate
    life, authority_life, overlap = settings.life, settings.authority_life, settings.overlap
    return Terms(
        configuration.installation.hosts,
        timedelta(seconds=life),
        timedelta(seconds=authority_life),
        timedelta(seconds=overlap),
    )
