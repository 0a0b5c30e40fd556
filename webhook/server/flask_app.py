"""Flask applications that any WSGI server can serve.

Only our own server has request timeouts, connection limits, a drain, and certificates that are reloaded.
"""

import os
from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from webhook.admission import review
from webhook.admission.mutator import Mutator
from webhook.config import files
from webhook.config.load import load
from webhook.server import routes
from webhook.server.counters import ReviewCounters
from webhook.server.refusals import Refusal, Refused
from webhook.server.routes import Reply


def admission(mutator: Callable[[], Mutator], counters: ReviewCounters) -> Flask:
    """Return the application that the API server calls; `mutator` returns the current one."""
    app = _bare("webhook.admission", counters)

    @app.post("/mutate")
    def mutate() -> Response:
        body = request.get_data(cache=False)
        client = request.remote_addr or ""
        return _response(routes.mutate(mutator(), request.content_type or "", body, counters, client))

    @app.get("/")
    def about() -> Response:
        return _response(routes.about())

    return app


def health(ready: Callable[[], Reply], metrics: Callable[[], Reply]) -> Flask:
    """Return the application that the kubelet and Prometheus call."""
    app = _bare("webhook.health")

    @app.get("/healthz")
    def healthz() -> Response:
        return _response(routes.alive())

    @app.get("/readyz")
    def readyz() -> Response:
        return _response(ready())

    @app.get("/metrics")
    def exposition() -> Response:
        return _response(metrics())

    return app


def create_app() -> Flask:
    """Return the application for another WSGI server; `REGISTRY_WEBHOOK_CONFIG` names its configuration file.

    Raises `ConfigurationError` or `FileError`.
    """
    path = os.environ.get("REGISTRY_WEBHOOK_CONFIG")
    loaded = load(*files.configuration(Path(path) if path else None), os.environ)
    handler = Mutator(loaded.configuration)
    return admission(lambda: handler, ReviewCounters())


def _bare(name: str, counters: ReviewCounters | None = None) -> Flask:
    app = Flask(name, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = review.BODY_LIMIT
    app.url_map.strict_slashes = False

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        if error.code == routes.TOO_LARGE.status:
            if counters is not None:
                counters.refuse(Refused(413, Refusal.TOO_LARGE, request.remote_addr or "", routes.TOO_LARGE.line))
            return _response(routes.TOO_LARGE)
        reply = routes.text(error.code or 500, error.name.lower())
        allow = tuple((name, value) for name, value in error.get_headers() if name == "Allow")
        return _response(Reply(reply.status, reply.headers + allow, reply.body))

    return app


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.headers)
