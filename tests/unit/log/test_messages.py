"""Every log message is a literal, so that a search finds all its lines and a page can list all messages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import webhook

_PACKAGE = Path(webhook.__file__).parent
_LEVELS = {"debug", "info", "warning", "error", "critical", "exception", "log"}


def _calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a method of a logger named `_log`, and of `log.info`, with its place."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _LEVELS:
                owner = ast.unparse(node.func.value)
                if owner == "_log" or (owner == "log" and node.func.attr == "info"):
                    yield f"{path.relative_to(_PACKAGE.parent)}:{node.lineno}", node


_CALLS = dict(_calls())


def test_calls_of_loggers_are_found() -> None:
    assert len(_CALLS) > 20


@pytest.mark.parametrize("place", _CALLS)
def test_message_is_literal_in_event(place: str) -> None:
    event = _CALLS[place].args[-1]
    assert isinstance(event, ast.Call)
    assert ast.unparse(event.func) in {"log.event", "log.Event"}
    message = event.args[0]
    assert isinstance(message, ast.Constant)
    assert isinstance(message.value, str)
    assert message.value == message.value.strip(" .")
    assert "=" not in message.value
