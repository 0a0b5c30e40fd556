"""What the API server leaves room for. What does not fit is refused here, and not by a cluster, or first at a Pod.

Its limits: 100,000 characters in an expression, 1,000,000 units of cost in the evaluation of one, and about 1.5 MB in
an object. https://kubernetes.io/docs/reference/using-api/cel/#resource-constraints
"""

import re
from collections.abc import Iterator

import msgspec

from webhook.admission_policy.model import Manifest
from webhook.errors import PolicyLimitExceeded

_CHARACTERS = 100_000
_BYTES = 1_000_000
#: A Pod with so many images, whose names have so many characters, is to be within the cost of an expression, of which
#: a tenth is left for all but the search for patterns.
_IMAGES, _NAME = 100, 100
_COST = 900_000

_SEARCHED = re.compile(r"\.(?:matches|find)\('((?:[^'\\]|\\.)*)'\)")
#: Where the names of variables and conditions come from that grow with the configuration.
_KEYS = {
    "excluded": "webhook.exclude",
    "sources": "webhook.rules",
    "private": "webhook.rules and webhook.pull_secret.registries",
    "the-namespace-is-allowed": "webhook.namespaces.allow",
    "the-namespace-is-not-denied": "webhook.namespaces.deny",
}


def check(policy: Manifest) -> None:
    """Raise `PolicyLimitExceeded`, naming the part of the configuration that is too large for a policy."""
    for name, expression in _expressions(policy):
        key = _KEYS.get(name, name)
        if len(expression) > _CHARACTERS:
            said = f"{len(expression):,} characters of CEL, and the API server takes {_CHARACTERS:,}"
            raise PolicyLimitExceeded(f"{key} does not fit into a policy: it comes to {said}")
        cost = _searches(expression) * _IMAGES
        if cost > _COST:
            raise PolicyLimitExceeded(
                f"{key} does not fit into a policy: for a Pod with {_IMAGES} images it costs the API server {cost:,} "
                f"units, and {_COST:,} are to be had; names and prefixes with /** behind them cost next to nothing"
            )
    size = len(msgspec.json.encode(policy))
    if size > _BYTES:
        raise PolicyLimitExceeded(
            f"the configuration does not fit into a policy: it comes to {size:,} bytes, and a cluster stores {_BYTES:,}"
        )


def _expressions(policy: Manifest) -> Iterator[tuple[str, str]]:
    spec = policy["spec"]
    for part in (*spec["matchConditions"], *spec["variables"]):
        yield part["name"], part["expression"]


def _searches(expression: str) -> int:
    """Sum what the searches in an expression cost for one name: a unit for ten characters of it and four of a pattern.

    https://github.com/google/cel-go/blob/master/interpreter/runtimecost.go
    """
    return sum(-(-_NAME // 10) * -(-len(pattern) // 4) for pattern in _SEARCHED.findall(expression))
