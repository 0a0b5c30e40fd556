"""A MutatingAdmissionPolicy that does to a Pod what the webhook does: it changes images, and appends the pull secret.

It is one JSON patch, made of the Pod as it came. An `ApplyConfiguration` has the API server merge lists by name, and a
Pod may name a variable twice; and `imagePullSecrets` it cannot append to.
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.admission.patch import escape
from webhook.names import MUTATE_POLICY, ORIGINALS_ANNOTATION
from webhook.policy import cel, objects
from webhook.policy.literals import text
from webhook.policy.model import Generated, Terms, Variable

_KEY = text(ORIGINALS_ANNOTATION)
#: The annotation as both engines write it. Another value, though it were JSON, counts as none.
_NAMED = '"[a-z0-9-]+":"[][a-zA-Z0-9._:/@-]*"'
_ENTRIES = f"^[{{](?:{_NAMED}(?:,{_NAMED})*)?[}}]$"
_NAME = '^"[^"]*":'


def policy(settings: Terms) -> Generated:
    """Make the policy and its binding.

    Raises `UnfitPolicy` for a configuration that does not fit into one.
    """
    variables = [*cel.resolution(settings), *cel.private(settings), *_annotation()]
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": "\n+ ".join(_operations(settings))}}
    return objects.generated(
        settings,
        variables,
        kind="MutatingAdmissionPolicy",
        name=MUTATE_POLICY,
        spec={
            "failurePolicy": "Ignore" if settings.allow_on_error else "Fail",
            "reinvocationPolicy": "IfNeeded",
        },
        outcome={"mutations": [mutation]},
    )


def _annotation() -> list[Variable]:
    """Give what `admission.handler` does to record the images as they were written."""
    return [
        Variable(
            "rewritten",
            "the places whose image changes",
            "variables.places.transformList(n, place, variables.resolved[n] != place.image, place)",
        ),
        Variable(
            "recorded",
            "those that the annotation keeps: a container goes before a volume of the same name",
            "variables.rewritten.filter(place, place.name != '' && (place.kind != 'volume'\n"
            "  || !variables.rewritten.exists(other, other.kind != 'volume' && other.name == place.name)))\n"
            """  .map(place, '"' + place.name + '":"' + place.image + '"')""",
        ),
        Variable("present", "the annotation as it is", f"object.metadata.?annotations[?{_KEY}].orValue('')"),
        Variable("earlier", "its entries", _entries("variables.present")),
        Variable(
            "settled",
            "its entries before an UPDATE; one that is not among them was made for this same request, and is kept",
            f"(request.operation != 'UPDATE' ? [''] : [oldObject.metadata.?annotations[?{_KEY}].orValue('')])\n"
            f"  .map(annotation, {_entries('annotation')})[0]",
        ),
        Variable(
            "originals",
            "the annotation as it is to be",
            f"'{{' + (variables.earlier.map(entry, !(entry in variables.settled) ? entry :\n"
            f"  (variables.recorded.filter(other, other.startsWith(entry.find({text(_NAME)}))) + [entry])[0])\n"
            f"  + variables.recorded.filter(entry,\n"
            f"  !variables.earlier.exists(other, other.startsWith(entry.find({text(_NAME)})))))\n"
            f"  .join(',') + '}}'",
        ),
        Variable(
            "room",
            "bytes that the other annotations leave for it: with one more the API server would refuse the Pod",
            f"{ANNOTATIONS_LIMIT} - {len(ORIGINALS_ANNOTATION)} - object.metadata.?annotations.orValue({{}})\n"
            f"  .transformList(key, value, key != {_KEY}, size(bytes(key)) + size(bytes(value))).sum()",
        ),
    ]


def _entries(annotation: str) -> str:
    return (
        f"({annotation}.matches({text(_ENTRIES)}) ? {annotation}.substring(1, {annotation}.size() - 1).split(',') : [])"
        ".filter(entry, entry != '')"
    )


def _operations(settings: Terms) -> list[str]:
    """Write the lists of operations that the patch is made of."""
    images = (
        "variables.places.transformList(n, place, variables.resolved[n] != place.image,\n"
        "  JSONPatch{op: 'replace', path: place.at, value: variables.resolved[n]})"
    )
    # Through pods/ephemeralcontainers the API server drops a change of annotations silently.
    annotation = (
        "(variables.rewritten.size() == 0 || request.?subResource.orValue('') == 'ephemeralcontainers'\n"
        "  || variables.originals == variables.present || size(bytes(variables.originals)) > variables.room ? [] :\n"
        "  has(object.metadata.annotations)\n"
        f"  ? [JSONPatch{{op: 'add', path: '/metadata/annotations/{escape(ORIGINALS_ANNOTATION)}',"
        " value: variables.originals}]\n"
        f"  : [JSONPatch{{op: 'add', path: '/metadata/annotations', value: {{{_KEY}: variables.originals}}}}])"
    )
    operations = [images, annotation]
    if settings.pull_secret is not None:
        operations.append(_append(text(settings.pull_secret)))
    return operations


def _append(secret: str) -> str:
    """Write what appends the pull secret, after the user's own."""
    entry = f"{{'name': {secret}}}"
    return (
        "(request.operation != 'CREATE' || !variables.pulled ? [] :\n"
        "  object.spec.?imagePullSecrets.orValue([]).size() == 0\n"
        f"  ? [JSONPatch{{op: 'add', path: '/spec/imagePullSecrets', value: [{entry}]}}] :\n"
        f"  object.spec.imagePullSecrets.exists(secret, secret.?name.orValue('') == {secret}) ? []\n"
        f"  : [JSONPatch{{op: 'add', path: '/spec/imagePullSecrets/-', value: {entry}}}])"
    )
