"""JSON Patch operations (RFC 6902), built directly: a library that compares documents takes 300 times as long."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Struct


class Operation(Struct, frozen=True, gc=False):
    """One operation of a patch."""

    op: str
    path: str
    value: Any = UNSET
    """UNSET for `remove`."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[Operation, ...])


def add(path: str, value: Any) -> Operation:
    """Set the value at `path`, whether or not one exists; a path that ends in `/-` appends to a list."""
    return Operation("add", path, value)


def remove(path: str) -> Operation:
    """Remove the value at `path`, which must exist."""
    return Operation("remove", path)


def escape(key: str) -> str:
    """Escape an object's key for a JSON Pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def encode(operations: Sequence[Operation]) -> bytes:
    """Encode a patch as JSON; the response has it in base64."""
    return _encoder.encode(operations)


def decode(text: bytes) -> tuple[Operation, ...]:
    """Decode a patch from `encode`."""
    return _decoder.decode(text)
