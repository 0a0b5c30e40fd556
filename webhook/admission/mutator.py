"""Decides how a Pod is changed, and answers its review. No I/O, no lock, no clock.

The rules:
- CREATE: every image is resolved, and the pull secret is added once, after the user's own, if it applies to a
  resolved image.
- UPDATE of a Pod or of its ephemeral containers: only images that differ from the old object's are resolved, because
  rewriting an unchanged one would restart its container; `imagePullSecrets` is immutable.
- Other objects, mirror Pods, opted-out Pods and Pods outside selected namespaces are left alone. So are images that are
  never pulled.
- `webhook.on_error` applies to reviews that cannot be read, Pods that are too large to be stored, and internal errors.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Self, cast

import msgspec
from msgspec import Struct

from webhook import log
from webhook.admission import originals, patch, pod, review
from webhook.admission.decision import Decision, DecisionBuilder, ImageDecision, Outcome, ReviewResult, fail, skip
from webhook.admission.decision_cache import LONGEST_BODY, DecisionCache
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.admission.pod import STORED_LIMIT, ImageField, Metadata, Pod, UnreadablePod
from webhook.admission.review import GroupVersionKind, Request, Review, Version
from webhook.constants import ENABLED_LABEL, ORIGINALS_ANNOTATION, PROGRAM
from webhook.errors import UnreadableReview
from webhook.images.resolver import Resolution, Resolver, never_pulled
from webhook.log import shorten
from webhook.settings import Configuration

#: Most images that a stored Pod can have: the smallest field that names one, an image volume, takes 22 bytes of
#: protobuf.
IMAGES_LIMIT = STORED_LIMIT // 22

_EPHEMERAL = "ephemeralcontainers"
_ANNOTATIONS = "/metadata/annotations"
_ORIGINALS = f"{_ANNOTATIONS}/{patch.escape(ORIGINALS_ANNOTATION)}"
_PULL_SECRETS = "/spec/imagePullSecrets"
_NO_METADATA = Metadata()
_NO_POD = Pod()


class PodRequest(Struct, frozen=True, gc=False, cache_hash=True):
    """Everything that a decision depends on in addition to the settings: a request without the Pod's identity."""

    kind: GroupVersionKind
    sub_resource: str | None
    namespace: str | None
    operation: str | None
    dry_run: bool | None
    new: Pod | None
    old: Pod | None
    """The Pod before an UPDATE."""
    annotations_exceed: Callable[[int], bool] | None = None
    """Returns whether the new Pod's annotations have more than a number of bytes; None if the request is too short."""

    @classmethod
    def to_create(cls, document: Any, namespace: str) -> Self:
        """Return the request to create a Pod; `document` is any value that msgspec encodes as its JSON.

        Raises `UnicodeEncodeError` for a lone surrogate.
        """
        text = msgspec.json.encode(document)
        exceed = partial(review.pod_annotations_exceed, text) if len(text) > LONGEST_BODY else None
        kind = GroupVersionKind("", "v1", "Pod")
        new = review.decode_pod(text)
        return cls(kind, None, namespace, "CREATE", None, new and new.without_identity(), None, exceed)


class Mutator:
    """Decides reviews and requests by one configuration."""

    def __init__(self, settings: Configuration) -> None:
        webhook = settings.webhook
        self.resolver = Resolver(settings)
        self.namespace_filter = NamespaceFilter(webhook.namespaces, settings.installation.namespace)
        self.pull_secret = webhook.pull_secret.appended_name
        self.pods_opt_out = webhook.pod_opt_out == "allow"
        self._allow_on_error = webhook.on_error == "allow"
        self._decisions: DecisionCache[PodRequest] = DecisionCache()

    def review(self, body: bytes) -> ReviewResult:
        """Decide the review in `body`, even if it cannot be examined.

        Raises `MalformedReview` if it cannot be answered.
        """
        try:
            asked = review.decode(body)
        except UnreadableReview as error:
            named = Review(cast("Version", error.api_version), "AdmissionReview", Request(uid=error.uid))
            return ReviewResult(named, self._unexamined(Outcome.UNREADABLE, f"could not read the review: {error}"))
        try:
            decision = self._decisions.get_or_decide(_to_pod_request(asked.request, body), body, self.decide)
        except Exception as error:  # noqa: BLE001 - the API server waits for a valid review
            decision = self._unexamined(Outcome.ERROR, f"failed ({log.location(error)})")
        return ReviewResult(asked, decision)

    def review_truncated(self, beginning: bytes) -> ReviewResult:
        """Decide a review that is too large to be read, from the beginning of its body.

        Raises `MalformedReview` if that has no uid.
        """
        limit = f"could not read the review: more than {review.BODY_LIMIT // 1024 // 1024} MiB"
        return ReviewResult(review.decode_truncated(beginning), self._unexamined(Outcome.TOO_LARGE, limit))

    def decide(self, request: PodRequest) -> Decision:
        """Decide a request; equal ones always get equal decisions."""
        skipped = self._skip_reason(request)
        if skipped is not None:
            return skip(*skipped)
        new = request.new or _NO_POD
        old = request.old if request.operation == "UPDATE" else None
        for each in (new, old):
            if isinstance(each, UnreadablePod):
                outcome = Outcome.TOO_LARGE if each.too_large else Outcome.UNREADABLE
                return self._unexamined(outcome, f"could not read the Pod: {each.why}")
        fields = _images_to_resolve(new, old)
        too_large = _too_large_reason(fields)
        if too_large is not None:
            return self._unexamined(Outcome.TOO_LARGE, f"did not process the Pod: {too_large}")
        builder = DecisionBuilder([ImageDecision(field, self._resolve(field)) for field in fields])
        if request.sub_resource != _EPHEMERAL:
            # The API server silently drops changes of annotations through pods/ephemeralcontainers.
            self._record_originals(builder, request, new)
        if old is None:
            self._append_pull_secret(builder, new)
        else:
            self._warn_of_missing_secret(builder, new)
        if request.dry_run:
            builder.warn_of_all()
        return builder.decide()

    def _unexamined(self, outcome: Outcome, why: str) -> Decision:
        return fail(outcome, f"{PROGRAM} {why}", allow=self._allow_on_error)

    def _resolve(self, field: ImageField) -> Resolution:
        return never_pulled(field.image) if field.never_pulled else self.resolver.resolve(field.image)

    def _skip_reason(self, request: PodRequest) -> tuple[Outcome, str] | None:
        """Return why a request is left unchanged whatever its images are, or None."""
        reason = _unsupported_reason(request)
        if reason is not None:
            return Outcome.UNSUPPORTED, reason
        reason = self.namespace_filter.denial_reason(request.namespace or "")
        if reason is not None:
            return Outcome.NOT_SELECTED, reason
        metadata = (request.new or _NO_POD).metadata or _NO_METADATA
        if metadata.annotations and metadata.annotations.mirror is not msgspec.UNSET:
            return Outcome.MIRROR, "a mirror Pod represents a static Pod on its node, and cannot be changed"
        if self.pods_opt_out and metadata.labels and metadata.labels.enabled == "false":
            return Outcome.OPTED_OUT, f"the Pod's label {ENABLED_LABEL} opts it out"
        return None

    def _record_originals(self, builder: DecisionBuilder, request: PodRequest, new: Pod) -> None:
        """Record the images as written, and drop entries that do not match the Pod.

        If a container and a volume share a name, the container's image is recorded.
        """
        annotations = new.metadata.annotations if new.metadata else msgspec.UNSET
        present = annotations.originals if annotations else None
        if annotations is msgspec.UNSET or (present is None and not builder.changes):
            return
        recorded: dict[str, str] = {}
        entries: dict[str, str] = {}
        is_plain = True
        if present is not None:
            recorded = originals.read(present)
            entries = originals.verified(recorded, pod.images(new), self.resolver.resolve) if recorded else {}
            is_plain = originals.is_plain(present, recorded)
            builder.drops_originals = len(entries) < len(recorded) or not is_plain
        for change in builder.changes:
            if originals.can_name(change.place.name):
                entries.setdefault(change.place.name, change.place.image)
        if entries == recorded and is_plain:
            return
        value = msgspec.json.encode(entries).decode() if entries else None
        if value is not None and not _fits(value, present, request):
            builder.warn(f"omitted annotation {ORIGINALS_ANNOTATION}, because annotations would exceed 256 KiB")
            value = None
        if value is None:
            builder.operations += [] if present is None else [patch.remove(_ORIGINALS)]
        elif annotations is None:
            builder.operations.append(patch.add(_ANNOTATIONS, {ORIGINALS_ANNOTATION: value}))
        else:
            builder.operations.append(patch.add(_ORIGINALS, value))

    def _append_pull_secret(self, builder: DecisionBuilder, new: Pod) -> None:
        name = self.pull_secret
        present = new.spec.image_pull_secrets if new.spec else None
        if name is None or present is msgspec.UNSET or not any(image.resolution.private for image in builder.images):
            return
        if not present:
            builder.operations.append(patch.add(_PULL_SECRETS, [{"name": name}]))
        elif all(secret.name != name for secret in present):
            builder.operations.append(patch.add(f"{_PULL_SECRETS}/-", {"name": name}))
        else:
            return
        builder.pull_secret = name

    def _warn_of_missing_secret(self, builder: DecisionBuilder, new: Pod) -> None:
        name = self.pull_secret
        present = new.spec.image_pull_secrets if new.spec else None
        if name is None or (present and any(secret.name == name for secret in present)):
            return
        builder.warn_of(
            builder.changes,
            lambda change: (
                f"{shorten(str(change.place), 63)}: rewrote the image to {shorten(change.resolution.image, 90)}, but "
                f"imagePullSecret {name} cannot be added to an existing Pod; recreate it if the pull fails"
            ),
        )


def _to_pod_request(request: Request, body: bytes) -> PodRequest:
    """Return what a decision depends on, with the new Pod as the API server would store it if nothing is changed.

    From a request for ephemeral containers it stores only those, and discards the rest of the new object after calling
    the webhook. So labels and annotations are taken from the old object.
    """
    new, old = request.object, request.old_object
    if request.sub_resource == _EPHEMERAL and new and old and not isinstance(new, UnreadablePod):
        new = old.with_ephemeral_containers_of(new)
    return PodRequest(
        request.kind,
        request.sub_resource,
        request.namespace,
        request.operation,
        request.dry_run,
        new.without_identity() if new else None,
        old.without_identity() if old else None,
        partial(review.annotations_exceed, body) if len(body) > LONGEST_BODY else None,
    )


def _unsupported_reason(request: PodRequest) -> str | None:
    kind = request.kind
    if kind.kind != "Pod" or kind.group or request.sub_resource not in (None, "", _EPHEMERAL):
        return "only Pods and their ephemeral containers are processed"
    if request.operation == "CREATE":
        return "request without an object" if request.new is None else None
    if request.operation != "UPDATE":
        return "only CREATE and UPDATE are processed"
    # Without the old object it is unknown which images are new, and a running container must not be restarted.
    return "UPDATE without old and new object" if request.new is None or request.old is None else None


def _too_large_reason(fields: list[ImageField]) -> str | None:
    if len(fields) > IMAGES_LIMIT:
        return f"more than {IMAGES_LIMIT:,} images"
    if sum([len(field.image) for field in fields]) > STORED_LIMIT:
        return f"image names of more than {STORED_LIMIT // 1024} KiB"
    return None


def _images_to_resolve(new: Pod, old: Pod | None) -> list[ImageField]:
    """Return all image fields of a new Pod, and on UPDATE those that name another image than before."""
    if old is None:
        return list(pod.images(new))
    before = {(field.field, field.name): field.image for field in pod.images(old)}
    return [field for field in pod.images(new) if before.get((field.field, field.name)) != field.image]


def _fits(value: str, present: str | None, request: PodRequest) -> bool:
    """Return whether the Pod's annotations stay within their limit with `value` in place of `present`."""
    if request.annotations_exceed is None:
        return True
    size = len(ORIGINALS_ANNOTATION) + len(value.encode())
    replaced = 0 if present is None else len(ORIGINALS_ANNOTATION) + len(present.encode())
    return size <= ANNOTATIONS_LIMIT and not request.annotations_exceed(ANNOTATIONS_LIMIT - size + replaced)
