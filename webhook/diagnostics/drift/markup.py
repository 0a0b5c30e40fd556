"""HTML and SVG from values: whatever is not markup already is escaped, so that no name of a Pod can become any."""

from html import escape

from webhook.log import escaping

_VOID = frozenset({"meta"})


class Markup(str):
    """Text that is markup already, made here."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """Make an element. In an attribute's name `_` stands for `-`, and one at its end for nothing: `class_`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(str(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Put pieces after each other."""
    return Markup("".join(child if isinstance(child, Markup) else _text(child) for child in children))


def _text(text: str) -> str:
    """Escape what HTML takes for markup, and what a browser would not show or would show in another order."""
    return escape(escaping.escape(text))
