"""The clocks and the randomness that every loop gets as an argument."""

import random
import time
from collections.abc import Callable
from typing import NamedTuple


class Clocks(NamedTuple):
    """Sources of time and randomness."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds, for every wait: unaffected when the wall clock is set."""
    wall: Callable[[], float] = time.time
    """POSIX seconds, for what is stored and read by others."""
    random: Callable[[], float] = random.random
    """A number from [0, 1)."""
