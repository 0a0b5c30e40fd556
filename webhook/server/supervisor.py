"""gunicorn around the worker: a supervisor, one worker process, no configuration file of its own."""

import os
import socket
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from webhook.admission.mutator import Mutator
from webhook.server import flask_app, routes, wsgi
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
    _Application(_server_config(reloader, drain), [sock.detach() for sock in sockets], drain).run()


def _server_config(reloader: Reloader, drain: float) -> ServerConfig:
    draining = False

    def stopping() -> None:
        nonlocal draining
        draining = True

    def ready() -> Reply:
        return routes.ready(reloader.state, draining=draining)

    def handler() -> Mutator:
        return reloader.state.mutator

    counters = ReviewCounters()
    reviews = wsgi.admission(handler, counters, flask_app.admission(handler, counters))
    metrics = Metrics(lambda: reloader.state, counters)
    probes = partial(wsgi.call, flask_app.health(ready, lambda: routes.metrics(metrics.exposition())))
    return ServerConfig(
        ports=(
            PortConfig(
                "https", reviews, CONNECTIONS, MEMORY_LIMIT, is_secure=True, truncated=wsgi.truncated(handler, counters)
            ),
            PortConfig("health", probes, HEALTH_CONNECTIONS, HEALTH_MEMORY_LIMIT, is_secure=False),
        ),
        tls=lambda: reloader.state.tls,
        poll=reloader.poll,
        stopping=stopping,
        drain=drain,
        metrics=metrics,
        counters=counters,
    )


class _Log(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's own lines, written as all others are."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True


class _Application(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    def __init__(self, config: ServerConfig, descriptors: list[int], drain: float) -> None:
        self._config = config
        self._settings = {
            "bind": [f"fd://{descriptor}" for descriptor in descriptors],
            "workers": 1,
            "worker_class": Worker,
            "worker_tmp_dir": _memory_folder(),
            "timeout": 30,
            "graceful_timeout": int(drain + 2 * REQUEST_TIMEOUT),
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


def _memory_folder() -> str:
    """Find a folder for the worker's heartbeat file, in memory where there is one: a slow disk must not stop it."""
    shared = Path("/dev/shm")  # noqa: S108 - the file is made by mkstemp and has no name once it is open
    return str(shared) if os.access(shared, os.W_OK | os.X_OK) else tempfile.gettempdir()
