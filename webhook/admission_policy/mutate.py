"""A MutatingAdmissionPolicy that rewrites images and appends the pull secret as the webhook does.

It makes a JSON patch, because an `ApplyConfiguration` cannot append to `imagePullSecrets`, and merges lists by name
although a Pod may have two environment variables with the same name.
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.admission.patch import escape
from webhook.admission_policy import cel, resources
from webhook.admission_policy.cel_literals import string
from webhook.admission_policy.model import Generated, Variable
from webhook.constants import MUTATE_POLICY, ORIGINALS_ANNOTATION
from webhook.settings import Configuration

_KEY = string(ORIGINALS_ANNOTATION)
#: JSON without escapes, as the webhook and the policy write the annotation. Any other value is ignored.
_ESCAPE = "\\"
_BLANKS = r"[ \t\n\r]*"
_STRING = r'"[^"\\\x00-\x1f]*"'
_ENTRY = f"{_STRING}{_BLANKS}:{_BLANKS}{_STRING}"
_ENTRIES = f"^{_BLANKS}[{{]{_BLANKS}(?:{_ENTRY}(?:{_BLANKS},{_BLANKS}{_ENTRY})*)?{_BLANKS}[}}]{_BLANKS}$"
#: The longest annotation that is read, and the most of its entries times places. Above these limits an expression would
#: exceed its cost limit, and any author of a Pod could make the policy fail.
_READ, _COMPARED = 32 * 1024, 50_000


def policy(settings: Configuration) -> Generated:
    """Return the policy and its binding. Raises `PolicyLimitExceeded`."""
    variables = [*cel.resolution(settings, _claims()), *cel.private(settings), _pulled(), *_annotation()]
    mutation = {"patchType": "JSONPatch", "jsonPatch": {"expression": "\n+ ".join(_operations(settings))}}
    return resources.generate(
        settings,
        variables,
        kind="MutatingAdmissionPolicy",
        name=MUTATE_POLICY,
        spec={
            "failurePolicy": "Ignore" if settings.webhook.on_error == "allow" else "Fail",
            "reinvocationPolicy": "IfNeeded",
        },
        outcome={"mutations": [mutation]},
    )


def _pulled() -> Variable:
    return Variable(
        "pulled",
        "whether an image is pulled with the pull secret",
        f"variables.places.exists(n, place, !({cel.NEVER.format('place')}) && (variables.resolved[n] != place.image\n"
        "  || variables.private[n] && !variables.unfit[n]))",
    )


def _claims() -> list[Variable]:
    """Return the variables that read original images from the annotation, which any user may have written."""
    return [
        Variable("present", "the current annotation", f"object.metadata.?annotations[?{_KEY}].orValue('')"),
        Variable(
            "listed",
            "its entries, if it can be read",
            f"variables.present.size() <= {_READ} && variables.present.matches({string(_ENTRIES)})\n"
            f"  ? variables.present.findAll({string(_ENTRY)}) : []",
        ),
        Variable(
            "entries",
            "their names and images, unless there are too many",
            f"(variables.listed.size() * variables.every.size() > {_COMPARED} ? [] : variables.listed)\n"
            f"""  .map(entry, {{'name': entry.find('^"[^"]*"'), 'image': entry.find('"[^"]*"$')}})\n"""
            f"""  .map(entry, {{'name': entry.name.substring(1, entry.name.size() - 1),\n"""
            f"""  'image': entry.image.substring(1, entry.image.size() - 1)}})""",
        ),
        Variable(
            "claims",
            "for each place of the Pod, the image in the annotation, empty if it has none",
            "variables.entries.size() == 0 ? [] :\n"
            f"  variables.every.map(place, {cel.NEVER.format('place')} ? [''] :\n"
            "  [''] + variables.entries.filter(entry, entry.name == place.name).map(entry, entry.image))\n"
            "  .map(images, images[images.size() - 1])",
        ),
    ]


def _annotation() -> list[Variable]:
    """Return the variables that record images as written, as `admission.originals` does."""
    entry = """'"' + place.name + '":"' + place.image + '"'"""
    return [
        Variable(
            "believed",
            "places that were rewritten before, with the image as written, which resolves to the current image",
            "variables.claims.transformList(n, claim, claim != '' && claim != variables.every[n].image\n"
            "  && variables.resolved[variables.places.size() + n] == variables.every[n].image,\n"
            "  {'kind': variables.every[n].kind, 'name': variables.every[n].name, 'image': claim})",
        ),
        Variable(
            "rewritten",
            "the places whose image changes",
            "variables.places.transformList(n, place, variables.resolved[n] != place.image, place)",
        ),
        Variable(
            "originally",
            "both, with the images as written, places that were rewritten before first",
            "variables.believed + variables.rewritten.filter(place,\n"
            "  place.name != '' && !variables.believed.exists(other, other.name == place.name))",
        ),
        Variable(
            "recorded",
            "the entries to record; a container wins over a volume of the same name",
            "variables.originally.filter(place, place.kind != 'volume'\n"
            "  || !variables.originally.exists(other, other.kind != 'volume' && other.name == place.name))\n"
            f"  .map(place, {entry})",
        ),
        Variable(
            "asserted",
            "the entries in the annotation",
            f"variables.entries.map(place, {entry})",
        ),
        Variable(
            "settled",
            "whether the annotation does not change",
            f"!variables.present.contains({string(_ESCAPE)})\n"
            "  && variables.recorded.size() == variables.asserted.size()\n"
            "  && variables.recorded.all(entry, entry in variables.asserted)",
        ),
        Variable("originals", "the new annotation", "'{' + variables.recorded.join(',') + '}'"),
        Variable(
            "room",
            "bytes that the other annotations leave for it, by the API server's limit",
            f"{ANNOTATIONS_LIMIT} - {len(ORIGINALS_ANNOTATION)} - object.metadata.?annotations.orValue({{}})\n"
            f"  .transformList(key, value, key != {_KEY}, size(bytes(key)) + size(bytes(value))).sum()",
        ),
    ]


def _operations(settings: Configuration) -> list[str]:
    """Return the expressions whose lists of operations form the patch."""
    images = (
        "variables.places.transformList(n, place, variables.resolved[n] != place.image,\n"
        "  JSONPatch{op: 'replace', path: place.at, value: variables.resolved[n]})"
    )
    # Through pods/ephemeralcontainers the API server drops a change of annotations silently.
    path = f"/metadata/annotations/{escape(ORIGINALS_ANNOTATION)}"
    annotation = (
        "(variables.settled || request.?subResource.orValue('') == 'ephemeralcontainers' ? [] :\n"
        "  variables.recorded.size() == 0 || size(bytes(variables.originals)) > variables.room ?\n"
        f"  (object.metadata.?annotations[?{_KEY}].hasValue() ? [JSONPatch{{op: 'remove', path: '{path}'}}] : []) :\n"
        "  has(object.metadata.annotations)\n"
        f"  ? [JSONPatch{{op: 'add', path: '{path}', value: variables.originals}}]\n"
        f"  : [JSONPatch{{op: 'add', path: '/metadata/annotations', value: {{{_KEY}: variables.originals}}}}])"
    )
    operations = [images, annotation]
    pull_secret = settings.webhook.pull_secret.appended_name
    if pull_secret is not None:
        operations.append(_append(string(pull_secret)))
    return operations


def _append(secret: str) -> str:
    """Return the expression that appends the pull secret after the user's own."""
    entry = f"{{'name': {secret}}}"
    return (
        "(request.operation != 'CREATE' || !variables.pulled ? [] :\n"
        "  object.spec.?imagePullSecrets.orValue([]).size() == 0\n"
        f"  ? [JSONPatch{{op: 'add', path: '/spec/imagePullSecrets', value: [{entry}]}}] :\n"
        f"  object.spec.imagePullSecrets.exists(secret, secret.?name.orValue('') == {secret}) ? []\n"
        f"  : [JSONPatch{{op: 'add', path: '/spec/imagePullSecrets/-', value: {entry}}}])"
    )
