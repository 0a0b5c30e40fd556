"""The expected answer to a review, computed in the plainest way."""

import base64
import copy
import json
import sys
from typing import Any

import bodies
import jsonpatch

from webhook.constants import ORIGINALS_ANNOTATION


def refuse_wrong(who: str, body: bytes, answer: bytes) -> None:
    """End the benchmark if an answer to a review is wrong: speed must never be that of a wrong one."""
    request, response = json.loads(body)["request"], json.loads(answer)["response"]
    patch = json.loads(base64.b64decode(response.get("patch", "W10=")))
    became = jsonpatch.apply_patch(request["object"], patch)
    if not response["allowed"] or response["uid"] != request["uid"] or _plain(became) != _plain(_right(request)):
        sys.exit(f"{who} answers wrong: {answer.decode()} to {body[:500].decode()}...")


def _right(request: dict[str, Any]) -> dict[str, Any]:
    """Reckon what becomes of the object under review."""
    pod: dict[str, Any] = copy.deepcopy(request["object"])
    old = (request["oldObject"] or {}).get("spec", {}).get("containers", [])
    before = {container["name"]: container["image"] for container in old}
    annotations = pod["metadata"].get("annotations") or {}
    originals = json.loads(annotations.get(ORIGINALS_ANNOTATION, "{}"))
    for container in pod["spec"]["containers"]:
        image = container["image"]
        if before.get(container["name"]) != image and not image.startswith(f"{bodies.SERVER}/"):
            originals[container["name"]] = image
            container["image"] = f"{bodies.SERVER}/{image}"
    if originals:
        pod["metadata"]["annotations"] = {**annotations, ORIGINALS_ANNOTATION: json.dumps(originals)}
    pod["spec"].setdefault("imagePullSecrets", [{"name": bodies.SECRET}])
    return pod


def _plain(pod: dict[str, Any]) -> dict[str, Any]:
    """Give a Pod with our annotation taken apart, for how it is written does not matter."""
    annotations = pod["metadata"].get("annotations") or {}
    originals = json.loads(annotations.get(ORIGINALS_ANNOTATION, "{}"))
    return {**pod, "metadata": {**pod["metadata"], "annotations": {**annotations, ORIGINALS_ANNOTATION: originals}}}
