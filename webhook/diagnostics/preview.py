"""Preview what the webhook would change in a document, decided by the same mutator as in the server."""

import copy
import json
from typing import Any, NamedTuple

import jsonpatch

from webhook.admission import patch
from webhook.admission.decision import Decision
from webhook.admission.mutator import Mutator, PodRequest
from webhook.errors import InvalidManifest, MalformedReview
from webhook.kube.pod_templates import Workload, workloads


class Reviewed(NamedTuple):
    """A workload of a document, and the decision on it."""

    what: str
    """Its name: `Deployment/web`."""
    decision: Decision


class Preview(NamedTuple):
    """A document before and after."""

    before: Any
    after: Any
    patch: list[dict[str, Any]]
    """The changes as a JSON patch of the document."""
    reviewed: list[Reviewed]
    names_image: bool
    """Whether a Pod or template in it names an image."""

    @property
    def changes(self) -> bool:
        return bool(self.patch)


def preview(mutator: Mutator, document: Any, namespace: str) -> Preview:
    """Decide on an AdmissionReview, or on a manifest as if its Pods were created now.

    A workload that names no namespace is in `namespace`, and every namespace counts as opted in,
    except system namespaces.
    Raises `InvalidManifest`.
    """
    try:
        return _preview(mutator, document, namespace)
    except MalformedReview as error:
        raise InvalidManifest(str(error)) from None
    except UnicodeEncodeError:
        raise InvalidManifest("a lone surrogate is not a character") from None


def _preview(mutator: Mutator, document: Any, namespace: str) -> Preview:
    if isinstance(document, dict) and document.get("kind") == "AdmissionReview":
        return _of_review(mutator, document)
    operations: list[dict[str, Any]] = []
    reviewed = []
    names_image = False
    for workload in workloads(document):
        decision = mutator.decide(PodRequest.to_create(_pod(workload), workload.namespace or namespace))
        reviewed.append(Reviewed(str(workload), decision))
        names_image = names_image or workload.names_image
        pointer = "".join(f"/{key}" for key in workload.path)
        if decision.operations and not isinstance(workload.pod.get("metadata"), dict):
            operations.append({"op": "add", "path": f"{pointer}/metadata", "value": {}})
        operations += _below(decision, pointer)
    return Preview(document, _applied(document, operations), operations, reviewed, names_image)


def _of_review(mutator: Mutator, document: dict[str, Any]) -> Preview:
    decided = mutator.review(json.dumps(document).encode())
    request = document["request"]
    before = request.get("object")
    operations = _below(decided.decision, "")
    what = f"{request.get('operation', '?')} {request.get('namespace') or ''}/{decided.name}"
    return Preview(
        before, _applied(before, operations), operations, [Reviewed(what, decided.decision)], names_image=True
    )


def _pod(workload: Workload) -> dict[str, Any]:
    """Return the Pod that a controller would create: one from a template has a name generated from its workload's."""
    metadata = workload.pod.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    named = metadata if workload.kind == "Pod" else {**metadata, "generateName": f"{workload.name}-"}
    return {**workload.pod, "metadata": named}


def _below(decision: Decision, pointer: str) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = json.loads(patch.encode(decision.operations))
    return [{**operation, "path": pointer + operation["path"]} for operation in operations]


def _applied(document: Any, operations: list[dict[str, Any]]) -> Any:
    try:
        return jsonpatch.apply_patch(copy.deepcopy(document), operations)
    except jsonpatch.JsonPatchException as error:
        raise InvalidManifest(f"cannot apply the patch: {error}") from None
