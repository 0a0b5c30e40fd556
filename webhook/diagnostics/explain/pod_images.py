"""The images of a Pod, as they are and as they were written."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from webhook.admission import originals
from webhook.admission import pod as places
from webhook.admission.mutator import Mutator
from webhook.admission.pod import ImageField
from webhook.constants import ORIGINALS_ANNOTATION
from webhook.diagnostics import limits
from webhook.diagnostics.explain.pod_context import PodContext
from webhook.errors import InvalidManifest, InvalidReference
from webhook.images import reference, resolver
from webhook.images.resolver import Resolution
from webhook.kube.objects import Pod
from webhook.log.escaping import truncate

#: Limit of characters of a name: a host name has 63, less a hyphen and the five that the API server appends.
_NAME = 57
#: Fields that Pods are created without: the node, and containers for debugging.
_LATER = frozenset({"nodeName", "ephemeralContainers"})


class Image(NamedTuple):
    """An image of the Pod."""

    place: ImageField
    """Its field, with the current image."""
    written: str
    """The original image."""
    resolution: Resolution | None
    """The resolution of the original image; None if the configuration is not known."""

    @property
    def changed(self) -> bool:
        """Whether it was rewritten."""
        return self.place.image != self.written

    @property
    def needs_rewrite(self) -> bool:
        """Whether it should have been rewritten."""
        return self.resolution is not None and self.place.image != self.resolution.image

    def __str__(self) -> str:
        return truncate(self.written, limits.IMAGE) if self.resolution is None else self.resolution.description


def as_written(manifest: dict[str, Any], mutator: Mutator | None) -> dict[str, Any]:
    """Return a stored Pod as it may have been sent: with its original images and without later changes.

    It has another name, for a dry run next to the Pod that exists, and does not name our pull secret. Without a mutator
    no original image can be verified, and the images stay as they are. Raises `InvalidManifest`.
    """
    pod = without_nulls(manifest)
    decode(pod)
    pull_secret = mutator.pull_secret if mutator else None
    for place, written in _written(pod, mutator):
        if written != place.image and place.field != "ephemeralContainers":
            holder = pod["spec"][place.field][place.position]
            if place.field == "volumes":
                holder["image"]["reference"] = written
            else:
                holder["image"] = written
    metadata = pod.get("metadata", {})
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != ORIGINALS_ANNOTATION}
    name = str(metadata.get("name") or metadata.get("generateName") or "pod")
    kept = {"labels": metadata.get("labels", {}), "annotations": annotations}
    spec = {key: value for key, value in pod.get("spec", {}).items() if key not in _LATER}
    if "imagePullSecrets" in spec:
        spec["imagePullSecrets"] = [one for one in spec["imagePullSecrets"] if one.get("name") != pull_secret]
    generated = {"generateName": f"{name[:_NAME].rstrip('.-')}-", **kept}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": generated, "spec": spec}


def decode(manifest: dict[str, Any]) -> Pod:
    """Return the Pod of a manifest. Raises `InvalidManifest` if it is not a Pod."""
    try:
        return msgspec.convert(manifest, Pod)
    except msgspec.ValidationError as error:
        raise InvalidManifest(f"not a valid Pod: {error}") from None


def without_nulls(value: Any) -> Any:
    """Remove null values, as the API server does."""
    if isinstance(value, dict):
        return {key: without_nulls(below) for key, below in value.items() if below is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def images_of(context: PodContext) -> Iterator[Image]:
    """Yield the images of a Pod with their originals and resolutions."""
    mutator = context.effective.mutator if context.effective else None
    # A Pod that does not exist yet is examined as it is, whatever its annotations claim.
    every = (
        _written(context.manifest, mutator)
        if context.exists
        else ((one, one.image) for one in image_fields(context.manifest))
    )
    for place, written in every:
        if mutator is None:
            yield Image(place, written, None)
        elif place.never_pulled:
            yield Image(place, written, resolver.never_pulled(written))
        else:
            yield Image(place, written, mutator.resolver.resolve(written))


def image_fields(manifest: dict[str, Any]) -> Iterator[ImageField]:
    """Yield the image fields of a manifest, also of one that is not a valid Pod."""
    return places.images(places.decode_piecewise(msgspec.json.encode(manifest)))


def recorded_originals(manifest: dict[str, Any]) -> dict[str, str]:
    """Read the recorded original images. Any user can write the annotation, so its entries have to be verified."""
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    recorded = annotations.get(ORIGINALS_ANNOTATION)
    return originals.read(recorded) if isinstance(recorded, str) else {}


def is_qualified(image: str) -> bool:
    """Return whether an image names its registry, or is not a valid reference."""
    try:
        return reference.parse(image).qualified
    except InvalidReference:
        return True


def _written(manifest: dict[str, Any], mutator: Mutator | None) -> Iterator[tuple[ImageField, str]]:
    """Yield each image field with its original image: the recorded one, if it resolves to the current image."""
    recorded = recorded_originals(manifest)
    for place in image_fields(manifest):
        original = originals.verified_original(recorded, place, mutator.resolver.resolve) if mutator else None
        yield place, original or place.image
