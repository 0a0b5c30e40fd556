"""When a secret that is a JSON Web Token expires: its `exp` claim (RFC 7519, section 4.1.4).

The signature is not verified: the registry checks the token, and here only the time to fetch another one matters.
"""

import base64
import json
from typing import Any

_PARTS = 3
#: The end of the year 9999: later values are not dates.
_LAST = 253_402_300_799.0


def expiry(secret: str) -> float | None:
    """Return the POSIX time at which a token ends; None for anything else, and for a token that does not state it."""
    parts = secret.split(".")
    if len(parts) != _PARTS or not isinstance(_decoded(parts[0]), dict):
        return None
    claims = _decoded(parts[1])
    moment = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not 0 < moment <= _LAST:
        return None
    return float(moment)


def _decoded(part: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
