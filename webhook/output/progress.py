"""A progress bar on standard error, hidden if that is not a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

#: Reports how much is done, and of how much if that is known.
Progress = Callable[[int, int | None], None]


@contextmanager
def bar(label: str) -> Iterator[Progress]:
    """Show a bar on standard error until the work is done."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True, hidden=hidden) as shown:

        def report(done: int, total: int | None) -> None:
            shown.length = max(total or done, 1)
            shown.update(done - shown.pos)

        yield report
