"""A line on standard error that says what a command is doing, cleared afterwards; nothing if that is not a terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Reports how much is done, and of how much if that is known.
Progress = Callable[[int, int | None], None]

_CLEAR = "\r\x1b[K"
_FALLBACK_WIDTH = 80

#: The line of the innermost step; empty outside of steps.
_line = ContextVar("_line", default="")


@contextmanager
def step(label: str) -> Iterator[Progress]:
    """Show `LABEL ...` until the work is done, with counts if they are reported. Steps can be nested."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield _ignore
        return
    token = _line.set(f"{label} ...")
    _draw()

    def report(done: int, total: int | None) -> None:
        if _can_clear():
            _line.set(f"{label} ... {done:,}" + ("" if total is None else f" of {total:,}"))
            _draw()

    try:
        yield report
    finally:
        clear()
        _line.reset(token)
        if _can_clear():
            _draw()


def clear() -> None:
    """Clear the line before something else is written; the next report shows it again."""
    if _line.get() and _can_clear():
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()


def _draw() -> None:
    line = _line.get()
    if line:
        sys.stderr.write(f"{_CLEAR}{line[: _width() - 1]}" if _can_clear() else f"{line}\n")
        sys.stderr.flush()


def _can_clear() -> bool:
    return os.environ.get("TERM") != "dumb"


def _width() -> int:
    """Return the width of the terminal: a longer line would wrap, and only its end could be cleared."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _FALLBACK_WIDTH
    except (OSError, ValueError):
        return _FALLBACK_WIDTH


def _ignore(_done: int, _total: int | None) -> None:
    pass
