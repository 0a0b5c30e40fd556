"""Log lines that no value can forge, and escapes for everything that is printed."""

from webhook.log.configure import Format, batch, configure, dropped_lines, flush, info, set_level
from webhook.log.formatters import Event, Fields, escape, event, joined, location, quoted, shorten

__all__ = [
    "Event",
    "Fields",
    "Format",
    "batch",
    "configure",
    "dropped_lines",
    "escape",
    "event",
    "flush",
    "info",
    "joined",
    "location",
    "quoted",
    "set_level",
    "shorten",
]
