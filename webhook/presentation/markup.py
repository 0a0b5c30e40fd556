"""HTML and SVG from values: whatever is not markup already is escaped, so that no name of a Pod can become any."""

from html import escape

_VOID = frozenset({"meta"})


class Markup(str):
    """Text that is markup already, made here."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """Make an element. In an attribute's name `_` stands for `-`, and one at its end for nothing: `class_`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Put pieces after each other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))
