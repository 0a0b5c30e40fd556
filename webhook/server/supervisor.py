"""gunicorn's supervisor with one worker process, and the wiring of the applications that the worker serves."""

import gc
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from webhook.admission.mutator import Mutator
from webhook.server import applications, routes
from webhook.server.applications import dispatch
from webhook.server.counters import ReviewCounters
from webhook.server.http1 import REQUEST_TIMEOUT
from webhook.server.metrics import Metrics
from webhook.server.reloader import Reloader
from webhook.server.routes import Reply
from webhook.server.worker import (
    CONNECTIONS,
    HEALTH_CONNECTIONS,
    HEALTH_MEMORY_LIMIT,
    MEMORY_LIMIT,
    PortConfig,
    ServerConfig,
    Worker,
)


def serve(reloader: Reloader, sockets: list[socket.socket], drain: float) -> None:
    """Serve until told to stop: reviews over TLS on the first of two listening sockets, probes on the other.

    For `drain` seconds after SIGTERM connections are still accepted.
    """
    Application(_server_config(reloader, drain), [sock.detach() for sock in sockets]).run()


def _server_config(reloader: Reloader, drain: float) -> ServerConfig:
    draining = False

    def on_stop() -> None:
        nonlocal draining
        draining = True

    def ready() -> Reply:
        return routes.ready(reloader.state, draining=draining)

    def mutator() -> Mutator:
        return reloader.state.mutator

    counters = ReviewCounters()
    metrics = Metrics(lambda: reloader.state, counters)
    https = PortConfig(
        "https",
        dispatch(applications.admission(mutator, counters)),
        CONNECTIONS,
        MEMORY_LIMIT,
        tls=lambda: reloader.state.tls,
        truncated=applications.truncated(mutator, counters),
    )
    probes = applications.health(ready, lambda: routes.metrics(metrics.exposition()))
    health = PortConfig("health", dispatch(probes), HEALTH_CONNECTIONS, HEALTH_MEMORY_LIMIT)
    return ServerConfig((https, health), reloader.poll, on_stop, drain, metrics, counters)


class _Log(Logger):  # type: ignore[misc] # gunicorn has no types
    """Passes gunicorn's log messages on to the root logger's handler."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True


class Application(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's supervisor of one worker."""

    def __init__(self, config: ServerConfig, descriptors: list[int]) -> None:
        self._config = config
        self._settings = {
            "bind": [f"fd://{descriptor}" for descriptor in descriptors],
            "workers": 1,
            "pre_fork": _freeze,
            "worker_class": Worker,
            "worker_tmp_dir": _memory_folder(),
            "timeout": 30,
            "graceful_timeout": int(config.drain + 2 * REQUEST_TIMEOUT),
            "control_socket_disable": True,
            "logger_class": _Log,
            "loglevel": "warning",
        }
        super().__init__(prog="registry-webhook")

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> ServerConfig:
        return self._config


def _freeze(_supervisor: object, _worker: object) -> None:
    """Keep the worker's garbage collector from writing to the objects that it shares with the supervisor.

    A page that is written to is copied: the worker would have twice as much memory of its own.
    """
    gc.freeze()


def _memory_folder() -> str:
    """Return a directory for the worker's heartbeat file, in memory if possible: a slow disk must not delay it."""
    shared = Path("/dev/shm")  # noqa: S108 - gunicorn uses mkstemp and unlinks the file at once
    return str(shared) if os.access(shared, os.W_OK | os.X_OK) else tempfile.gettempdir()
