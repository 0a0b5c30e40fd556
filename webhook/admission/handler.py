"""From a review's bytes to a Decision. No file, no lock, no network, no clock on the way.

The contract that this keeps:
- CREATE: every image is looked at, and the pull secret is appended once, after the user's own, when an image as
  resolved is pulled with it.
- UPDATE of a Pod or of its ephemeral containers: only images that differ from the old object's are looked at, for an
  unchanged one that is rewritten restarts its container; `imagePullSecrets` is immutable and stays.
- What is no Pod, a mirror Pod, opted out, or in a namespace that is not served is left alone, and so is a Pod that is
  larger than any that can be stored: looking at it would keep others waiting.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec import Struct

from webhook import log
from webhook.admission import patch, pod, review
from webhook.admission.decision import Decided, Decision, Draft, ImageDecision, Outcome, decide, fail
from webhook.admission.known import Known
from webhook.admission.pod import Metadata, Place, Pod, Unread
from webhook.admission.review import GroupVersionKind, Request
from webhook.images.resolver import Resolution
from webhook.log import shorten
from webhook.names import ENABLED_LABEL, ORIGINALS_ANNOTATION, PROGRAM
from webhook.namespaces import NamespaceBounds

#: One byte more, keys and values together, and the API server refuses the object.
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/
ANNOTATIONS_LIMIT = 256 * 1024

#: Containers and volumes of a Pod that is looked at. etcd takes 1.5 MiB an object, which is some 7,000 of the smallest
#: containers with what the API server notes of who set their fields.
PLACES_LIMIT = 10_000
#: Characters of all its images together: etcd takes no more bytes than that.
_IMAGES_LIMIT = 1536 * 1024

_EPHEMERAL = "ephemeralcontainers"
_ANNOTATIONS = "/metadata/annotations"
_ORIGINALS = f"{_ANNOTATIONS}/{patch.escape(ORIGINALS_ANNOTATION)}"
_PULL_SECRETS = "/spec/imagePullSecrets"
_NO_METADATA = Metadata()
_NO_POD = Pod()

#: In bytes. Of a longer body the decision is not kept, for it may depend on how long it is.
_KNOWN_BODY = 16 * 1024


class Policy(NamedTuple):
    """What a handler decides by: the configuration's part in it."""

    resolve: Callable[[str], Resolution]
    bounds: NamespaceBounds
    pull_secret: str | None
    """The pull secret's name, or None where none is to be appended."""
    pods_opt_out: bool
    """Whether a Pod's label can opt it out."""
    allow_on_error: bool
    """Whether a Pod is let through unchanged when our own code fails."""


class Case(Struct, frozen=True, gc=False):
    """All that a decision depends on, beside the policy: a request without what names the one Pod."""

    kind: GroupVersionKind
    sub_resource: str | None
    namespace: str | None
    operation: str | None
    dry_run: bool | None
    new: Pod | None
    old: Pod | None
    """The Pod before an UPDATE."""


class Handler:
    """Decides reviews by one policy."""

    def __init__(self, policy: Policy) -> None:
        """Take the policy; it never changes."""
        self._policy = policy
        self._known = Known(self._decide)

    def review(self, body: bytes) -> Decided:
        """Decide the review in `body`.

        Raises `MalformedReview` for bytes that cannot be answered. A fault of our own becomes a Decision as well.
        """
        asked = review.decode(body)
        try:
            decision = self._decision(asked.request, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the API server is waiting for a valid review
            decision = self._failed(error)
        return Decided(asked, decision)

    def _decision(self, request: Request, body: bytes) -> Decision:
        new, old = request.object, request.old_object
        case = Case(
            request.kind,
            request.sub_resource,
            request.namespace,
            request.operation,
            request.dry_run,
            new.nameless() if new else None,
            old.nameless() if old else None,
        )
        return self._known.decision(case, body) if len(body) <= _KNOWN_BODY else self._decide(case, body)

    def _failed(self, error: Exception) -> Decision:
        allow = self._policy.allow_on_error
        left = "left as it is" if allow else "refused"
        return fail(f"{PROGRAM} failed ({log.where(error)}): the Pod was {left}", allow=allow)

    def _decide(self, case: Case, body: bytes = b"") -> Decision:
        """Decide a case. Only where the body is not small is it needed, for the size of its annotations."""
        aside = self._why_left_alone(case)
        if aside is not None:
            return decide(*aside)
        too_large = _why_too_large(case, len(body)) if body else None
        if too_large is not None:
            draft = Draft()
            draft.warnings.append(f"{PROGRAM} left the Pod as it is: {too_large}")
            return decide(Outcome.TOO_LARGE, too_large, draft)
        new = case.new or _NO_POD
        old = case.old if case.operation == "UPDATE" else None
        resolve = self._policy.resolve
        draft = Draft([ImageDecision(place, resolve(place.image)) for place in _looked_at(new, old)])
        if draft.changes and case.sub_resource != _EPHEMERAL:
            # Through pods/ephemeralcontainers the API server drops a change of annotations silently.
            _record_originals(draft, body, new, old)
        if old is None:
            self._append_pull_secret(draft, new)
        else:
            self._warn_of_missing_secret(draft, new)
        if case.dry_run:
            draft.warnings += draft.in_words()
        return decide(*draft.summary(), draft)

    def _why_left_alone(self, case: Case) -> tuple[Outcome, str] | None:
        """Say why a request changes nothing, whatever images it names, or None."""
        aside = _why_not_ours(case)
        if aside is not None:
            return Outcome.NOT_OURS, aside
        aside = self._policy.bounds.why_not(case.namespace or "")
        if aside is not None:
            return Outcome.NOT_SERVED, aside
        metadata = (case.new or _NO_POD).metadata or _NO_METADATA
        if metadata.annotations and metadata.annotations.mirror is not msgspec.UNSET:
            return Outcome.MIRROR, "a mirror Pod stands for a static one on its node, and cannot be changed"
        if self._policy.pods_opt_out and metadata.labels and metadata.labels.enabled == "false":
            return Outcome.OPTED_OUT, f"the Pod's label {ENABLED_LABEL} opts it out"
        return None

    def _append_pull_secret(self, draft: Draft, new: Pod) -> None:
        name = self._policy.pull_secret
        present = new.spec.image_pull_secrets if new.spec else None
        if name is None or present is msgspec.UNSET or not any(image.resolution.private for image in draft.images):
            return
        if not present:
            draft.operations.append(patch.add(_PULL_SECRETS, [{"name": name}]))
        elif all(secret.name != name for secret in present):
            draft.operations.append(patch.add(f"{_PULL_SECRETS}/-", {"name": name}))
        else:
            return
        draft.pull_secret = name

    def _warn_of_missing_secret(self, draft: Draft, new: Pod) -> None:
        name = self._policy.pull_secret
        present = new.spec.image_pull_secrets if new.spec else None
        if name is None or (present and any(secret.name == name for secret in present)):
            return
        draft.warnings += [
            f"{shorten(str(change.place), 63)}: the image is now {shorten(change.resolution.image, 90)}, but this Pod "
            f"was made without imagePullSecrets {name}, which cannot be added: make it anew if the pull is refused"
            for change in draft.changes
        ]


def _why_not_ours(case: Case) -> str | None:
    """Say why a request is none that rewriting is for, or None."""
    kind = case.kind
    if kind.kind != "Pod" or kind.group or case.sub_resource not in (None, "", _EPHEMERAL):
        return "only Pods and their ephemeral containers are rewritten"
    if case.operation == "CREATE":
        return "a request without an object" if case.new is None else None
    if case.operation != "UPDATE":
        return "only CREATE and UPDATE rewrite"
    # Without the old object nothing tells which images are new, and a running Pod must not be restarted by mistake.
    return "an UPDATE without both objects" if case.new is None or case.old is None else None


def _why_too_large(case: Case, length: int) -> str | None:
    """Say what about a Pod in a body of that length, or about the one before, is more than is looked at, or None."""
    for each in (case.new, case.old):
        if isinstance(each, Unread):
            return each.why
        if each is not None and pod.size(each) > PLACES_LIMIT:
            return f"it has more than {PLACES_LIMIT:,} containers and volumes"
        if each is not None and length > _IMAGES_LIMIT and pod.written(each) > _IMAGES_LIMIT:
            return f"its images have more than {_IMAGES_LIMIT // 1024} KiB"
    return None


def _looked_at(new: Pod, old: Pod | None) -> list[Place]:
    """List the places to resolve: all of a new Pod's, and on UPDATE those that name another image than before."""
    if old is None:
        return list(pod.images(new))
    before = {(place.field, place.name): place.image for place in pod.images(old)}
    return [place for place in pod.images(new) if before.get((place.field, place.name)) != place.image]


def _record_originals(draft: Draft, body: bytes, new: Pod, old: Pod | None) -> None:
    """Write down the images as they were written: a JSON object from container or volume name to reference.

    An entry that the old object does not have was made by an earlier call for this same request, and its image is the
    first original: it is kept. Where a container and a volume share a name, the container's image is recorded.
    """
    annotations = new.metadata.annotations if new.metadata else msgspec.UNSET
    if annotations is msgspec.UNSET:
        return
    present = annotations.originals if annotations else None
    earlier = _originals(present)
    before = _originals(
        old.metadata.annotations.originals if old and old.metadata and old.metadata.annotations else None
    )
    originals = {name: image for name, image in earlier.items() if before.get(name) != image}
    for change in draft.changes:
        if change.place.name:
            originals.setdefault(change.place.name, change.place.image)
    value = msgspec.json.encode({**earlier, **originals}).decode()
    size = len(ORIGINALS_ANNOTATION) + len(value.encode())
    # What is in the body is at least as long there as it counts; only a long one needs counting.
    if size + len(body) > ANNOTATIONS_LIMIT:
        there = 0 if present is None else len(ORIGINALS_ANNOTATION) + len(present.encode())
        if size + review.annotations_size(body) - there > ANNOTATIONS_LIMIT:
            draft.warnings.append(f"{ORIGINALS_ANNOTATION} is left out: the annotations would pass 256 KiB")
            return
    if annotations is None:
        draft.operations.append(patch.add(_ANNOTATIONS, {ORIGINALS_ANNOTATION: value}))
    elif value != present:
        draft.operations.append(patch.add(_ORIGINALS, value))


def _originals(annotation: str | None) -> dict[str, str]:
    """Read the annotation's value; one that does not parse or is too long counts as none, and is replaced."""
    if annotation is None or len(annotation) > ANNOTATIONS_LIMIT:
        return {}
    try:
        return msgspec.json.decode(annotation, type=dict[str, str])
    except (ValueError, RecursionError):
        return {}
