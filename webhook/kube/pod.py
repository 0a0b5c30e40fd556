"""The parts of a Pod that name an image or a pull secret, as Kubernetes writes them.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from msgspec import Struct


class Container(Struct, frozen=True, gc=False, rename="camel"):
    """A container, init container or ephemeral container."""

    name: str = ""
    image: str | None = None
    image_pull_policy: str | None = None


class ImageVolumeSource(Struct, frozen=True, gc=False, rename="camel"):
    """An image that is mounted as a volume (KEP-4639)."""

    reference: str | None = None
    pull_policy: str | None = None


class Volume(Struct, frozen=True, gc=False):
    """A volume. Only image volumes have an `image`."""

    name: str = ""
    image: ImageVolumeSource | None = None


class SecretName(Struct, frozen=True, gc=False):
    """An entry of `imagePullSecrets`."""

    name: str | None = None
