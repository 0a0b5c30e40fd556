"""Escapes for everything that is printed: values come from tenants, files and clusters.

A character is printed unchanged if it takes up space on a terminal. Control characters (C0, C1), format characters
(bidirectional, zero-width), line and paragraph separators, surrogates, unassigned and private characters, spaces other
than the ASCII one, and invisible letters and marks become escapes. Logs are stricter, printable ASCII: `log.escape`.
"""

import re
from typing import Literal

#: Most text is printable ASCII; only the rest has to be checked.
_SUSPECT = re.compile(r"[^ -~]")
_SUSPECT_IN_DOCUMENT = re.compile(r"[^ -~\n]")
#: Invisible although Unicode has them as letters or marks (Default_Ignorable_Code_Point, and the Braille blank):
#: https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_BYTE, _PLANE = 0x100, 0x10000

Form = Literal["json", "yaml"]
"""Formats whose strings can have escapes."""


def truncate(text: str, limit: int) -> str:
    """Cut `text` to `limit` characters with an ellipsis; nothing is escaped."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def is_shown(text: str) -> bool:
    """Return whether `text` can be printed unchanged: it is one line of visible characters."""
    return text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text))


def escape(text: str) -> str:
    r"""Write `text` on one line, with escapes such as `\x1b`, `\u202e` or `\U000e0041`.

    Idempotent. Backslashes are not escaped, so the result cannot be decoded.
    """
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(_as_text, text)


def escape_ascii(text: str) -> str:
    """Write `text` on one line in printable ASCII, so that every character is one column wide."""
    return text if text.isascii() and text.isprintable() else _SUSPECT.sub(lambda found: _escaped(found[0]), text)


def escape_document(document: str, form: Form) -> str:
    r"""Write a document with `\u` escapes, which do not change its values; line feeds stay.

    Characters to escape may occur only within quotes, where both formats have these escapes. Beyond the Basic
    Multilingual Plane, JSON has surrogate pairs (RFC 8259, 7) and YAML eight digits (YAML 1.1, 5.6).
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
