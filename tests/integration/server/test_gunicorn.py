"""What the server uses of gunicorn: documented names only, because others change without notice.

https://gunicorn.org/custom/, and the docstrings of `gunicorn.workers.base.Worker`.
"""

import ast
import inspect
from pathlib import Path

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.config import make_settings
from gunicorn.workers import base

from webhook.server import supervisor, worker

_IMPORTED = {"gunicorn.app.base.BaseApplication", "gunicorn.glogging.Logger", "gunicorn.workers.base"}


def _imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gunicorn"):
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("gunicorn")}
    return found


def test_only_public_names_imported() -> None:
    package = Path(inspect.getfile(worker)).parents[1]
    assert set().union(*(_imports(ast.parse(file.read_text())) for file in package.rglob("*.py"))) == _IMPORTED


@pytest.mark.parametrize(
    ("ours", "theirs", "overridden"),
    [(worker.Worker, base.Worker, {"run"}), (supervisor.Application, BaseApplication, {"load", "load_config"})],
)
def test_only_documented_methods_overridden(ours: type, theirs: type, overridden: set[str]) -> None:
    own = {name for name in vars(ours) if not name.startswith("__")}
    assert own & set(dir(theirs)) == overridden


def test_worker_uses_public_attributes_only() -> None:
    tree = ast.parse(inspect.getsource(worker.Worker))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    own = set(vars(worker.Worker)) | {"_loop", "_stop"}
    assert used - own == {"alive", "notify", "ppid", "sockets", "wsgi"}


def test_settings_exist() -> None:
    known = make_settings()
    tree = ast.parse(inspect.getsource(supervisor.Application))
    (settings,) = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    assert {key.value for key in settings.keys if isinstance(key, ast.Constant)} <= set(known)
