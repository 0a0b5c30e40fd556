"""How a line is written, so that nothing that a Pod's author or a client sends can forge one.

As text a line is: time (UTC), level, logger, message, then `name=value` pairs. A value that could be taken for anything
else is quoted and escaped. As JSON it is one object with the members `time`, `level`, `logger` and `message`, and one
for each pair. In both, every character that is not printable ASCII is written as an escape.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from threading import get_ident
from typing import Any, Literal, Protocol, TextIO

from webhook.log.nonblocking import NonBlockingWriter

_LIMIT = 512
#: Seconds that a line waits for whoever reads it, where nothing else does.
_TIMEOUT = 1.0
_NUMBERS = (int, float)
_PACKAGE = __name__.partition(".")[0]
_is_plain = re.compile(rf"[A-Za-z0-9_./:@%+*,-]{{1,{_LIMIT}}}").fullmatch


Form = Literal["text", "json"]
"""How lines are written."""


class LogFields(Protocol):
    """What is said in many lines, and written once in each form that is asked for."""

    @property
    def text(self) -> str:
        """Pairs, each with a blank before it, as `pairs` writes them."""

    @property
    def json(self) -> str:
        """Members of an object, each with a comma before it, as `members` writes them."""


class Event:
    """A message with the values that belong to it, which is written when it is known in which form."""

    __slots__ = ("_account", "_message", "_values")

    def __init__(self, message: str, values: Mapping[str, object], account: LogFields | None = None) -> None:
        """Take the message, values by their names, of which None is left out, and what is said besides."""
        self._message = message
        self._values = values
        self._account = account

    def __str__(self) -> str:
        """Write it as text."""
        return escape(self._message) + pairs(self._values) + (self._account.text if self._account else "")

    def json(self) -> str:
        """Write it as the members of an object."""
        account = self._account.json if self._account else ""
        return f'"message":{encode_basestring_ascii(self._message)}{members(self._values)}{account}'


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


def quoted(value: object, limit: int = _LIMIT) -> str:
    """Write a value in printable ASCII, in quotes unless it is plain, and bounded."""
    text = str(value)
    if _is_plain(text):
        return text
    if len(text) > limit:
        return quoted(text[: limit - 3] + "...", limit)
    return json.dumps(text)


def pairs(values: Mapping[str, object]) -> str:
    """Write values as `name=value`, each with a blank before it; None is left out."""
    return "".join(
        [
            # Most are plain, and a call for each of them takes longer than to tell.
            f" {name}={value if type(value) is str and _is_plain(value) else quoted(value)}"
            for name, value in values.items()
            if value is not None
        ]
    )


def encoded(value: object) -> str:
    """Write a value as JSON, in printable ASCII and bounded; what is no number or truth value is written as a text."""
    if isinstance(value, _NUMBERS):
        return json.dumps(value)
    text = str(value)
    return encode_basestring_ascii(text if len(text) <= _LIMIT else text[: _LIMIT - 3] + "...")


def members(values: Mapping[str, object]) -> str:
    """Write values as members of a JSON object, each with a comma before it; None is left out."""
    return "".join([f',"{name}":{encoded(value)}' for name, value in values.items() if value is not None])


def event(message: str, **values: object) -> Event:
    """Compose a message with the values that belong to it; None is left out."""
    return Event(message, values)


class _Handler(logging.Handler):
    """One line a record, each written at once, or several together when it is told when.

    A traceback becomes the place it came from, for its text may quote what was sent.
    """

    def __init__(self, stream: TextIO, form: Form, *, level_is_fixed: bool) -> None:
        super().__init__()
        self._line = _LINES[form]
        self.level_is_fixed = level_is_fixed
        self.lines = NonBlockingWriter(stream, self._dropped_line)
        self._batched: list[str] = []
        self._since = ""
        self._schedule: Callable[[Callable[[], None]], object] | None = None
        self._thread = 0

    def batch(self, schedule: Callable[[Callable[[], None]], object] | None) -> None:
        self.flush()
        self._schedule, self._thread = schedule, get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        event: object = record.msg
        if not isinstance(event, Event):
            fault = record.exc_info[1] if record.exc_info else None
            event = Event(record.getMessage() + (f" {location(fault)}" if fault else ""), {})
        self.write(record.levelname, record.name, event)

    def write(self, level: str, name: str, event: Event) -> None:
        if self._schedule is None:
            self.lines.write(self._line(_now(), level, name, event), _TIMEOUT)
        elif self._thread != get_ident():
            self.lines.write(self._line(_now(), level, name, event), 0)
        else:
            if not self._batched:
                self._since = _now()
                self._schedule(self._write_batch)
            self._batched.append(self._line(self._since, level, name, event))

    def _dropped_line(self, number: int) -> str:
        return self._line(_now(), "WARNING", "webhook.log", Event(f"{number} lines were lost", {}))

    def _write_batch(self) -> None:
        together, self._batched = self._batched, []
        if together:
            self.lines.write("".join(together), 0)

    def flush(self) -> None:
        self._write_batch()
        self.lines.flush(_TIMEOUT)


def _as_text(moment: str, level: str, name: str, event: Event) -> str:
    return f"{moment} {level} {name} {event}\n"


def _as_json(moment: str, level: str, name: str, event: Event) -> str:
    return f'{{"time":"{moment}","level":"{level}","logger":{encode_basestring_ascii(name)},{event.json()}}}\n'


_LINES = {"text": _as_text, "json": _as_json}


def _now() -> str:
    moment = time.time()
    return f"{_second(int(moment))}.{int(moment % 1 * 1000):03d}Z"


@lru_cache(1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def info(logger: logging.Logger, event: Event) -> None:
    """Do what `logger.info` does where INFO is enabled, for what is said of every request.

    Where our lines are all that is logged to, no record is made: that takes longer than deciding a review.
    """
    handlers = logging.root.handlers  # as `getLogger()` gives it, without a call
    if len(handlers) == 1 and isinstance(handlers[0], _Handler):
        handlers[0].write("INFO", logger.name, event)
    else:
        logger.info(event)


def batch(schedule: Callable[[Callable[[], None]], object] | None) -> None:
    """Have this thread's lines written together from now on, whenever `schedule` calls what it is given; None: at once.

    Writing a line takes as long as deciding a review, and those that are answered in one turn of an event loop can
    share it. No other thread's lines are kept waiting. Meanwhile nothing waits for whoever reads the lines: `flush`
    is to be called now and then.
    """
    for handler in _handlers():
        handler.batch(schedule)


def flush() -> None:
    """Write what could not be written before, as far as it is taken now."""
    for handler in _handlers():
        handler.lines.flush(0)


def dropped_lines() -> int:
    """Count the lines that nobody took in time."""
    return sum(handler.lines.dropped for handler in _handlers())


def _handlers() -> list[_Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]


def location(error: BaseException) -> str:
    """Say what kind of fault `error` is and where in our code it arose, and nothing of what it says.

    What a library raised is told by the line of ours that called it.
    """
    place = None
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", "?"))
        is_ours = module.partition(".")[0] == _PACKAGE
        if is_ours or place is None or not place[0]:
            place = (is_ours, f"{module}:{trace.tb_lineno}")
        trace = trace.tb_next
    return type(error).__name__ if place is None else f"{type(error).__name__} at {place[1]}"


def configure(level: str | None = None, form: Form = "text", stream: Any = None) -> None:
    """Send every logger's records to `stream` (standard error by default), a line each.

    With a level, `debug`, `info`, `warning` or `error`, that one stays, whatever is said to `set_level` later.
    """
    # A line says none of these, and finding them out takes longer than all else about it.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - the logging HOWTO, "Optimization"
    lines = _Handler(stream or sys.stderr, form, level_is_fixed=level is not None)
    logging.basicConfig(handlers=[lines], force=True)
    _apply_level(level or "info")


def set_level(level: str) -> None:
    """Write lines from this level on, as the configuration has it, unless one was chosen when it was begun."""
    ours = _handlers()
    if ours and not any(handler.level_is_fixed for handler in ours):
        _apply_level(level)


def _apply_level(level: str) -> None:
    """Set the level. Below INFO only our own say anything: what libraries say there can hold what was sent."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(logging.INFO, number))
    logging.getLogger("webhook").setLevel(number)
