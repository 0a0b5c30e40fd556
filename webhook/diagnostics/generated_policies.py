"""The admission policies that were generated from a configuration."""

from collections.abc import Iterable
from typing import Literal

from webhook.constants import CONFIGURATION_HASH_ANNOTATION
from webhook.kube.objects import Object
from webhook.output import kubectl


def generated(policies: Iterable[Object]) -> tuple[Object, ...]:
    """Return the policies that were generated from a configuration: they have its hash."""
    return tuple(one for one in policies if CONFIGURATION_HASH_ANNOTATION in one.metadata.annotations)


def deletion(kind: Literal["validating", "mutating"], name: str) -> str | None:
    """Return the command that deletes a policy and its binding of the same name; None if the name is not valid."""
    kinds = f"{kind}admissionpolicies,{kind}admissionpolicybindings"
    return kubectl.line("delete", kinds, name=name)


def orphan_remedy(kind: Literal["validating", "mutating"], name: str) -> str:
    """Return how to delete a policy and its binding."""
    return deletion(kind, name) or "delete the policy and its binding"
