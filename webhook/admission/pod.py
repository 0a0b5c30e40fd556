"""Every place in a Pod that names an image, and the few other fields that are read.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
A Pod that the API server sends decodes in one go, with its review. One with a field of an unexpected type is decoded
again piece by piece, and what does not fit is passed over: it is the API server that refuses it, not a webhook.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from webhook.names import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION

#: What is absent counts as.
NULL = Raw(b"null")


class Container(Struct, frozen=True, gc=False):
    """A container of any of the three kinds."""

    name: str = ""
    image: str | None = None


class ImageVolumeSource(Struct, frozen=True, gc=False):
    """An image that is mounted as a volume (KEP-4639)."""

    reference: str | None = None


class Volume(Struct, frozen=True, gc=False):
    """A volume, of which only one with an image is of interest."""

    name: str = ""
    image: ImageVolumeSource | None = None


class SecretName(Struct, frozen=True, gc=False):
    """An entry of `imagePullSecrets`."""

    name: str | None = None


class Spec(Struct, frozen=True, gc=False, rename="camel"):
    """The part of a Pod's spec that is read. A list that is absent or null is None."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    ephemeral_containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    image_pull_secrets: tuple[SecretName, ...] | UnsetType | None = None
    """UNSET when it is there and no list: it cannot be appended to."""


class Annotations(Struct, frozen=True, gc=False):
    """The annotations that are read."""

    mirror: str | UnsetType | None = field(default=UNSET, name=MIRROR_ANNOTATION)
    originals: str | None = field(default=None, name=ORIGINALS_ANNOTATION)


class Labels(Struct, frozen=True, gc=False):
    """The labels that are read."""

    enabled: str | None = field(default=None, name=ENABLED_LABEL)


class Metadata(Struct, frozen=True, gc=False, rename="camel"):
    """The part of a Pod's metadata that is read."""

    name: str | None = None
    generate_name: str | None = None
    labels: Labels | None = None
    annotations: Annotations | UnsetType | None = None
    """None when absent or null, UNSET when it is there and no object: it cannot be added to."""


class Pod(Struct, frozen=True, gc=False):
    """The part of a Pod that is read."""

    metadata: Metadata | None = None
    spec: Spec | None = None

    def nameless(self) -> "Pod":
        """Give the Pod without its names: the same for all Pods of one template."""
        metadata = self.metadata
        return Pod(metadata and Metadata(None, None, metadata.labels, metadata.annotations), self.spec)


class Unread(Pod, frozen=True, gc=False):
    """A Pod that was too large to be read."""

    why: str = ""
    """What about it is too large, in words."""

    def nameless(self) -> Pod:
        """Give the Pod itself: nothing of it was read."""
        return self


class Place(Struct, frozen=True, gc=False):
    """A place in a Pod that names an image."""

    field: str
    """The list it stands in, as the API spells it: `initContainers`."""
    position: int
    name: str
    """The container's or volume's name; empty where it has none."""
    image: str
    """The image as written."""

    @property
    def pointer(self) -> str:
        """Where the image stands, as a JSON Pointer (RFC 6901)."""
        return f"/spec/{self.field}/{self.position}/{'image/reference' if self.field == 'volumes' else 'image'}"

    def __str__(self) -> str:
        """Give the place in words: `init container setup`."""
        return f"{_KINDS[self.field]} {self.name or self.position}"


_KINDS = {
    "containers": "container",
    "initContainers": "init container",
    "ephemeralContainers": "ephemeral container",
    "volumes": "volume",
}


def size(pod: Pod) -> int:
    """Count a Pod's containers and volumes."""
    spec = pod.spec or Spec()
    lists = (spec.containers, spec.init_containers, spec.ephemeral_containers, spec.volumes)
    return sum(len(each or ()) for each in lists)


def written(pod: Pod) -> int:
    """Count the characters of all images of a Pod."""
    return sum(len(place.image) for place in images(pod))


def images(pod: Pod) -> Iterator[Place]:
    """Visit every place of a Pod that names an image; one that is absent, null or no string is passed over."""
    spec = pod.spec
    if spec is None:
        return
    for name, containers in (
        ("containers", spec.containers),
        ("initContainers", spec.init_containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    ):
        for position, container in enumerate(containers or ()):
            if container.image is not None:
                yield Place(name, position, container.name, container.image)
    for position, volume in enumerate(spec.volumes or ()):
        if volume.image is not None and volume.image.reference is not None:
            yield Place("volumes", position, volume.name, volume.image.reference)


# Pieces that stand for themselves, with what the decoder needs to tell null from what does not fit.
_Piece = TypeVar("_Piece", Container, Volume, SecretName)
_OptionalList = list[Raw] | None
_OptionalText = str | None
_OptionalAnnotations = dict[str, Raw] | None

# The same Pod with nothing decoded, level by level.


class _RawPod(Struct, frozen=True, gc=False):
    metadata: Raw = NULL
    spec: Raw = NULL


class _RawMetadata(Struct, frozen=True, gc=False, rename="camel"):
    name: Raw = NULL
    generate_name: Raw = NULL
    labels: Raw = NULL
    annotations: Raw = NULL


class _RawSpec(Struct, frozen=True, gc=False, rename="camel"):
    containers: Raw = NULL
    init_containers: Raw = NULL
    ephemeral_containers: Raw = NULL
    volumes: Raw = NULL
    image_pull_secrets: Raw = NULL


def decode_piecewise(raw: Raw | bytes) -> Pod:
    """Decode a Pod's JSON, passing over whatever does not fit; never raises for what the bytes hold."""
    pod = _read(raw, _RawPod, _RawPod())
    metadata = _read(pod.metadata, _RawMetadata, None)
    spec = _read(pod.spec, _RawSpec, _RawSpec())
    secrets = _read(spec.image_pull_secrets, _OptionalList, UNSET)
    return Pod(
        metadata
        and Metadata(
            name=_read(metadata.name, str, None),
            generate_name=_read(metadata.generate_name, str, None),
            labels=_read(metadata.labels, Labels, None),
            annotations=_annotations(metadata.annotations),
        ),
        Spec(
            containers=_read_each(_read(spec.containers, list[Raw], None), Container),
            init_containers=_read_each(_read(spec.init_containers, list[Raw], None), Container),
            ephemeral_containers=_read_each(_read(spec.ephemeral_containers, list[Raw], None), Container),
            volumes=_read_each(_read(spec.volumes, list[Raw], None), Volume),
            image_pull_secrets=_read_each(secrets, SecretName) if isinstance(secrets, list) else secrets,
        ),
    )


def _annotations(raw: Raw) -> Annotations | UnsetType | None:
    found = _read(raw, _OptionalAnnotations, UNSET)
    if not isinstance(found, dict):
        return None if found is None else UNSET
    originals = _read(found.get(ORIGINALS_ANNOTATION, NULL), _OptionalText, UNSET)
    if MIRROR_ANNOTATION in found:
        return Annotations(mirror="", originals=None if originals is UNSET else originals)
    return UNSET if originals is UNSET else Annotations(originals=originals)


def _read(raw: Raw | bytes, expected: Any, otherwise: Any) -> Any:
    """Decode one piece, or give `otherwise` where it does not fit."""
    try:
        return msgspec.json.decode(raw, type=expected)
    except (ValueError, RecursionError):
        return otherwise


def _read_each(items: list[Raw] | None, expected: type[_Piece]) -> tuple[_Piece, ...]:
    """Decode items that stand for themselves: one that does not fit is empty, and keeps its place."""
    return tuple([_read(item, expected, expected()) for item in items or ()])
