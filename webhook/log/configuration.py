"""Sets up the standard library's logging with one handler that does not block.

The line for each rewrite is logged with `info`, which creates no `LogRecord`: see docs/decisions/0008-log-path.md.
"""

import logging
import sys
import time
from collections.abc import Callable
from threading import get_ident
from typing import Literal, TextIO

from webhook.log.formatters import Event, JsonFormatter, LineFormatter, TextFormatter, event
from webhook.log.nonblocking import NonBlockingWriter

#: Seconds that a line waits for a stalled reader, outside of `batch`.
_TIMEOUT = 1.0

Format = Literal["text", "json"]


class NonBlockingHandler(logging.Handler):
    """Writes each record as a line, at once or together with others: see `batch`."""

    def __init__(self, stream: TextIO, formatter: LineFormatter, *, level_is_fixed: bool) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.level_is_fixed = level_is_fixed
        self.writer = NonBlockingWriter(stream, self._report_dropped)
        self._line = formatter.line
        self._call_soon: Callable[[Callable[[], None]], object] | None = None
        self._thread = 0
        self._batch: list[str] = []
        self._created = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        self._write(f"{self.format(record)}\n")

    def emit_event(self, level: str, logger: str, event: Event) -> None:
        """Write a line without a record, with the time at which the batch began."""
        if not self._batch:
            self._created = time.time()
        self._write(f"{self._line(self._created, level, logger, event)}\n")

    def batch(self, call_soon: Callable[[Callable[[], None]], object] | None) -> None:
        self.flush()
        self._call_soon, self._thread = call_soon, get_ident()

    def flush(self) -> None:
        self._write_batch()
        self.writer.flush(_TIMEOUT)

    def _write(self, line: str) -> None:
        if self._call_soon is None:
            self.writer.write(line, _TIMEOUT)
        elif self._thread != get_ident():
            self.writer.write(line, 0)
        else:
            if not self._batch:
                self._call_soon(self._write_batch)
            self._batch.append(line)

    def _write_batch(self) -> None:
        batch, self._batch = self._batch, []
        if batch:
            self.writer.write("".join(batch), 0)

    def _report_dropped(self, number: int) -> str:
        return f"{self._line(time.time(), 'WARNING', 'webhook.log', event('log lines dropped', count=number))}\n"


def info(logger: logging.Logger, event: Event) -> None:
    """Log an event at INFO, which must be enabled, without creating a `LogRecord` unless another handler needs it."""
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], NonBlockingHandler):
        handlers[0].emit_event("INFO", logger.name, event)
    else:
        logger.info(event)


def batch(call_soon: Callable[[Callable[[], None]], object] | None) -> None:
    """Batch this thread's lines from now on, and write each batch when `call_soon` calls its argument; None ends this.

    A write takes as long as a decision, and all lines of one iteration of an event loop can share it. Other threads'
    lines are not delayed. No write waits for a stalled reader, so call `flush` regularly.
    """
    for handler in _handlers():
        handler.batch(call_soon)


def flush() -> None:
    """Write as much of the buffer as the reader takes, without waiting."""
    for handler in _handlers():
        handler.writer.flush(0)


def dropped_lines() -> int:
    """Return the number of lines dropped because the reader had stalled."""
    return sum(handler.writer.dropped for handler in _handlers())


def _handlers() -> list[NonBlockingHandler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, NonBlockingHandler)]


def configure(level: str | None = None, log_format: Format = "text", stream: TextIO | None = None) -> None:
    """Write every logger's records to `stream` (standard error by default).

    `level` is `debug`, `info`, `warning` or `error`. If it is given, `set_level` does not change it.
    """
    # No line has these, and collecting them takes longer than everything else about a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - the logging HOWTO, "Optimization"
    formatter = TextFormatter() if log_format == "text" else JsonFormatter()
    handler = NonBlockingHandler(stream or sys.stderr, formatter, level_is_fixed=level is not None)
    logging.basicConfig(handlers=[handler], force=True)
    _apply_level(level or "info")


def set_level(level: str) -> None:
    """Set the level, unless one was given to `configure`."""
    handlers = _handlers()
    if handlers and not any(handler.level_is_fixed for handler in handlers):
        _apply_level(level)


def _apply_level(level: str) -> None:
    # Below INFO, only our loggers: debug messages of libraries can hold what was sent.
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(logging.INFO, number))
    logging.getLogger("webhook").setLevel(number)
