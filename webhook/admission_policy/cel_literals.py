"""CEL literals: strings, regular expressions, and lookup tables.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#string-and-bytes-values
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from webhook.admission_policy.model import Variable

#: Characters of a table in one variable; the parser accepts 100,000 in an expression.
_CHARACTERS = 60_000

_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})
#: RE2's special characters become classes, because a backslash would have to be doubled.
_CLASSES = str.maketrans({character: f"[{character}]" for character in ".+?()|{}[]$"})
_STARS = re.compile(r"(\*+)")


def string(value: str) -> str:
    """Return a string literal."""
    return f"'{value.translate(_ESCAPED)}'"


def strings(values: Iterable[str]) -> str:
    """Return a list of string literals."""
    return f"[{', '.join(map(string, values))}]"


def pattern(globs: Sequence[str]) -> str:
    """Return an RE2 pattern that matches whatever one of the globs matches."""
    return f"^(?:{'|'.join(''.join(map(_piece, _STARS.split(glob))) for glob in globs)})$"


def _piece(piece: str) -> str:
    if piece.startswith("**"):
        return ".*"
    return "[^/]*" if piece == "*" else piece.translate(_CLASSES)


def one_of(globs: Sequence[str], value: str) -> str:
    """Return the condition that one of the globs matches the result of the expression `value`."""
    plain = [glob for glob in globs if "*" not in glob]
    starred = [glob for glob in globs if "*" in glob]
    parts = [f"{value} in {strings(plain)}"] if plain else []
    parts += [f"{value}.matches({string(pattern(starred))})"] if starred else []
    return " || ".join(parts) or "false"


class Table:
    """A map keyed by prefixes of names, in as many variables as the limit for an expression requires.

    `entries` maps each key to an expression, `notes` some keys to a comment.
    """

    def __init__(self, name: str, comment: str, entries: Mapping[str, str], notes: Mapping[str, str]) -> None:
        self._depths = sorted({key.count("/") for key in entries}, reverse=True)
        maps = _maps([_entry(key, value, notes.get(key)) for key, value in entries.items()])
        names = [name] if len(maps) == 1 else [f"{name}{number}" for number in range(1, len(maps) + 1)]
        self.variables = [Variable(part, comment, literal) for part, literal in zip(names, maps, strict=True)]
        self._references = [f"variables.{part}" for part in names]

    def contains(self, key: str) -> str:
        """Return the condition that the result of the expression `key` is in the table."""
        return " || ".join(f"{key} in {reference}" for reference in self._references)

    def value(self, key: str, default: str = "''") -> str:
        """Return the lookup of the expression `key`, with an expression as default."""
        first, *others = (f"{reference}[?{key}]" for reference in self._references)
        return first + "".join(f".or({other})" for other in others) + f".orValue({default})"

    def prefixes(self, name: str) -> str:
        """Return the list of prefixes of `name` that may be keys, the longest first.

        They have as many path components as a key has. If `name` has fewer, an empty string is listed, which is never
        a key.
        """
        return f"[{', '.join(f'{name}.find({string(_components(depth))})' for depth in self._depths)}]"


def _components(slashes: int) -> str:
    return "^[^/]+" + {0: "", 1: "/[^/]+"}.get(slashes, f"(?:/[^/]+){{{slashes}}}")


def _entry(key: str, value: str, note: str | None) -> str:
    return f"  {string(key)}: {value},{f' // {note}' if note else ''}\n"


def _maps(entries: list[str]) -> list[str]:
    """Return the entries as map literals of limited length, at least one."""
    parts = [""]
    for entry in entries:
        if parts[-1] and len(parts[-1]) + len(entry) > _CHARACTERS:
            parts.append("")
        parts[-1] += entry
    return [f"{{\n{part}}}" if part else "{}" for part in parts]
