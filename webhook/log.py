"""How a line is written, so that nothing that a Pod's author or a client sends can forge one.

A line is: time (UTC), level, logger, message, then `name=value` pairs. A value that could be taken for anything else is
quoted and escaped, and every character that is not printable ASCII is written as an escape.
"""

import json
import logging
import re
import sys
import time
from typing import Any

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+*,-]+")
_LIMIT = 512


def escape(text: str) -> str:
    """Write `text` in printable ASCII on one line: anything else becomes a backslash escape."""
    return text.encode("unicode_escape").decode("ascii")


def shorten(text: str, limit: int) -> str:
    """Escape `text`, and cut it to `limit` characters with an ellipsis where it is longer."""
    # No more is escaped than could be shown, however long the text is.
    escaped = escape(text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def pair(name: str, value: object) -> str:
    """Write a value as `name=value`, quoted unless it is plain, and bounded."""
    text = str(value)
    if len(text) > _LIMIT:
        text = text[: _LIMIT - 3] + "..."
    return f"{name}={text}" if _PLAIN.fullmatch(text) else f"{name}={json.dumps(text)}"


def event(message: str, **values: object) -> str:
    """Compose a message of our own words with the values that belong to it; None is left out."""
    return " ".join([message, *(pair(name, value) for name, value in values.items() if value is not None)])


class _Formatter(logging.Formatter):
    """One line a record; a traceback becomes the place it came from, for its text may quote what was sent."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        text = escape(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            text += " " + where(record.exc_info[1])
        return f"{self.formatTime(record)} {record.levelname} {record.name} {text}"


def where(error: BaseException) -> str:
    """Say what kind of fault `error` is and where in the code it arose, and nothing of what it says."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def configure(level: str = "INFO", stream: Any = None) -> None:
    """Send every logger's records to `stream` (standard error by default), a line each.

    Below INFO only our own say anything: what libraries would say there can hold what was sent and received.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=max(logging.INFO, logging.getLevelNamesMapping()[level]), handlers=[handler], force=True)
    logging.getLogger("webhook").setLevel(level)
