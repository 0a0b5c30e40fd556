"""Glob patterns, all of them matched at once in time linear in the text.

`*` stands for any run of characters within a path component, `**` for any run across them; nothing else is special.
The patterns together are one automaton. Its states are sets of positions in the patterns, kept as the bits of an
integer (the Shift-And method of Baeza-Yates and Gonnet), so that a step costs the same few operations however the text
is chosen; the states that texts really reach are kept, up to a bound, so that most steps are one look-up.
"""

import re
from collections.abc import Sequence

from webhook.errors import InvalidPattern
from webhook.images import reference

_STARS = re.compile(r"(\*+)")
_NAME_PATTERN = re.compile(r"[a-zA-Z0-9._:/*\[\]-]+")
_STATES_KEPT = 1024


class _State:
    """A set of positions reached, the pattern that is matched if the text ends here, and the steps taken so far."""

    __slots__ = ("matched", "positions", "steps")

    def __init__(self, positions: int, matched: str | None) -> None:
        self.positions = positions
        self.matched = matched
        self.steps: dict[str, _State] = {}


class Globs:
    """A set of patterns, compiled."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile `patterns`; any text is one."""
        self.patterns = tuple(patterns)
        self._expecting: dict[str, int] = {}  # character -> the positions that a pattern goes on from with it
        self._within = 0  # positions at a `*`, which stay for every character but "/"
        self._across = 0  # positions at a `**`, which stay for every character
        self._ends: dict[int, str] = {}  # the bit of a pattern's last position -> the pattern
        bit = 1
        first = 0
        for pattern in self.patterns:
            first |= bit
            for piece in _STARS.split(pattern):
                if piece.startswith("**"):
                    self._across |= bit
                elif piece == "*":
                    self._within |= bit
                else:
                    for character in piece:
                        self._expecting[character] = self._expecting.get(character, 0) | bit
                        bit <<= 1
            self._ends[bit] = pattern
            bit <<= 1
        self._any_end = sum(self._ends)
        self._start = self._state(first)
        self._known = {first: self._start}

    def match(self, text: str) -> str | None:
        """Find the first of the patterns that matches the whole of `text`, or None."""
        state = self._start
        for character in text:
            following = state.steps.get(character)
            if following is None:
                following = self._step(state, character)
            if not following.positions:
                return None
            state = following
        return state.matched

    def _step(self, state: _State, character: str) -> _State:
        """Take one step that was not taken before, and keep it."""
        staying = self._across if character == "/" else self._across | self._within
        positions = (state.positions & self._expecting.get(character, 0)) << 1 | state.positions & staying
        if len(self._known) >= _STATES_KEPT:
            self._start.steps.clear()
            self._known = {self._start.positions: self._start}
        following = self._known.get(positions)
        if following is None:
            following = self._known[positions] = self._state(positions)
        state.steps[character] = following
        return following

    def _state(self, positions: int) -> _State:
        ended = positions & self._any_end
        return _State(positions, self._ends[ended & -ended] if ended else None)


def check_name_pattern(pattern: str) -> None:
    """Refuse a pattern that could match no normalised image name (registry and path, without tag and digest).

    Raises `InvalidPattern`, saying what to write instead.
    """
    if not pattern:
        raise InvalidPattern("it is empty: write a pattern such as quay.io/**")
    if not _NAME_PATTERN.fullmatch(pattern):
        raise InvalidPattern("only * (within a path component) and ** (across them) are special, beside a name's own")
    first, slash, rest = pattern.partition("/")
    if ":" in rest or "@" in pattern:
        raise InvalidPattern("names are compared without tag and digest: leave them out")
    if "*" not in first and not reference.looks_like_registry(first):
        full = f"docker.io/{pattern}" if slash else f"docker.io/library/{pattern}"
        raise InvalidPattern(f"it names no registry, and every name that it is compared with does: write {full}")
    if not slash and "**" not in first:
        raise InvalidPattern(f"it has no path, and every name that it is compared with has one: write {pattern}/**")
    if pattern.endswith("/") or "//" in pattern:
        raise InvalidPattern(f"no name ends in a / or has two in a row: write {pattern.strip('/')}/**")
