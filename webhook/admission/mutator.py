"""From a review's bytes to a Decision. No file, no lock, no network, no clock on the way.

The contract that this keeps:
- CREATE: every image is looked at, and the pull secret is appended once, after the user's own, when an image as
  resolved is pulled with it.
- UPDATE of a Pod or of its ephemeral containers: only images that differ from the old object's are looked at, for an
  unchanged one that is rewritten restarts its container; `imagePullSecrets` is immutable and stays.
- What is no Pod, a mirror Pod, opted out, or in a namespace that is not served is left alone. So is an image that is
  never pulled.
- What cannot be examined is allowed or refused as the policy says: a review that cannot be read, a Pod with more than
  can be stored, and one that our own code fails on.
"""

from typing import cast

import msgspec
from msgspec import Struct

from webhook import log
from webhook.admission import originals, patch, pod, review
from webhook.admission.decision import Decision, DecisionBuilder, ImageDecision, Outcome, ReviewResult, decide, fail
from webhook.admission.decision_cache import DecisionCache
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.admission.originals import ANNOTATIONS_LIMIT
from webhook.admission.pod import STORED_LIMIT, ImageField, Metadata, Pod, UnreadablePod
from webhook.admission.review import GroupVersionKind, Request, Review, Version
from webhook.constants import ENABLED_LABEL, ORIGINALS_ANNOTATION, PROGRAM
from webhook.errors import UnreadableReview
from webhook.images.resolver import Resolution, Resolver, never_pulled
from webhook.log import shorten
from webhook.settings import Configuration

#: Images of a Pod that are examined: the smallest place that names one, an image volume, takes 22 bytes of protobuf.
IMAGES_LIMIT = STORED_LIMIT // 22

_EPHEMERAL = "ephemeralcontainers"
_ANNOTATIONS = "/metadata/annotations"
_ORIGINALS = f"{_ANNOTATIONS}/{patch.escape(ORIGINALS_ANNOTATION)}"
_PULL_SECRETS = "/spec/imagePullSecrets"
_NO_METADATA = Metadata()
_NO_POD = Pod()

#: In bytes. Of a longer body the decision is not kept, for it may depend on how long it is.
_KNOWN_BODY = 16 * 1024


class DecisionKey(Struct, frozen=True, gc=False):
    """All that a decision depends on, beside the policy: a request without what names the one Pod."""

    kind: GroupVersionKind
    sub_resource: str | None
    namespace: str | None
    operation: str | None
    dry_run: bool | None
    new: Pod | None
    old: Pod | None
    """The Pod before an UPDATE."""


class Mutator:
    """Decides by one configuration, which never changes."""

    def __init__(self, settings: Configuration) -> None:
        webhook = settings.webhook
        self.resolver = Resolver(settings)
        self.namespace_filter = NamespaceFilter(webhook.namespaces, settings.installation.namespace)
        self.pull_secret = webhook.pull_secret.appended_name
        self.pods_opt_out = webhook.pod_opt_out == "allow"
        self._allow_on_error = webhook.on_error == "allow"
        self._decisions = DecisionCache(self._decide)

    def review(self, body: bytes) -> ReviewResult:
        """Decide the review in `body`.

        Raises `MalformedReview` for bytes that cannot be answered. What cannot be examined becomes a Decision as well.
        """
        try:
            asked = review.decode(body)
        except UnreadableReview as error:
            named = Review(cast("Version", error.api_version), "AdmissionReview", Request(uid=error.uid))
            return ReviewResult(named, self._unexamined(Outcome.UNREADABLE, f"could not read the review: {error}"))
        try:
            decision = self._decision(asked.request, body)
        except Exception as error:  # noqa: BLE001 - whatever it is, the API server is waiting for a valid review
            decision = self._unexamined(Outcome.ERROR, f"failed ({log.location(error)})")
        return ReviewResult(asked, decision)

    def review_truncated(self, beginning: bytes) -> ReviewResult:
        """Decide a review that is too large to be read, by the beginning of its body.

        Raises `MalformedReview` where that does not tell which review it is.
        """
        limit = f"could not read the review: more than {review.BODY_LIMIT // 1024 // 1024} MiB"
        return ReviewResult(review.decode_truncated(beginning), self._unexamined(Outcome.TOO_LARGE, limit))

    def _decision(self, request: Request, body: bytes) -> Decision:
        new, old = _effective_pod(request), request.old_object
        key = DecisionKey(
            request.kind,
            request.sub_resource,
            request.namespace,
            request.operation,
            request.dry_run,
            new.without_identity() if new else None,
            old.without_identity() if old else None,
        )
        return self._decisions.get_or_decide(key, body) if len(body) <= _KNOWN_BODY else self._decide(key, body)

    def _unexamined(self, outcome: Outcome, why: str) -> Decision:
        return fail(outcome, f"{PROGRAM} {why}", allow=self._allow_on_error)

    def _decide(self, key: DecisionKey, body: bytes = b"") -> Decision:
        """Decide a case. Only where the body is not small is it needed, for the size of its annotations."""
        aside = self._skip_reason(key)
        if aside is not None:
            return decide(*aside)
        new = key.new or _NO_POD
        old = key.old if key.operation == "UPDATE" else None
        for each in (new, old):
            if isinstance(each, UnreadablePod):
                outcome = Outcome.TOO_LARGE if each.too_large else Outcome.UNREADABLE
                return self._unexamined(outcome, f"could not read the Pod: {each.why}")
        places = _images_to_resolve(new, old)
        too_large = _why_too_large(places)
        if too_large is not None:
            return self._unexamined(Outcome.TOO_LARGE, f"did not examine the Pod: {too_large}")
        builder = DecisionBuilder([ImageDecision(place, self._resolve(place)) for place in places])
        if key.sub_resource != _EPHEMERAL:
            # Through pods/ephemeralcontainers the API server drops a change of annotations silently.
            self._record_originals(builder, body, new)
        if old is None:
            self._append_pull_secret(builder, new)
        else:
            self._warn_of_missing_secret(builder, new)
        if key.dry_run:
            builder.warnings += builder.descriptions()
        return decide(*builder.summary(), builder)

    def _resolve(self, place: ImageField) -> Resolution:
        return never_pulled(place.image) if place.never_pulled else self.resolver.resolve(place.image)

    def _skip_reason(self, key: DecisionKey) -> tuple[Outcome, str] | None:
        """Say why a request changes nothing, whatever images it names, or None."""
        aside = _unsupported_reason(key)
        if aside is not None:
            return Outcome.UNSUPPORTED, aside
        aside = self.namespace_filter.denial_reason(key.namespace or "")
        if aside is not None:
            return Outcome.NOT_SELECTED, aside
        metadata = (key.new or _NO_POD).metadata or _NO_METADATA
        if metadata.annotations and metadata.annotations.mirror is not msgspec.UNSET:
            return Outcome.MIRROR, "a mirror Pod stands for a static one on its node, and cannot be changed"
        if self.pods_opt_out and metadata.labels and metadata.labels.enabled == "false":
            return Outcome.OPTED_OUT, f"the Pod's label {ENABLED_LABEL} opts it out"
        return None

    def _record_originals(self, builder: DecisionBuilder, body: bytes, new: Pod) -> None:
        """Record the images as they were written, and drop the entries that are not true of the Pod.

        Where a container and a volume share a name, the container's image is recorded.
        """
        annotations = new.metadata.annotations if new.metadata else msgspec.UNSET
        present = annotations.originals if annotations else None
        if annotations is msgspec.UNSET or (present is None and not builder.changes):
            return
        recorded = originals.read(present)
        entries = originals.verified(recorded, pod.images(new), self.resolver.resolve) if recorded else {}
        is_plain = originals.is_plain(present, recorded)
        builder.drops_originals = len(entries) < len(recorded) or not is_plain
        for change in builder.changes:
            if originals.can_name(change.place.name):
                entries.setdefault(change.place.name, change.place.image)
        if entries == recorded and is_plain:
            return
        value = _encoded(entries)
        if entries and (value is None or not _fits(value, present, body)):
            builder.warnings.append(f"{ORIGINALS_ANNOTATION} is left out: the annotations would pass 256 KiB")
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
        builder.warnings += [
            f"{shorten(str(change.place), 63)}: the image is now {shorten(change.resolution.image, 90)}, but this Pod "
            f"was made without imagePullSecrets {name}, which cannot be added: make it anew if the pull is refused"
            for change in builder.changes
        ]


def _effective_pod(request: Request) -> Pod | None:
    """Give the new Pod as the API server stores it where nothing is changed.

    Of a request for ephemeral containers those are stored alone, and the rest of its object is thrown away after the
    webhook was asked: a label or annotation there is none of the Pod.
    """
    new, old = request.object, request.old_object
    if request.sub_resource != _EPHEMERAL or new is None or old is None or isinstance(new, UnreadablePod):
        return new
    return old.with_ephemeral_containers_of(new)


def _unsupported_reason(key: DecisionKey) -> str | None:
    """Say why a request is none that rewriting is for, or None."""
    kind = key.kind
    if kind.kind != "Pod" or kind.group or key.sub_resource not in (None, "", _EPHEMERAL):
        return "only Pods and their ephemeral containers are rewritten"
    if key.operation == "CREATE":
        return "a request without an object" if key.new is None else None
    if key.operation != "UPDATE":
        return "only CREATE and UPDATE rewrite"
    # Without the old object nothing tells which images are new, and a running Pod must not be restarted by mistake.
    return "an UPDATE without both objects" if key.new is None or key.old is None else None


def _why_too_large(places: list[ImageField]) -> str | None:
    """Say what about the images to examine is more than can be stored, or None."""
    if len(places) > IMAGES_LIMIT:
        return f"it has more than {IMAGES_LIMIT:,} images"
    if sum([len(place.image) for place in places]) > STORED_LIMIT:
        return f"its images have more than {STORED_LIMIT // 1024} KiB"
    return None


def _images_to_resolve(new: Pod, old: Pod | None) -> list[ImageField]:
    """List the places to resolve: all of a new Pod's, and on UPDATE those that name another image than before."""
    if old is None:
        return list(pod.images(new))
    before = {(place.field, place.name): place.image for place in pod.images(old)}
    return [place for place in pod.images(new) if before.get((place.field, place.name)) != place.image]


def _encoded(entries: dict[str, str]) -> str | None:
    """Write the annotation's value; None where there is nothing to write, or more than annotations can hold."""
    if not entries or sum(len(name) + len(image) for name, image in entries.items()) > ANNOTATIONS_LIMIT:
        return None
    return msgspec.json.encode(entries).decode()


def _fits(value: str, present: str | None, body: bytes) -> bool:
    """Tell whether the annotations of a review's object stay within their limit with `value` in place of `present`."""
    size = len(ORIGINALS_ANNOTATION) + len(value.encode())
    # What is in the body is at least as long there as it counts; only a long one needs counting.
    if size + len(body) <= ANNOTATIONS_LIMIT:
        return True
    there = 0 if present is None else len(ORIGINALS_ANNOTATION) + len(present.encode())
    return not review.annotations_exceed(body, ANNOTATIONS_LIMIT - size + there)
