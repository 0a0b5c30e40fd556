"""Escapes for everything that is printed, whatever a tenant, a file or a cluster put into it.

A character is shown as it is if it occupies a place of its own on a terminal. Control characters (C0, C1), format
characters (bidirectional, zero-width), line and paragraph separators, surrogates, unassigned and private characters,
spaces other than the ASCII one, and the letters and marks that are invisible become escapes. The log has its own rule,
printable ASCII: `log.escape`.
"""

import re
from typing import Literal

#: What has to be examined: most text is ASCII that can be printed.
_SUSPECT = re.compile(r"[^ -~]")
_SUSPECT_IN_DOCUMENT = re.compile(r"[^ -~\n]")
#: Not shown although Unicode counts them as letters or marks (Default_Ignorable_Code_Point, and the blank in Braille):
#: https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_BYTE, _PLANE = 0x100, 0x10000

Form = Literal["json", "yaml"]
"""A format in which a string can hold escapes."""


def truncate(text: str, limit: int) -> str:
    """Cut `text` to `limit` characters, the last three of them dots where it is longer; nothing is escaped."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def is_shown(text: str) -> bool:
    """Tell whether `text` is printed as it is: on one line, and nothing in it is hidden or moves anything."""
    return text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text))


def escape(text: str) -> str:
    r"""Write `text` on one line: `\x1b`, `\u202e` or `\U000e0041` for what is not shown as it is.

    Escaping again changes nothing. A backslash stays one, so the result is to be read, not to be decoded.
    """
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(_as_text, text)


def escape_ascii(text: str) -> str:
    """Write `text` on one line in printable ASCII, so that every character has the width of one column."""
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(lambda found: _escaped(found[0]), text)


def escape_document(document: str, form: Form) -> str:
    r"""Write what is not shown as `\u` escapes; line feeds stay. The values are unchanged.

    In `document` such characters may only be within quotes, where both formats have these escapes. JSON writes what is
    beyond the Basic Multilingual Plane as a surrogate pair (RFC 8259, 7), YAML with eight digits (YAML 1.1, 5.6).
    """
    if document.isascii() and document.replace("\n", "").isprintable():
        return document
    return _SUSPECT_IN_DOCUMENT.sub(lambda found: _as_value(found[0], form), document)


def _as_text(found: re.Match[str]) -> str:
    return found[0] if is_shown(found[0]) else _escaped(found[0])


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < _BYTE else f"\\u{code:04x}" if code < _PLANE else f"\\U{code:08x}"


def _as_value(character: str, form: Form) -> str:
    if is_shown(character):
        return character
    code = ord(character)
    if code < _PLANE:
        return f"\\u{code:04x}"
    if form == "yaml":
        return f"\\U{code:08x}"
    high, low = divmod(code - _PLANE, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
