"""Printable ASCII on one line. Imports no logging, so that commands that write no log start fast."""

from webhook.log.escaping import truncate


def escape(text: str) -> str:
    """Write `text` in printable ASCII on one line: anything else, and a backslash, becomes a backslash escape."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii")


def shorten(text: str, limit: int) -> str:
    """Escape `text`, and cut it to `limit` characters with an ellipsis."""
    if len(text) <= limit and text.isascii() and text.isprintable() and "\\" not in text:
        return text
    # No more is escaped than can be shown, however long the text is.
    return truncate(escape(text[: limit + 1]), limit)
