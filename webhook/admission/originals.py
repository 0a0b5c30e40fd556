"""The annotation with the original images: a JSON object from the name of a container or volume to an image.

Anyone who may change a Pod can write it, and Pods are copied with it. So an entry counts only if resolving it
gives the image that the Pod has now.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from webhook.admission.pod import ImageField
from webhook.images.resolver import Resolution

#: Bytes of all annotations of an object, keys and values together; with more the API server refuses it.
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
ANNOTATIONS_LIMIT = 256 * 1024

_decoder = msgspec.json.Decoder(dict[str, str])


def read(annotation: str | None) -> dict[str, str]:
    """Return the annotation's entries; none if it cannot be decoded, or has escapes.

    What is recorded needs no escapes, and a generated policy cannot read them.
    """
    if annotation is None or len(annotation) > ANNOTATIONS_LIMIT or "\\" in annotation:
        return {}
    try:
        return _decoder.decode(annotation)
    except (ValueError, RecursionError):
        return {}


def can_name(name: str) -> bool:
    """Return whether an entry can have this name: it needs no escape. API servers store DNS labels only."""
    return bool(name) and name.isprintable() and '"' not in name and "\\" not in name


def is_plain(annotation: str | None, originals: Mapping[str, str]) -> bool:
    """Return whether every JSON decoder reads the same entries: there is no escape, and no name twice."""
    if annotation is None:
        return True
    return "\\" not in annotation and not (originals and annotation.count('"') > 4 * len(originals))


def verified_original(
    originals: Mapping[str, str], place: ImageField, resolve: Callable[[str], Resolution]
) -> str | None:
    """Return the image that was written in a place before it was rewritten to the one it has, as far as is known."""
    written = originals.get(place.name)
    if written is None or place.never_pulled:
        return None
    resolution = resolve(written)
    return written if resolution.rewritten and resolution.image == place.image else None


def verified(
    originals: Mapping[str, str], places: Iterable[ImageField], resolve: Callable[[str], Resolution]
) -> dict[str, str]:
    """Return the entries that are true of a Pod with these places; forged, copied and stale ones are not.

    Whoever writes the annotation keeps no others, and whoever reads it takes an image without an entry as written.
    """
    return {
        place.name: place_original
        for place in places
        if (place_original := verified_original(originals, place, resolve))
    }
