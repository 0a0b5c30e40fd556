"""A ValidatingAdmissionPolicy that finds a Pod with an image which the configuration would have rewritten.

What rewrites may fail open: then the Pod is made as it was written, and this refuses it, warns, or has it noted in the
audit log. On UPDATE it looks at images that change and at no other, so a Pod that is older than its namespace's label
keeps running and can be labelled.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from typing import Literal

from webhook.names import GUARD_POLICY
from webhook.policy import cel, objects
from webhook.policy.model import Generated, Terms, Variable

Action = Literal["Deny", "Warn", "Audit"]

#: So many images are named in the message, which may have 5 KiB.
_NAMED = 5


def policy(settings: Terms, action: Action) -> Generated:
    """Make the policy and its binding, which does `action` where the policy finds something.

    Raises `UnfitPolicy` for a configuration that does not fit into one.
    """
    variables = [*cel.resolution(settings), _found()]
    validation = {
        "expression": "variables.found.size() == 0",
        "message": "an image was not rewritten to the private registry",
        "messageExpression": (
            "'not rewritten to the private registry: '\n"
            f"+ variables.found.filter(one, variables.found.indexOf(one) < {_NAMED}).join('; ')\n"
            f"+ (variables.found.size() > {_NAMED} ? '; and others' : '')"
        ),
        "reason": "Forbidden",
    }
    return objects.generated(
        settings,
        variables,
        kind="ValidatingAdmissionPolicy",
        name=GUARD_POLICY,
        # An expression that fails is no proof that nothing was missed; the binding says what becomes of that.
        spec={"failurePolicy": "Fail"},
        outcome={"validations": [validation]},
        actions=[action],
    )


def _found() -> Variable:
    return Variable(
        "found",
        "the images that should be others, in words",
        "variables.places.transformList(n, place, variables.resolved[n] != place.image,\n"
        "  place.kind + ' ' + place.name + ': ' + place.image + ' should be ' + variables.resolved[n])",
    )
