"""A ValidatingAdmissionPolicy that finds a Pod with an image which the configuration would have rewritten.

What rewrites may fail open: then the Pod is made as it was written, and this refuses it, warns, or has it noted in the
audit log. On UPDATE it looks at images that change and at no other, so a Pod that is older than its namespace's label
keeps running and can be labelled.

It may also find every image that is not on a private registry and not excluded. An image with the pull policy Never is
among them, and so is an image ID: what is on a node may have been pulled from anywhere, by somebody else's Pod.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from typing import Literal

from webhook.admission_policy import cel, resources
from webhook.admission_policy.cel_literals import text
from webhook.admission_policy.model import Generated, Variable
from webhook.constants import GUARD_POLICY
from webhook.settings import Configuration

Action = Literal["Deny", "Warn", "Audit"]

#: So many images are named in the message, which may have 5 KiB.
_NAMED = 5


#: An image that is shown as it is; another one may have characters that do things to a terminal.
_SHOWN = "^[!-~]{1,300}$"


def policy(settings: Configuration, action: Action, *, only_private: bool = False) -> Generated:
    """Make the policy and its binding, which does `action` where the policy finds something.

    Raises `PolicyLimitExceeded` for a configuration that does not fit into one.
    """
    variables = [*cel.resolution(settings), *(cel.private(settings) if only_private else ()), _found(only_private)]
    wanted = "not on a private registry" if only_private else "not rewritten to the private registry"
    validation = {
        "expression": "variables.found.size() == 0",
        "message": f"an image is {wanted}",
        "messageExpression": (
            f"'{wanted}: '\n"
            f"+ variables.found.transformList(n, one, n < {_NAMED}, one).join('; ')\n"
            f"+ (variables.found.size() > {_NAMED} ? '; and others' : '')"
        ),
        "reason": "Forbidden",
    }
    return resources.generated(
        settings,
        variables,
        kind="ValidatingAdmissionPolicy",
        name=GUARD_POLICY,
        # An expression that fails is no proof that nothing was missed; the binding says what becomes of that.
        spec={"failurePolicy": "Fail"},
        outcome={"validations": [validation]},
        actions=[action],
        options=[
            *(("--only-private",) if only_private else ()),
            *(("--action", action) if action != "Deny" else ()),
        ],
    )


def _found(only_private: bool) -> Variable:  # noqa: FBT001
    subject = "place.kind + ' ' + place.name + ': '"
    rewritten = (
        "variables.places.transformList(n, place, variables.resolved[n] != place.image,\n"
        f"  {subject} + place.image + ' should be ' + variables.resolved[n])"
    )
    if not only_private:
        return Variable("found", "the images that should be others, in words", rewritten)
    elsewhere = (
        "variables.places.transformList(n, place,\n"
        "  variables.resolved[n] == place.image && !variables.private[n] && !variables.excluded[n],\n"
        f"  {subject} + (place.image.matches({text(_SHOWN)}) ? place.image : 'an image that is no valid reference')\n"
        "  + ' is on no private registry')"
    )
    return Variable("found", "the images that should be others, in words", f"{rewritten}\n+ {elsewhere}")
