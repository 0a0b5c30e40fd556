import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.properties import HANDLER, JSON, PODS, REQUESTS, check, envelope
from webhook.errors import MalformedReview


@given(PODS, REQUESTS)
def test_patch_applies_within_allowed_paths(pod: Any, request: dict[str, Any]) -> None:
    body = envelope(pod, request)
    check(pod, body, HANDLER.review(body).answer)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_random_bytes_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReview, match=r"\A[ -~]+\Z"):
        HANDLER.review(body)
