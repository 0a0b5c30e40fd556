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

import importlib
from typing import TYPE_CHECKING, Any

from webhook.log.ascii import escape, shorten

if TYPE_CHECKING:
    from webhook.log.configuration import Format, batch, configure, dropped_lines, flush, info, set_level
    from webhook.log.formatters import Event, Fields, ItemList, event, json_string, location, quoted

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

_CONFIGURATION = frozenset({"Format", "batch", "configure", "dropped_lines", "flush", "info", "set_level"})


def __getattr__(name: str) -> Any:
    """Import what writes a log when it is first used: most commands write none, and start faster without `logging`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{'configuration' if name in _CONFIGURATION else 'formatters'}")
    value = globals()[name] = getattr(module, name)
    return value
