"""Values written in CEL: texts, patterns, and tables that things are looked up in.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#string-and-bytes-values
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from webhook.admission_policy.model import Variable

#: Characters of a table that stand in one variable; the parser takes 100,000 in an expression.
_CHARACTERS = 60_000

_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})
#: What is special to RE2 stands in a class of its own: a backslash would have to be doubled.
_CLASSES = str.maketrans({character: f"[{character}]" for character in ".+?()|{}[]$"})
_STARS = re.compile(r"(\*+)")


def text(value: str) -> str:
    """Write a text."""
    return f"'{value.translate(_ESCAPED)}'"


def texts(values: Iterable[str]) -> str:
    """Write a list of texts."""
    return f"[{', '.join(map(text, values))}]"


def pattern(globs: Sequence[str]) -> str:
    """Write a regular expression of RE2 that matches what one of the globs matches."""
    return f"^(?:{'|'.join(map(_alternative, globs))})$"


def _alternative(glob: str) -> str:
    return "".join(map(_piece, _STARS.split(glob)))


def _piece(piece: str) -> str:
    if piece.startswith("**"):
        return ".*"
    return "[^/]*" if piece == "*" else piece.translate(_CLASSES)


def one_of(globs: Sequence[str], value: str) -> str:
    """Write the condition that one of the globs matches what the expression `value` gives."""
    plain = [glob for glob in globs if "*" not in glob]
    starred = [glob for glob in globs if "*" in glob]
    parts = [f"{value} in {texts(plain)}"] if plain else []
    parts += [f"{value}.matches({text(pattern(starred))})"] if starred else []
    return " || ".join(parts) or "false"


class Table:
    """A map that prefixes of names are looked up in, in as many variables as the limit for an expression asks for."""

    def __init__(self, name: str, comment: str, entries: Mapping[str, str], notes: Mapping[str, str]) -> None:
        """Take for each key the expression that stands there, and for some keys a note beside it."""
        self._depths = sorted({key.count("/") for key in entries}, reverse=True)
        parts = _parts([_entry(key, value, notes.get(key)) for key, value in entries.items()])
        names = [name] if len(parts) == 1 else [f"{name}{number}" for number in range(1, len(parts) + 1)]
        self.variables = [Variable(each, comment, part) for each, part in zip(names, parts, strict=True)]
        self._names = [f"variables.{each}" for each in names]

    def holds(self, key: str) -> str:
        """Write the condition that what the expression `key` gives is in the table."""
        return " || ".join(f"{key} in {name}" for name in self._names)

    def value(self, key: str, otherwise: str = "''") -> str:
        """Write what stands there for what the expression `key` gives, or the expression `otherwise`."""
        first, *others = (f"{name}[?{key}]" for name in self._names)
        return first + "".join(f".or({other})" for other in others) + f".orValue({otherwise})"

    def prefixes(self, name: str) -> str:
        """Write the list of what begins `name`, in whole components, as many as some key has; the longest first.

        Where it has fewer components there is an empty text, which is no key.
        """
        return f"[{', '.join(f'{name}.find({text(_components(depth))})' for depth in self._depths)}]"


def _components(slashes: int) -> str:
    return "^[^/]+" + {0: "", 1: "/[^/]+"}.get(slashes, f"(?:/[^/]+){{{slashes}}}")


def _entry(key: str, value: str, note: str | None) -> str:
    return f"  {text(key)}: {value},{f' // {note}' if note else ''}\n"


def _parts(entries: list[str]) -> list[str]:
    """Write the entries as maps of bounded length; without any as one that is empty."""
    parts: list[str] = []
    part = ""
    for entry in entries:
        if part and len(part) + len(entry) > _CHARACTERS:
            parts.append(part)
            part = ""
        part += entry
    parts.append(part)
    return [f"{{\n{part}}}" if part else "{}" for part in parts]
