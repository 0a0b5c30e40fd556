"""Snapshots of which some parts could not be read.

A user who may read little still gets a report on the rest. So a part that was not readable has its `NotReadable` as its
value, typed `T | NotReadable`, until a check needs it. The check raises it then, and becomes one `?` finding.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from webhook.errors import NotReadable

_T = TypeVar("_T")
_D = TypeVar("_D")
_P = ParamSpec("_P")


def attempt(read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | NotReadable:
    """Return what a call reads, or the error that it raises."""
    try:
        return read(*args, **kwargs)
    except NotReadable as error:
        return error


def known(value: _T | NotReadable) -> _T:
    """Return a value. Raises `NotReadable` if it could not be read."""
    if isinstance(value, NotReadable):
        raise value
    return value


def known_or(value: _T | NotReadable, default: _D) -> _T | _D:
    """Return a value, or the default if it could not be read."""
    return default if isinstance(value, NotReadable) else value
