import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.admission.nesting import flatten, has_more_items

_TEXTS = st.sampled_from(["", "a", '"', "\\", '\\"', "{[", "]}", ",", "é", "\u2028", "x" * 700])
_JSON = st.recursive(
    st.none() | st.integers(-9, 9) | _TEXTS,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(_TEXTS, below, max_size=4),
    max_leaves=30,
)


def emptied(value: Any, limit: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if limit == 0:
        return type(value)()
    if isinstance(value, dict):
        return {name: emptied(below, limit - 1) for name, below in value.items()}
    return [emptied(item, limit - 1) for item in value]


@given(_JSON, st.integers(1, 6), st.booleans())
def test_flatten_blanks_beyond_limit(value: Any, limit: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    flat = flatten(text, limit)
    assert len(flat) == len(text)
    assert json.loads(flat) == emptied(value, limit)


@given(st.lists(_JSON, max_size=8), st.integers(1, 9))
def test_has_more_items_counts_outer_array(items: list[Any], limit: int) -> None:
    assert has_more_items(json.dumps(items).encode(), limit) is (len(items) > limit)


@pytest.mark.parametrize("depth", [511, 512, 513, 10_000, 1_000_000])
def test_flatten_any_depth(depth: int) -> None:
    text = b"[" * depth + b'"]"' + b"]" * depth
    assert flatten(text, 2) == b"[[[" + b" " * (2 * depth - 3) + b"]]]"


@pytest.mark.parametrize("text", [b"", b"]", b"}}}" * 400, b'"', b'{"a', b"[" * 2000 + b'"' + b"]" * 2000, b"\\"])
def test_flatten_other_input_keeps_length(text: bytes) -> None:
    assert len(flatten(text, 1)) == len(text)
