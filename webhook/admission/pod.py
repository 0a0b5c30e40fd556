"""The image fields of a Pod, and the few other fields that are read.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
A Pod usually decodes in one pass, with its review. One with a field of an unexpected type is decoded again piece by
piece, without such fields: it is the API server that refuses it, not a webhook. Lists that are too long to be stored
are not decoded.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from webhook.admission import nesting
from webhook.constants import ENABLED_LABEL, MIRROR_ANNOTATION, ORIGINALS_ANNOTATION
from webhook.kube.pod import Container, SecretName, Volume

#: The value of absent fields.
NULL = Raw(b"null")
_ABSENT = Raw(b"")

#: Maximum bytes of an object in etcd: the default of its `--max-request-bytes`. API servers store Pods as protobuf.
STORED_LIMIT = 1536 * 1024
#: Bytes of protobuf of the smallest item of each list. Go writes a container's empty strings and false too.
_LEAST = {"containers": 32, "init_containers": 32, "ephemeral_containers": 32, "volumes": 11, "image_pull_secrets": 4}

_NEVER = "Never"
_NO_IMAGE = Volume()


class Spec(Struct, frozen=True, gc=False, rename="camel"):
    """The part of a Pod's spec that is read. A list that is absent or null is None."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    ephemeral_containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    image_pull_secrets: tuple[SecretName, ...] | UnsetType | None = None
    """UNSET if it exists and is not a list, so that it cannot be appended to."""

    def with_image_volumes_only(self) -> "Spec":
        """Return the spec with an empty volume in place of each without an image, so that positions stay."""
        if not self.volumes:
            return self
        volumes = tuple([volume if volume.image else _NO_IMAGE for volume in self.volumes])
        return Spec(self.containers, self.init_containers, self.ephemeral_containers, volumes, self.image_pull_secrets)


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
    """None if absent or null; UNSET if it exists and is not an object, so that it cannot be added to."""


class Pod(Struct, frozen=True, gc=False):
    """The part of a Pod that is read."""

    metadata: Metadata | None = None
    spec: Spec | None = None

    def without_identity(self) -> "Pod":
        """Return the Pod without its names and those of volumes without an image: all Pods of one template are equal.

        API servers add a volume with a random name to each Pod before they call webhooks: `kube-api-access-x7k2p`, for
        the token of its ServiceAccount.
        """
        metadata = self.metadata
        return Pod(
            metadata and Metadata(None, None, metadata.labels, metadata.annotations),
            self.spec and self.spec.with_image_volumes_only(),
        )

    def with_ephemeral_containers_of(self, other: "Pod") -> "Pod":
        """Return the Pod with the ephemeral containers of another."""
        added = other.spec.ephemeral_containers if other.spec else None
        return Pod(self.metadata, msgspec.structs.replace(self.spec or Spec(), ephemeral_containers=added))


class UnreadablePod(Pod, frozen=True, gc=False):
    """A Pod that could not be read."""

    why: str = ""
    too_large: bool = False
    """Whether the reason is its size."""

    def without_identity(self) -> Pod:
        return self

    def with_ephemeral_containers_of(self, other: Pod) -> Pod:  # noqa: ARG002 - there is nothing to put them in
        return self


class ImageField(Struct, frozen=True, gc=False):
    """A field of a Pod that names an image."""

    field: str
    """The list it is in: `initContainers`."""
    position: int
    name: str
    """The container's or volume's name, empty if it has none."""
    image: str
    """The image as written."""
    never_pulled: bool = False
    """Whether its pull policy is Never, so that no registry is involved."""

    @property
    def pointer(self) -> str:
        """The JSON Pointer (RFC 6901) of the image."""
        return f"/spec/{self.field}/{self.position}/{'image/reference' if self.field == 'volumes' else 'image'}"

    def __str__(self) -> str:
        """Return for example `init container setup`."""
        return f"{_KINDS[self.field]} {self.name or self.position}"


_KINDS = {
    "containers": "container",
    "initContainers": "init container",
    "ephemeralContainers": "ephemeral container",
    "volumes": "volume",
}


def images(pod: Pod) -> Iterator[ImageField]:
    """Yield the image fields of a Pod that are strings."""
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
                never = container.image_pull_policy == _NEVER
                yield ImageField(name, position, container.name, container.image, never)
    for position, volume in enumerate(spec.volumes or ()):
        source = volume.image
        if source is not None and source.reference is not None:
            yield ImageField("volumes", position, volume.name, source.reference, source.pull_policy == _NEVER)


_Piece = TypeVar("_Piece", Container, Volume, SecretName)
_OptionalText = str | None

# The same Pod with nothing decoded, level by level.


class _RawPod(Struct, frozen=True, gc=False):
    metadata: Raw = NULL
    spec: Raw = NULL


class _RawMetadata(Struct, frozen=True, gc=False, rename="camel"):
    name: Raw = NULL
    generate_name: Raw = NULL
    labels: Raw = NULL
    annotations: Raw = NULL


class _RawAnnotations(Struct, frozen=True, gc=False):
    mirror: Raw = field(default=_ABSENT, name=MIRROR_ANNOTATION)
    originals: Raw = field(default=NULL, name=ORIGINALS_ANNOTATION)


class _RawSpec(Struct, frozen=True, gc=False, rename="camel"):
    containers: Raw = NULL
    init_containers: Raw = NULL
    ephemeral_containers: Raw = NULL
    volumes: Raw = NULL
    image_pull_secrets: Raw = NULL


def why_too_large(raw: Raw | bytes) -> str | None:
    """Return which list of a Pod's JSON has more items than can be stored, or None."""
    spec = _read(_read(raw, _RawPod, _RawPod()).spec, _RawSpec, _RawSpec())
    for name, least in _LEAST.items():
        limit = STORED_LIMIT // least
        if nesting.has_more_items(bytes(getattr(spec, name)), limit):
            return f"more than {limit:,} {name.replace('_', ' ')}"
    return None


def decode_piecewise(raw: Raw | bytes) -> Pod:
    """Decode a Pod's JSON without the values of an unexpected type.

    Raises msgspec's errors for input that is not JSON or not UTF-8, and `RecursionError` for deep nesting.
    """
    pod = _read(raw, _RawPod, _RawPod())
    metadata = _read(pod.metadata, _RawMetadata, None)
    spec = _read(pod.spec, _RawSpec, _RawSpec())
    return Pod(
        metadata
        and Metadata(
            name=_read(metadata.name, str, None),
            generate_name=_read(metadata.generate_name, str, None),
            labels=_read(metadata.labels, Labels, None),
            annotations=_annotations(metadata.annotations),
        ),
        Spec(
            containers=_read_each(spec.containers, Container) or (),
            init_containers=_read_each(spec.init_containers, Container) or (),
            ephemeral_containers=_read_each(spec.ephemeral_containers, Container) or (),
            volumes=_read_each(spec.volumes, Volume) or (),
            image_pull_secrets=_read_each(spec.image_pull_secrets, SecretName),
        ),
    )


def _annotations(raw: Raw) -> Annotations | UnsetType | None:
    found = _read(raw, _RawAnnotations | None, UNSET)
    if not isinstance(found, _RawAnnotations):
        return None if found is None else UNSET
    originals = _read(found.originals, _OptionalText, UNSET)
    if found.mirror != _ABSENT:
        return Annotations(mirror="", originals=None if originals is UNSET else originals)
    return UNSET if originals is UNSET else Annotations(originals=originals)


def _read(raw: Raw | bytes, expected: Any, otherwise: Any) -> Any:
    """Decode one piece; return `otherwise` if it has another type."""
    try:
        return msgspec.json.decode(raw, type=expected)
    except msgspec.ValidationError:
        return otherwise


def _read_each(raw: Raw, expected: type[_Piece]) -> tuple[_Piece, ...] | UnsetType | None:
    """Decode a list, with an empty item in place of each of another type; return UNSET if it is not a list."""
    items: tuple[_Piece, ...] | UnsetType | None = _read(raw, tuple[expected, ...] | None, UNSET)  # type: ignore[valid-type]
    if items is not UNSET:
        return items
    pieces = _read(raw, list[Raw], UNSET)
    return UNSET if pieces is UNSET else tuple([_read(piece, expected, expected()) for piece in pieces])
