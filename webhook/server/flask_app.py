"""The Flask application, which any WSGI server can serve. Our own server does not import it.

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
from webhook.server import applications, routes
from webhook.server.applications import Application
from webhook.server.counters import ReviewCounters
from webhook.server.refusals import Refusal, Refused
from webhook.server.routes import Reply, Request


def create_app() -> Flask:
    """Return the application for a WSGI server; `REGISTRY_WEBHOOK_CONFIG` names its configuration file.

    Raises `ConfigurationError` or `FileError`.
    """
    path = os.environ.get("REGISTRY_WEBHOOK_CONFIG")
    loaded = load(*files.configuration(Path(path) if path else None), os.environ)
    mutator = Mutator(loaded.configuration)
    return admission(lambda: mutator, ReviewCounters())


def admission(mutator: Callable[[], Mutator], counters: ReviewCounters) -> Flask:
    """Return the application that the API server calls; `mutator` returns the current one."""
    app = Flask("webhook", static_folder=None, template_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=review.BODY_LIMIT, PROVIDE_AUTOMATIC_OPTIONS=False)
    # An API server follows redirects, so there must be none.
    app.url_map.strict_slashes = app.url_map.merge_slashes = False
    for path, route in applications.admission(mutator, counters).items():
        app.add_url_rule(path, path, _view(route.application), methods=[route.method.decode()])

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        if error.code == routes.TOO_LARGE.status:
            counters.refuse(Refused(413, Refusal.TOO_LARGE, request.remote_addr or "", routes.TOO_LARGE.line))
            return _response(routes.TOO_LARGE)
        reply = routes.text(error.code or 500, error.name.lower())
        allow = tuple((name, value) for name, value in error.get_headers() if name == "Allow")
        return _response(Reply(reply.status, reply.headers + allow, reply.body))

    @app.after_request
    def log_refusals(response: Response) -> Response:
        counters.refusals.flush()
        return response

    return app


def _view(application: Application) -> Callable[[], Response]:
    def answer() -> Response:
        headers = {b"content-type": (request.content_type or "").encode("latin-1")}
        body = request.get_data(cache=False)
        asked = Request(request.method.encode(), request.path.encode(), headers, body, request.remote_addr or "")
        return _response(application(asked))

    return answer


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.headers)
