"""The annotation with the original images: a JSON object that maps names of containers and volumes to images.

Anyone who may change a Pod can write it, and it is copied with Pods. So an entry counts only if it resolves to the
image that the Pod has now.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from webhook.admission.pod import ImageField
from webhook.images.resolver import Resolution

#: Maximum bytes of all annotations of an object, keys and values together.
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
ANNOTATIONS_LIMIT = 256 * 1024

_decoder = msgspec.json.Decoder(dict[str, str])


def read(annotation: str) -> dict[str, str]:
    """Return the annotation's entries; none if it cannot be decoded, or has escapes.

    Entries that the webhook writes need no escapes, and a generated policy cannot read them.
    """
    if len(annotation) > ANNOTATIONS_LIMIT or "\\" in annotation:
        return {}
    try:
        return _decoder.decode(annotation)
    except (ValueError, RecursionError):
        return {}


def can_name(name: str) -> bool:
    """Return whether an entry can have this name, without an escape. In stored Pods names are DNS labels."""
    return bool(name) and name.isprintable() and '"' not in name and "\\" not in name


def is_plain(annotation: str, originals: Mapping[str, str]) -> bool:
    """Return whether every JSON decoder reads the same entries: there are no escapes and no duplicate names."""
    return "\\" not in annotation and not (originals and annotation.count('"') > 4 * len(originals))


def verified_original(
    originals: Mapping[str, str], field: ImageField, resolve: Callable[[str], Resolution]
) -> str | None:
    """Return the image that was written in a field before it was rewritten to the current one, or None."""
    written = originals.get(field.name)
    if written is None or field.never_pulled:
        return None
    resolution = resolve(written)
    return written if resolution.rewritten and resolution.image == field.image else None


def verified(
    originals: Mapping[str, str], fields: Iterable[ImageField], resolve: Callable[[str], Resolution]
) -> dict[str, str]:
    """Return the entries that match a Pod with these fields, without forged, copied and stale ones.

    An image without an entry counts as not rewritten.
    """
    return {field.name: original for field in fields if (original := verified_original(originals, field, resolve))}
