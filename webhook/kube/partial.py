"""Snapshots of which some parts could not be read.

A user with few permissions still gets a report on the rest. So the value of a part that could not be read is its
`NotReadable` error (the type is `T | NotReadable`). A check that needs the part raises it, which becomes one `?`
finding.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from webhook.errors import NotReadable

_T = TypeVar("_T")
_D = TypeVar("_D")
_P = ParamSpec("_P")


def attempt(read: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | NotReadable:
    """Return the result of a call, or the `NotReadable` that it raises."""
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
