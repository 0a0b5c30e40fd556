"""The API server's limits for policies, checked when they are generated: a cluster might report them only for some Pod.

An expression may have 100,000 characters and its evaluation cost 1,000,000 units, an object about 1.5 MB.
https://kubernetes.io/docs/reference/using-api/cel/#resource-constraints
"""

import re

import msgspec

from webhook.admission_policy.model import Manifest
from webhook.errors import PolicyLimitExceeded

_CHARACTERS = 100_000
_BYTES = 1_000_000
#: A Pod with 100 images whose names have 100 characters must stay within the cost limit. Pattern searches may use nine
#: tenths of that.
_IMAGES, _NAME = 100, 100
_COST = 900_000

_SEARCHED = re.compile(r"\.(?:matches|find)\('((?:[^'\\]|\\.)*)'\)")
_HINT = "shorten the lists in the configuration, or use the webhook, which has no such limit"
#: Variables and conditions that grow with the configuration, and the keys that they depend on.
_KEYS = {
    "excluded": "webhook.exclude",
    "sources": "webhook.rules",
    "private": "webhook.rules and webhook.pull_secret.registries",
    "the-namespace-is-allowed": "webhook.namespaces.allow",
    "the-namespace-is-not-denied": "webhook.namespaces.deny",
}


def check(policy: Manifest) -> None:
    """Raise `PolicyLimitExceeded`, naming the part of the configuration that is too large for a policy."""
    spec = policy["spec"]
    for part in (*spec["matchConditions"], *spec["variables"]):
        key, expression = _KEYS.get(part["name"], part["name"]), part["expression"]
        if len(expression) > _CHARACTERS:
            raise PolicyLimitExceeded(
                f"{key} does not fit into a policy: its CEL expression has {len(expression):,} characters, "
                f"and the limit is {_CHARACTERS:,}",
                hint=_HINT,
            )
        cost = _search_cost(expression) * _IMAGES
        if cost > _COST:
            raise PolicyLimitExceeded(
                f"{key} does not fit into a policy: its CEL expression costs {cost:,} units for a Pod with "
                f"{_IMAGES} images, and the limit is {_COST:,}",
                hint="write names, or prefixes followed by /**, which cost almost nothing",
            )
    size = len(msgspec.json.encode(policy))
    if size > _BYTES:
        raise PolicyLimitExceeded(
            f"the configuration does not fit into a policy: the policy has {size:,} bytes, and the limit is {_BYTES:,}",
            hint=_HINT,
        )


def _search_cost(expression: str) -> int:
    """Return the cost of an expression's searches in one name: a unit per 10 characters of it and 4 of the pattern.

    https://github.com/google/cel-go/blob/master/interpreter/runtimecost.go
    """
    return sum(-(-_NAME // 10) * -(-len(pattern) // 4) for pattern in _SEARCHED.findall(expression))
