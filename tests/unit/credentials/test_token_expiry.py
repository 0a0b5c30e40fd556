"""The expiry of a token, and strings that are not tokens."""

import base64
import json
from typing import Any

import pytest

from webhook.credentials.token_expiry import expiry

_HEADER = {"alg": "RS256", "typ": "JWT"}


def _token(claims: Any, header: Any = _HEADER) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims))
    return ".".join([*parts, "kept-secret"])


@pytest.mark.parametrize("exp", [1_800_000_000, 1_800_000_000.5, 1])
def test_expiry_of_jwt_with_exp(exp: float) -> None:
    assert expiry(_token({"sub": "robot?~>", "exp": exp})) == exp


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "kept-secret",
        "a.b.c",
        "....",
        "é.é.é",
        _token({}),
        _token({"exp": None}),
        _token({"exp": "1800000000"}),
        _token({"exp": True}),
        _token({"exp": 0}),
        _token({"exp": -1}),
        _token({"exp": float("nan")}),
        _token({"exp": float("inf")}),
        _token({"exp": 10**300}),
        _token([{"exp": 1_800_000_000}]),
        _token({"exp": 1_800_000_000}, header="JWT"),
        _token({"exp": 1_800_000_000}) + ".more",
        _token({"exp": 1_800_000_000}).rpartition(".")[0],
    ],
)
def test_expiry_invalid_token_or_exp_none(secret: str) -> None:
    assert expiry(secret) is None
