"""A policy and its binding as the API takes them."""

from collections.abc import Sequence
from typing import Any

from webhook.admission_policy import limits, match_constraints
from webhook.admission_policy.model import Generated, Manifest, Variable
from webhook.constants import CONFIGURATION_HASH_ANNOTATION, POLICY_OPTIONS_ANNOTATION, PROGRAM
from webhook.settings import Configuration

_API = "admissionregistration.k8s.io/v1"


def generated(  # noqa: PLR0913 - what the two kinds of policy differ in
    settings: Configuration,
    variables: Sequence[Variable],
    *,
    kind: str,
    name: str,
    spec: dict[str, Any],
    outcome: dict[str, Any],
    actions: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Generated:
    """Make a policy of this kind and name, with what goes before the variables and what comes of them.

    Raises `PolicyLimitExceeded`.
    """
    conditions = match_constraints.conditions(settings)
    policy = _object(settings, kind, name)
    if options:
        policy["metadata"]["annotations"][POLICY_OPTIONS_ANNOTATION] = " ".join(options)
    policy["spec"] = {
        **spec,
        "matchConstraints": match_constraints.constraints(),
        "matchConditions": [{"name": one.name, "expression": one.expression} for one in conditions],
        "variables": [{"name": one.name, "expression": one.expression} for one in variables],
        **outcome,
    }
    limits.check(policy)
    binding = _object(settings, f"{kind}Binding", name)
    binding["spec"] = {"policyName": name, "matchResources": match_constraints.resources(settings)}
    if actions:
        binding["spec"]["validationActions"] = list(actions)
    comments = {one.name: one.comment for one in conditions} | {one.name: one.comment for one in variables}
    return Generated(policy, binding, comments)


def _object(settings: Configuration, kind: str, name: str) -> Manifest:
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": PROGRAM},
            "annotations": {CONFIGURATION_HASH_ANNOTATION: settings.digest},
        },
    }
