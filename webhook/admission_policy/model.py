"""What goes into a policy and what comes out."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from webhook.constants import DEFAULT_NAMESPACE
from webhook.images.rules import Rule

#: A Kubernetes object, as it is written in a manifest.
Manifest = dict[str, Any]


class Terms(NamedTuple):
    """The configuration's part in a policy, every prefix normalised."""

    server: str | None
    rules: tuple[Rule, ...]
    exclude: tuple[str, ...]
    registries: tuple[str, ...]
    """Further registries whose images get the pull secret."""
    mode: Literal["labelled", "all"]
    allow: tuple[str, ...] | None
    """Globs of namespaces; None stands for all."""
    deny: tuple[str, ...]
    pods_opt_out: bool
    """Whether a Pod's label can opt it out."""
    pull_secret: str | None
    """The pull secret's name, or None where none is to be appended."""
    allow_on_error: bool
    """Whether a Pod is let through unchanged when an expression fails."""
    configuration_hash: str
    own_namespace: str = DEFAULT_NAMESPACE
    """The installation's, which is never served."""


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
