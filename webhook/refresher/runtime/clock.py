"""The clocks and the dice, which whoever loops is given."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple


class Clocks(NamedTuple):
    """Where time and chance come from."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds for every wait: it goes on while the other is set."""
    wall: Callable[[], float] = time.time
    """POSIX seconds, for what is written down and read by others."""
    random: Callable[[], float] = random.random
    """A number from [0, 1)."""
