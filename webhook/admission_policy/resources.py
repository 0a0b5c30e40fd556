"""A policy and its binding as Kubernetes objects."""

from collections.abc import Sequence
from typing import Any

from webhook.admission_policy import limits, match_constraints
from webhook.admission_policy.model import Generated, Manifest, Variable
from webhook.constants import CONFIGURATION_HASH_ANNOTATION, INSTALLATION_LABEL, POLICY_OPTIONS_ANNOTATION, PROGRAM
from webhook.settings import Configuration

_API = "admissionregistration.k8s.io/v1"


def generate(  # noqa: PLR0913 - all in which the two kinds of policy differ
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
    """Return a policy with `spec` before and `outcome` after the variables. Raises `PolicyLimitExceeded`."""
    conditions = match_constraints.conditions(settings)
    policy = _object(settings, kind, name)
    if options:
        policy["metadata"]["annotations"][POLICY_OPTIONS_ANNOTATION] = " ".join(options)
    policy["spec"] = {
        **spec,
        "matchConstraints": match_constraints.constraints(),
        "matchConditions": [{"name": name, "expression": expression} for name, _, expression in conditions],
        "variables": [{"name": name, "expression": expression} for name, _, expression in variables],
        **outcome,
    }
    limits.check(policy)
    binding = _object(settings, f"{kind}Binding", name)
    binding["spec"] = {"policyName": name, "matchResources": match_constraints.resources(settings)}
    if actions:
        binding["spec"]["validationActions"] = list(actions)
    comments = {name: comment for name, comment, _ in (*conditions, *variables)}
    return Generated(policy, binding, comments)


def _object(settings: Configuration, kind: str, name: str) -> Manifest:
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": PROGRAM},
            "annotations": {
                CONFIGURATION_HASH_ANNOTATION: settings.digest,
                INSTALLATION_LABEL: settings.installation.namespace,
            },
        },
    }
