"""How a line is written, so that nothing that a Pod's author or a client sends can forge one.

A line is: time (UTC), level, logger, message, then `name=value` pairs. A value that could be taken for anything else is
quoted and escaped, and every character that is not printable ASCII is written as an escape.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import Any, TextIO

from webhook.lines import Lines

_LIMIT = 512
#: Seconds that a line waits for whoever reads it, where nothing else does.
_PATIENCE = 1.0
_PLAIN = re.compile(rf"[A-Za-z0-9_./:@%+*,-]{{1,{_LIMIT}}}")


class Event(str):
    """A message that needs no escaping: it is printable ASCII on one line."""

    __slots__ = ()


def escape(text: str) -> str:
    """Write `text` in printable ASCII on one line: anything else becomes a backslash escape."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii")


def shorten(text: str, limit: int) -> str:
    """Escape `text`, and cut it to `limit` characters with an ellipsis where it is longer."""
    # No more is escaped than could be shown, however long the text is.
    escaped = escape(text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def quoted(value: object) -> str:
    """Write a value in printable ASCII, in quotes unless it is plain, and bounded."""
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    if len(text) > _LIMIT:
        return quoted(text[: _LIMIT - 3] + "...")
    return json.dumps(text)


def pairs(**values: object) -> str:
    """Write values as `name=value`, each with a blank before it; None is left out."""
    return "".join([f" {name}={quoted(value)}" for name, value in values.items() if value is not None])


def event(message: str, **values: object) -> Event:
    """Compose a message with the values that belong to it; None is left out."""
    return Event(escape(message) + pairs(**values))


class _Lines(logging.Handler):
    """One line a record, each written at once, or several together when it is told when.

    A traceback becomes the place it came from, for its text may quote what was sent.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.lines = Lines(stream, lambda number: _line("WARNING", "webhook.log", f"{number} lines were lost"))
        self._together: list[str] = []
        self._since = ""
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._thread = 0

    def gather(self, soon: Callable[[Callable[[], None]], object] | None) -> None:
        self.flush()
        self._soon, self._thread = soon, get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.msg if isinstance(record.msg, Event) else escape(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            text += " " + where(record.exc_info[1])
        self.write(record.levelname, record.name, text)

    def write(self, level: str, name: str, text: str) -> None:
        if self._soon is None:
            self.lines.write(_line(level, name, text), _PATIENCE)
        elif self._thread != get_ident():
            self.lines.write(_line(level, name, text), 0)
        else:
            if not self._together:
                self._since = _now()
                self._soon(self._write_together)
            self._together.append(f"{self._since} {level} {name} {text}\n")

    def _write_together(self) -> None:
        together, self._together = self._together, []
        if together:
            self.lines.write("".join(together), 0)

    def flush(self) -> None:
        self._write_together()
        self.lines.flush(_PATIENCE)


def _line(level: str, name: str, text: str) -> str:
    return f"{_now()} {level} {name} {text}\n"


def _now() -> str:
    moment = time.time()
    return f"{_second(int(moment))}.{int(moment % 1 * 1000):03d}Z"


@lru_cache(1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def say(logger: logging.Logger, event: Event) -> None:
    """Do what `logger.info` does where INFO is enabled, for what is said of every request.

    Where our lines are all that is logged to, no record is made: that takes longer than deciding a review.
    """
    handlers = logging.getLogger().handlers
    if len(handlers) == 1 and isinstance(handlers[0], _Lines):
        handlers[0].write("INFO", logger.name, event)
    else:
        logger.info(event)


def gather(soon: Callable[[Callable[[], None]], object] | None) -> None:
    """Have this thread's lines written together from now on, whenever `soon` calls what it is given; None: at once.

    Writing a line takes as long as deciding a review, and those that are answered in one turn of an event loop can
    share it. No other thread's lines are kept waiting. Meanwhile nothing waits for whoever reads the lines: `catch_up`
    is to be called now and then.
    """
    for handler in _ours():
        handler.gather(soon)


def catch_up() -> None:
    """Write what could not be written before, as far as it is taken now."""
    for handler in _ours():
        handler.lines.flush(0)


def lost() -> int:
    """Count the lines that nobody took in time."""
    return sum(handler.lines.lost for handler in _ours())


def _ours() -> list[_Lines]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Lines)]


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
    # A line says none of these, and finding them out takes longer than all else about it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - the logging HOWTO, "Optimization"
    lines = _Lines(stream or sys.stderr)
    logging.basicConfig(level=max(logging.INFO, logging.getLevelNamesMapping()[level]), handlers=[lines], force=True)
    logging.getLogger("webhook").setLevel(level)
