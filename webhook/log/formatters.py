"""Formatters of log lines, as text and as JSON, in printable ASCII, so that no value can forge a line.

Text: time (UTC), level, logger, message, then `name=value` pairs. JSON: one object with the members `time`, `level`,
`logger` and `message`, and one for each pair.
"""

import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from time import gmtime, strftime
from traceback import walk_tb
from typing import Protocol

from webhook.log.ascii import escape, shorten
from webhook.log.escaping import truncate

#: Characters of a value, and of a list in a text line.
_VALUE_LIMIT, _LIST_LIMIT = 512, 4096
_PACKAGE = __name__.partition(".")[0]
#: Characters of a list in a JSON line: container runtimes split lines at 16 KiB, and half an object is not JSON.
_JSON_LIST_LIMIT = 12_000
_is_plain = re.compile(rf"[A-Za-z0-9_./:@%+*,-]{{1,{_VALUE_LIMIT}}}").fullmatch


def json_string(text: str) -> str:
    """Write `text` as a JSON string in printable ASCII, cut to 512 characters with an ellipsis."""
    return encode_basestring_ascii(truncate(text, _VALUE_LIMIT))


def quoted(value: object, limit: int = _VALUE_LIMIT) -> str:
    """Write a value in printable ASCII, cut to `limit` characters, and in quotes unless it is plain."""
    text = truncate(str(value), limit)
    return text if _is_plain(text) else encode_basestring_ascii(text)


class Item(Protocol):
    """An element of an `ItemList`: its string in text lines, an object in JSON lines."""

    def json(self) -> str:
        """Return the object, in printable ASCII."""


class ItemList:
    """A list in the log."""

    __slots__ = ("items", "text")

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        text = ""
        for item in items:
            if len(text) > _LIST_LIMIT:
                break
            text = f"{text}; {item}" if text else str(item)
        self.text = shorten(text, _LIST_LIMIT)
        """The items, escaped and joined with semicolons, cut to 4,096 characters with an ellipsis."""


class Fields:
    """Named values that many events share: each format writes them once."""

    __slots__ = ("_json", "_text", "values")

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values
        self._text: str | None = None
        self._json: str | None = None

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = _pairs(self.values)
        return self._text

    @property
    def json(self) -> str:
        if self._json is None:
            self._json = _members(self.values)
        return self._json


class Event:
    """The message of a log record with named values, which the handler's formatter writes.

    Values that are None are left out.
    """

    __slots__ = ("message", "shared", "values")

    def __init__(self, message: str, values: Mapping[str, object], shared: Fields | None = None) -> None:
        self.message = message
        self.values = values
        self.shared = shared

    def __str__(self) -> str:
        return escape(self.message) + _pairs(self.values) + (self.shared.text if self.shared else "")


def event(message: str, **values: object) -> Event:
    """Return a message with named values, for a logger's methods."""
    return Event(message, values)


class LineFormatter(logging.Formatter, ABC):
    """Formats a record as one line. Of an exception only the location is logged: its text may quote a request."""

    def format(self, record: logging.LogRecord) -> str:
        event: object = record.msg
        if not isinstance(event, Event):
            error = record.exc_info[1] if record.exc_info else None
            event = Event(record.getMessage() + (f" {location(error)}" if error else ""), {})
        return self.line(record.created, record.levelname, record.name, event)

    @abstractmethod
    def line(self, created: float, level: str, logger: str, event: Event) -> str:
        """Return the line for an event; `created` is in POSIX seconds."""


class TextFormatter(LineFormatter):
    """Formats a record as text."""

    def line(self, created: float, level: str, logger: str, event: Event) -> str:
        return f"{_timestamp(created)} {level} {logger} {event}"


class JsonFormatter(LineFormatter):
    """Formats a record as a JSON object."""

    def line(self, created: float, level: str, logger: str, event: Event) -> str:
        members = _members(event.values) + (event.shared.json if event.shared else "")
        return (
            f'{{"time":"{_timestamp(created)}","level":"{level}",'
            f'"logger":{encode_basestring_ascii(logger)},"message":{encode_basestring_ascii(event.message)}{members}}}'
        )


def _pairs(values: Mapping[str, object]) -> str:
    return "".join(
        [
            # Most values are plain strings, and a call for each takes longer than this check.
            f" {name}={value if type(value) is str and _is_plain(value) else _text(value)}"
            for name, value in values.items()
            if value is not None
        ]
    )


def _text(value: object) -> str:
    if isinstance(value, ItemList):
        return quoted(value.text, _LIST_LIMIT)
    return str(value).lower() if isinstance(value, bool) else quoted(value)


def _members(values: Mapping[str, object]) -> str:
    return "".join(
        [
            # Most values are short strings, and a call for each takes longer than this check.
            f',"{name}":{encode_basestring_ascii(value)}'
            if isinstance(value, str) and len(value) <= _VALUE_LIMIT
            else _member(name, value)
            for name, value in values.items()
            if value is not None
        ]
    )


def _member(name: str, value: object) -> str:
    return _list(name, value.items) if isinstance(value, ItemList) else f',"{name}":{_json(value)}'


def _list(name: str, value: Sequence[Item]) -> str:
    items: list[str] = []
    size = 0
    for item in value:
        encoded = item.json()
        size += len(encoded)
        if size > _JSON_LIST_LIMIT:
            break
        items.append(encoded)
    left_out = len(value) - len(items)
    return f',"{name}":[{",".join(items)}]' + (f',"{name}_left_out":{left_out}' if left_out else "")


def _json(value: object) -> str:
    if isinstance(value, (int, float)):
        return json.dumps(value)
    return json_string(str(value))


@lru_cache(1)
def _timestamp(created: float) -> str:
    return f"{_second(int(created))}.{int(created % 1 * 1000):03d}Z"


@lru_cache(1)
def _second(second: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))


def location(error: BaseException) -> str:
    """Return an exception's class and the innermost line of this package in its traceback, without its message."""
    lines = [(str(frame.f_globals.get("__name__")), number) for frame, number in walk_tb(error.__traceback__)]
    ours = [line for line in lines if line[0].partition(".")[0] == _PACKAGE]
    return " at ".join([type(error).__name__, *(f"{module}:{number}" for module, number in (ours or lines)[-1:])])
