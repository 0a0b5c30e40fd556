"""Parse the challenges in the `WWW-Authenticate` lines of a 401, and encode the credentials for Basic.

The grammar is that of RFC 9110, sections 5.6 and 11.6.1:

    WWW-Authenticate = [ challenge { "," challenge } ]
    challenge        = scheme [ 1*SP ( token68 | [ parameter { "," parameter } ] ) ]
    parameter        = token BWS "=" BWS ( token | quoted-string )

Both lists are joined by commas, so only the text after a word distinguishes a scheme from a parameter. Schemes and
parameter names are compared without regard to letter case.
"""

import base64
import re
from collections.abc import Iterable
from typing import NamedTuple

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_END = r"(?=[ \t]*(?:,|\Z))"
_SEPARATOR = re.compile(r"[ \t,]*")
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)"){_END}')
_SCHEME = re.compile(rf"({_WORD})(?:[ \t]+|(?=,|\Z))")
_TOKEN68 = re.compile(rf"[A-Za-z0-9\-._~+/]+=*{_END}")
_ESCAPED = re.compile(r"\\(.)")


class Challenge(NamedTuple):
    """One authentication method that a server offers."""

    scheme: str
    """In lower case."""
    parameters: dict[str, str]
    """By their names in lower case; the last of duplicates counts, as in containerd."""


def parse(lines: Iterable[str]) -> list[Challenge]:
    """Parse the challenges of a response's `WWW-Authenticate` lines, in their order.

    A line is parsed up to a malformed part: an error in one challenge hides neither those before it nor those of
    another line.
    """
    return [challenge for line in lines for challenge in _parse_line(line)]


def _parse_line(line: str) -> list[Challenge]:
    challenges: list[Challenge] = []
    position = 0
    while (position := _skip(_SEPARATOR, line, position)) < len(line):
        parameter = _PARAMETER.match(line, position)
        if parameter and challenges:
            name, word, quoted = parameter.groups()
            challenges[-1].parameters[name.lower()] = _ESCAPED.sub(r"\1", quoted) if word is None else word
            position = parameter.end()
        elif scheme := _SCHEME.match(line, position):
            challenges.append(Challenge(scheme[1].lower(), {}))
            position = scheme.end()
            if not _PARAMETER.match(line, position):
                position = _skip(_TOKEN68, line, position)
        else:
            break
    return challenges


def _skip(pattern: re.Pattern[str], line: str, position: int) -> int:
    found = pattern.match(line, position)
    return found.end() if found else position


def basic(username: str, password: str) -> str:
    """Encode the credentials of RFC 7617, in UTF-8."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
