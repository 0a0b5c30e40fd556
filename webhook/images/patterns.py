"""Glob patterns, all of them matched at once in time linear in the name.

`*` matches any characters within a path component, `**` any characters across components; nothing else is special.
The patterns form one automaton. Its states are sets of positions in the patterns, stored as the bits of an integer
(the Shift-And method of Baeza-Yates and Gonnet), so a step costs the same few operations for any input. Reached states
are cached, up to a limit, so most steps are one lookup.
"""

import re
from collections.abc import Sequence

#: Splits a pattern into literal pieces and, at odd indices, stars.
STARS = re.compile(r"(\*+)")
#: Cached states: at most 1024 and at most 64 MiB, but at least 16 however long the patterns are.
_MAX_STATES, _MIN_STATES = 1024, 16
_MAX_BITS = 64 * 1024 * 1024 * 8


class _State:
    """A set of positions, the pattern that matches if the name ends here, and the known transitions."""

    __slots__ = ("matched", "positions", "steps")

    def __init__(self, positions: int, matched: str | None) -> None:
        self.positions = positions
        self.matched = matched
        self.steps: dict[str, _State] = {}


class Globs:
    """A compiled set of patterns; any string is a valid pattern."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._ends: dict[int, str] = {}  # the bit of a pattern's last position -> the pattern
        first: list[int] = []
        within: list[int] = []  # positions at a `*`, which persist for every character but "/"
        across: list[int] = []  # positions at a `**`, which persist for every character
        expecting: dict[str, list[int]] = {}  # character -> positions that it advances
        position = 0
        for pattern in self.patterns:
            first.append(position)
            for piece in STARS.split(pattern):
                if piece.startswith("**"):
                    across.append(position)
                elif piece == "*":
                    within.append(position)
                else:
                    for character in piece:
                        expecting.setdefault(character, []).append(position)
                        position += 1
            self._ends[1 << position] = pattern
            position += 1
        self._within, self._across = _bits(within), _bits(across)
        self._expecting = {character: _bits(positions) for character, positions in expecting.items()}
        self._any_end = sum(self._ends)
        self._start = self._state(_bits(first))
        self._states = {self._start.positions: self._start}
        self._max_states = max(_MIN_STATES, min(_MAX_STATES, _MAX_BITS // (position + 1)))

    def match(self, name: str) -> str | None:
        """Return the first pattern that matches all of `name`, or None."""
        state = self._start
        for character in name:
            following = state.steps.get(character)
            if following is None:
                following = self._step(state, character)
            if not following.positions:
                return None
            state = following
        return state.matched

    def _step(self, state: _State, character: str) -> _State:
        """Compute and cache a transition."""
        persistent = self._across if character == "/" else self._across | self._within
        positions = (state.positions & self._expecting.get(character, 0)) << 1 | state.positions & persistent
        if len(self._states) >= self._max_states:
            self._start.steps.clear()
            self._states = {self._start.positions: self._start}
        following = self._states.get(positions)
        if following is None:
            following = self._states[positions] = self._state(positions)
        state.steps[character] = following
        return following

    def _state(self, positions: int) -> _State:
        ended = positions & self._any_end
        return _State(positions, self._ends[ended & -ended] if ended else None)


def _bits(positions: list[int]) -> int:
    """Return an integer with these bits set; the positions must ascend."""
    if not positions:
        return 0
    octets = bytearray(positions[-1] // 8 + 1)
    for position in positions:
        octets[position // 8] |= 1 << position % 8
    return int.from_bytes(octets, "little")
