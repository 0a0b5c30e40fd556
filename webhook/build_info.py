"""Which build of this program runs: version and revision, as metrics and commands report them."""

import os
from typing import NamedTuple

from webhook import __version__

#: Set in the image: the commit that it was built from.
REVISION_VARIABLE = "REGISTRY_WEBHOOK_REVISION"
_UNKNOWN = "unknown"


class Build(NamedTuple):
    """A build of this program."""

    version: str
    revision: str
    """`unknown` outside of an image, and in an image that was built without it."""


def current() -> Build:
    """Return the build that runs."""
    return Build(__version__, os.environ.get(REVISION_VARIABLE) or _UNKNOWN)
