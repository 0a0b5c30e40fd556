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
_LENGTH_LIMIT = 512
#: Without the port, the star would match any port.
_ANY_HOST_DEFAULT_PORT = re.compile(rf"\*:0*{reference.DEFAULT_PORT}\Z")
#: How many states are kept: as many as have use, but no more than 64 MiB of them, however long the patterns are.
_STATES_KEPT, _STATES_KEPT_LEAST = 1024, 16
_BITS_KEPT = 64 * 1024 * 1024 * 8


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
        self._ends: dict[int, str] = {}  # the bit of a pattern's last position -> the pattern
        first: list[int] = []
        within: list[int] = []  # positions at a `*`, which stay for every character but "/"
        across: list[int] = []  # positions at a `**`, which stay for every character
        expecting: dict[str, list[int]] = {}  # character -> the positions that a pattern goes on from with it
        position = 0
        for pattern in self.patterns:
            first.append(position)
            for piece in _STARS.split(pattern):
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
        self._known = {self._start.positions: self._start}
        self._kept = max(_STATES_KEPT_LEAST, min(_STATES_KEPT, _BITS_KEPT // (position + 1)))

    def match(self, text: str) -> str | None:
        """Return the first of the patterns that matches the whole of `text`, or None."""
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
        """Compute a step that is not kept yet, and keep it."""
        staying = self._across if character == "/" else self._across | self._within
        positions = (state.positions & self._expecting.get(character, 0)) << 1 | state.positions & staying
        if len(self._known) >= self._kept:
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


def _bits(positions: list[int]) -> int:
    """Return an integer with a bit for each of the positions, which ascend."""
    if not positions:
        return 0
    octets = bytearray(positions[-1] // 8 + 1)
    for position in positions:
        octets[position // 8] |= 1 << position % 8
    return int.from_bytes(octets, "little")


def normalise_pattern(pattern: str) -> str:
    """Return a pattern with its registry in canonical form, as names are when they are compared with it.

    Raises `InvalidPattern` for one that cannot match any name (registry and path, without tag and digest).
    """
    if not pattern:
        raise InvalidPattern("it is empty: write a pattern such as quay.io/**")
    if len(pattern) > _LENGTH_LIMIT:
        raise InvalidPattern(f"it has more than {_LENGTH_LIMIT} characters, and no name has")
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
    if _ANY_HOST_DEFAULT_PORT.search(first):
        raise InvalidPattern(f"names are compared without the default port: leave out :{reference.DEFAULT_PORT}")
    return f"{reference.canonical_domain(first)}{slash}{rest}"
