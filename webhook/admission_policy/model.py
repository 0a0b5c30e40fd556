"""The parts of a policy, and the generated objects."""

from collections.abc import Mapping
from typing import Any, NamedTuple

#: A Kubernetes object as in a manifest.
Manifest = dict[str, Any]


class Variable(NamedTuple):
    """A named expression that later ones refer to as `variables.NAME`."""

    name: str
    comment: str
    """What it is, for readers of the policy."""
    expression: str


class Condition(NamedTuple):
    """A matchCondition: the policy applies to a request only if all hold."""

    name: str
    comment: str
    expression: str


class Generated(NamedTuple):
    """A policy and its binding."""

    policy: Manifest
    binding: Manifest
    comments: Mapping[str, str]
    """Comments on variables and conditions of the policy, by name."""
