"""Log lines that no value can forge, and escapes for everything that is printed.

Each line is an event that has occurred, with values: `_log.warning(log.event("watch failed", resource="secrets"))`.
The message is a literal string, the same for all occurrences, so that a search finds every one and
docs/reference/events-and-logs.md can be generated from the calls. What differs is in the values. Their names have the
unit as a suffix, or the value has it.

| level | for |
|---|---|
| error | someone must act |
| warning | something does not work, and is tried again or done without |
| info | a state has changed |
| debug | everything that is frequent |
"""

from webhook.log.configure import Format, batch, configure, dropped_lines, flush, info, set_level
from webhook.log.formatters import Event, Fields, ItemList, escape, event, json_string, location, quoted, shorten

__all__ = [
    "Event",
    "Fields",
    "Format",
    "ItemList",
    "batch",
    "configure",
    "dropped_lines",
    "escape",
    "event",
    "flush",
    "info",
    "json_string",
    "location",
    "quoted",
    "set_level",
    "shorten",
]
