"""Measures and flattens deeply nested JSON without recursion, in linear time, and with the loops in C.

msgspec recurses even over values that it skips, and refuses deep ones. A Pod's `managedFields` may nest as deeply as
API servers read: 10,000 levels.
"""

from collections.abc import Iterator
from itertools import accumulate, compress

#: Bytes processed at once. A piece that is too deep from end to end is replaced as a whole: short pieces often are.
_PIECE = 512
#: The change of depth at each byte outside strings.
_STEPS = [(byte in b"{[") - (byte in b"}]") for byte in range(256)]


def _all_but(excepted: bytes) -> bytes:
    return bytes(byte for byte in range(256) if byte not in excepted)


_NO_BRACKET, _NO_SEPARATOR = _all_but(b"{}[]"), _all_but(b"{}[],")


def flatten(text: bytes, limit: int) -> bytes:
    """Return JSON with spaces in place of the content of arrays and objects that are nested deeper than `limit`.

    Brackets and positions do not change, so JSON remains JSON. Some input that is not JSON becomes JSON.
    """
    flat = bytearray(text)
    start = depth = 0
    for piece in _without_strings(text):
        end = start + len(piece)
        depths = _depths(piece.translate(None, _NO_BRACKET), depth)
        if min(depths) > limit:
            flat[start:end] = b" " * len(piece)
        elif max(depths) > limit:
            depths = _depths(piece, depth)
            # A bracket to preserve is at the limit on one of its sides. All bytes are masked at once, as one integer.
            deep = 0xFF * int.from_bytes(map(limit.__lt__, map(min, depths, depths[1:])))
            spaces = int.from_bytes(b" " * len(piece))
            found = int.from_bytes(flat[start:end])
            flat[start:end] = (found ^ (found ^ spaces) & deep).to_bytes(len(piece))
        depth = depths[-1]
        start = end
    return bytes(flat)


def has_more_items(array: bytes, limit: int) -> bool:
    """Return whether a JSON array has more than `limit` items; it is read no further than necessary."""
    if array.count(b",") < limit:
        return False
    commas = depth = 0
    for piece in _without_strings(array):
        separators = piece.translate(None, _NO_SEPARATOR)
        depths = _depths(separators, depth)
        commas += bytes(compress(separators, map((1).__eq__, depths))).count(b",")
        if commas >= limit:
            return True
        depth = depths[-1]
    return False


def _depths(text: bytes, depth: int) -> list[int]:
    """Return the depth before each byte and after the last."""
    return list(accumulate(map(_STEPS.__getitem__, text), initial=depth))


def _without_strings(text: bytes) -> Iterator[bytes]:
    """Yield JSON in pieces, with NUL in place of the content of strings."""
    if b"\\" in text:
        # The length does not change. The remaining backslashes begin escapes that have no quotation mark.
        text = text.replace(rb"\\", b"\0\0").replace(rb"\"", b"\0\0")
    in_string = False
    for start in range(0, len(text), _PIECE):
        parts = text[start : start + _PIECE].split(b'"')
        first = 0 if in_string else 1
        parts[first::2] = map(bytes, map(len, parts[first::2]))
        in_string ^= len(parts) % 2 == 0
        yield b'"'.join(parts)
