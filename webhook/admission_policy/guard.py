"""A ValidatingAdmissionPolicy that finds Pods with images that should have been rewritten.

The webhook, or the mutating policy, may fail open and let a Pod pass unchanged; this policy then denies the Pod, warns,
or adds an audit annotation. On UPDATE it checks only images that change, so that Pods older than their namespace's
label can still be labeled.

With `only_private` it also finds images that are neither on a private registry nor excluded, including image IDs and
images with pull policy Never: an image on a node may have been pulled from anywhere, by another user's Pod.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from typing import Literal

from webhook.admission_policy import cel, resources
from webhook.admission_policy.cel_literals import string
from webhook.admission_policy.model import Generated, Variable
from webhook.constants import GUARD_POLICY
from webhook.settings import Configuration

Action = Literal["Deny", "Warn", "Audit"]

#: Images named in the message, which may have 5 KiB.
_NAMED = 5
#: Images shown as they are; others may contain terminal control characters.
_SHOWN = "^[!-~]{1,300}$"


def policy(settings: Configuration, action: Action, *, only_private: bool = False) -> Generated:
    """Return the policy and its binding, which takes `action` on a finding. Raises `PolicyLimitExceeded`."""
    variables = cel.resolution(settings)
    variables += [*cel.private(settings), _found_elsewhere()] if only_private else [_found()]
    problem = "not on a private registry" if only_private else "not rewritten to the private registry"
    validation = {
        "expression": "variables.found.size() == 0",
        "message": f"an image is {problem}",
        "messageExpression": (
            f"'{problem}: '\n"
            f"+ variables.found.transformList(n, one, n < {_NAMED}, one).join('; ')\n"
            f"+ (variables.found.size() > {_NAMED} ? '; and others' : '')"
        ),
        "reason": "Forbidden",
    }
    return resources.generate(
        settings,
        variables,
        kind="ValidatingAdmissionPolicy",
        name=GUARD_POLICY,
        # If an expression fails, an image may have been missed; the binding's action applies then too.
        spec={"failurePolicy": "Fail"},
        outcome={"validations": [validation]},
        actions=[action],
        options=[
            *(("--only-private",) if only_private else ()),
            *(("--action", action) if action != "Deny" else ()),
        ],
    )


_SUBJECT = "place.kind + ' ' + place.name + ': '"


def _found() -> Variable:
    return Variable(
        "found",
        "the images that were not rewritten, as a message",
        "variables.places.transformList(n, place, variables.resolved[n] != place.image,\n"
        f"  {_SUBJECT} + place.image + ' should be ' + variables.resolved[n])",
    )


def _found_elsewhere() -> Variable:
    """Return the variable for `only_private`, which also has the images that are not on a private registry."""
    name, comment, rewritten = _found()
    return Variable(
        name,
        comment,
        f"{rewritten}\n"
        "+ variables.places.transformList(n, place,\n"
        "  variables.resolved[n] == place.image && !variables.private[n] && !variables.excluded[n],\n"
        f"  {_SUBJECT} + "
        f"(place.image.matches({string(_SHOWN)}) ? place.image : 'an image with an invalid reference')\n"
        "  + ' is not on a private registry')",
    )
