"""What goes into a policy and what comes out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

#: A Kubernetes object, as it is written in a manifest.
Manifest = dict[str, Any]


class Variable(NamedTuple):
    """A named expression that later ones refer to as `variables.NAME`."""

    name: str
    comment: str
    """What it is, for who reads the policy."""
    expression: str


class Condition(NamedTuple):
    """A matchCondition: the policy looks at a request only where all hold."""

    name: str
    comment: str
    expression: str


class Generated(NamedTuple):
    """A policy and its binding."""

    policy: Manifest
    binding: Manifest
    comments: Mapping[str, str]
    """What each variable and condition of the policy is, by its name."""
