"""A bar on a terminal that says how far a command has come; nothing where standard error is none."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

#: Told how much is done, and of how much if that is known.
OnProgress = Callable[[int, int | None], None]


@contextmanager
def bar(label: str) -> Iterator[OnProgress | None]:
    """Show a bar on standard error until the work is done, and give what is told how far that is."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True) as shown:

        def told(done: int, of: int | None) -> None:
            shown.length = max(of or done, 1)
            shown.update(done - shown.pos)

        yield told
