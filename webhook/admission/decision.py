"""The decision on a review, with everything that the response, the log, metrics and the command `review` use of it."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

from msgspec import Struct

from webhook.admission import patch, review
from webhook.admission.patch import Operation
from webhook.admission.pod import ImageField
from webhook.admission.review import Response, Review
from webhook.constants import ORIGINALS_ANNOTATION
from webhook.images.resolver import Resolution
from webhook.log import Fields, ItemList, json_string, shorten

#: The API server truncates a warning to 256 characters.
#: https://pkg.go.dev/k8s.io/api/admission/v1#AdmissionResponse
_WARNING_LIMIT = 256
#: The API server sends no more characters of warnings to the user, and drops the rest.
#: https://github.com/kubernetes/apiserver/blob/v0.34.2/pkg/endpoints/filters/warning.go
_WARNINGS_LIMIT = 4096
_NAME_LIMIT = 100
_Subject = TypeVar("_Subject")


class Outcome(StrEnum):
    """The outcome of a review."""

    REWRITTEN = "rewritten"
    PULL_SECRET = "pull-secret"  # noqa: S105 - no password: the outcome's name
    UNCHANGED = "unchanged"
    OPTED_OUT = "opted-out"
    MIRROR = "mirror"
    NOT_SELECTED = "not-selected"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too-large"
    UNREADABLE = "unreadable"
    ERROR = "error"

    # Of the value, so that metrics are counted by it. Enum's is of the name, and takes a call of Python code.
    __hash__ = str.__hash__


#: Outcomes of Pods that were not examined, with the HTTP status if they are refused.
UNEXAMINED = {Outcome.TOO_LARGE: 413, Outcome.UNREADABLE: 400, Outcome.ERROR: 500}


class ImageDecision(Struct, frozen=True, gc=False):
    """A field of the Pod that names an image, and what it resolved to."""

    place: ImageField
    resolution: Resolution

    def __str__(self) -> str:
        """Return for example `container app: nginx -> registry.example.com/nginx (...)`."""
        return f"{shorten(str(self.place), _NAME_LIMIT)}: {self.resolution.description}"

    def json(self) -> str:
        """Return the object in JSON log lines."""
        resolution = self.resolution
        place = json_string(shorten(str(self.place), _NAME_LIMIT))
        rule = "" if resolution.rule is None else f',"rule":{json_string(resolution.rule)}'
        return (
            f'{{"place":{place},"before":{json_string(resolution.written)},"after":{json_string(resolution.image)},'
            f'"reason":"{resolution.reason}"{rule}}}'
        )


class Decision(Struct, frozen=True, gc=False):
    """A decision, shared by all reviews with an equal `PodRequest`."""

    outcome: Outcome
    why: str
    """The outcome as a sentence."""
    encoded: bytes
    """The response, encoded by `review.encode`."""
    log_fields: Fields
    images: tuple[ImageDecision, ...] = ()
    """Every image that was examined, changed or not."""
    changes_pod: bool = False

    @property
    def response(self) -> Response:
        """The response. Without changes it has neither patch nor patchType."""
        return review.decode_response(self.encoded)

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The operations of the patch."""
        return patch.decode(self.response.patch or b"[]")


class DecisionBuilder:
    """Collects the changes to a Pod; `images` are those that were examined."""

    __slots__ = ("_left_out", "_room", "_warnings", "changes", "drops_originals", "images", "operations", "pull_secret")

    def __init__(self, images: Sequence[ImageDecision]) -> None:
        self.images = images
        self.changes = [image for image in images if image.resolution.rewritten]
        self.operations = [
            Operation("replace", change.place.pointer, change.resolution.image) for change in self.changes
        ]
        self._warnings: list[str] = []
        self._room = _WARNINGS_LIMIT - _WARNING_LIMIT  # There is always room for the last one.
        self._left_out = 0
        self.pull_secret: str | None = None
        """The name of the pull secret that is added."""
        self.drops_originals = False
        """Whether stale entries are removed from the annotation of original images."""

    def warn(self, text: str) -> None:
        """Add a warning."""
        self.warn_of([text], str)

    def warn_of(self, subjects: Sequence[_Subject], text: Callable[[_Subject], str]) -> None:
        """Add a warning about each subject. Those that an API server would drop are counted, and not built."""
        for position, subject in enumerate(subjects):
            warning = shorten(text(subject), _WARNING_LIMIT)
            self._room -= len(warning)
            if self._room < 0:
                self._left_out += len(subjects) - position
                return
            self._warnings.append(warning)

    def warn_of_all(self) -> None:
        """Add a warning about each change to the Pod."""
        self.warn_of(self.changes, str)
        if self.pull_secret is not None:
            self.warn(f"added imagePullSecret {self.pull_secret}")
        if self.drops_originals:
            self.warn(f"removed entries of annotation {ORIGINALS_ANNOTATION} that do not match this Pod")

    def warnings(self) -> tuple[str, ...] | None:
        """Return the warnings, or None; if some were left out, the last one says how many."""
        if not self._left_out:
            return tuple(self._warnings) or None
        number = len(self._warnings) + self._left_out
        return (
            *self._warnings,
            f"left out {self._left_out:,} of {number:,} warnings: API servers show {_WARNINGS_LIMIT:,} characters",
        )

    def summary(self) -> tuple[Outcome, str]:
        """Return the outcome of all changes, and its description."""
        if self.changes:
            return Outcome.REWRITTEN, f"{len(self.changes)} of {len(self.images)} images"
        if self.pull_secret is not None:
            return Outcome.PULL_SECRET, "no image to rewrite, added the pull secret"
        return Outcome.UNCHANGED, "no image to rewrite" if self.images else "no images"

    def decide(self) -> Decision:
        """Return the decision to admit the Pod with the changes."""
        outcome, why = self.summary()
        operations = self.operations
        annotations = _annotations(outcome, why)
        images = ItemList(self.images) if self.images else None
        if images is not None:
            annotations["images"] = images.text
        if self.pull_secret is not None:
            annotations["pull-secret"] = f"added {self.pull_secret}"
        response = Response(
            allowed=True,
            patch=patch.encode(operations) if operations else None,
            patch_type="JSONPatch" if operations else None,
            audit_annotations=annotations,
            warnings=self.warnings(),
        )
        fields = Fields({"outcome": outcome, "pull_secret": self.pull_secret, "images": images})
        examined = tuple(self.images)
        return Decision(outcome, why, review.encode(response), fields, examined, changes_pod=bool(operations))


def skip(outcome: Outcome, why: str) -> Decision:
    """Return the decision to admit a Pod unchanged, whatever its images are."""
    response = Response(allowed=True, audit_annotations=_annotations(outcome, why))
    return Decision(outcome, why, review.encode(response), Fields({"outcome": outcome}))


def fail(outcome: Outcome, why: str, *, allow: bool) -> Decision:
    """Return the decision on a Pod that was not examined: to admit it unchanged, or to deny it."""
    why = f"{why}; the Pod was {'admitted unchanged' if allow else 'denied'}"
    response = Response(
        allowed=allow,
        status=None if allow else {"code": UNEXAMINED[outcome], "message": why},
        audit_annotations=_annotations(outcome, why),
        warnings=(shorten(why, _WARNING_LIMIT),) if allow else None,
    )
    return Decision(outcome, why, review.encode(response), Fields({"outcome": outcome, "allowed": allow, "why": why}))


def _annotations(outcome: Outcome, why: str) -> dict[str, str]:
    """Return the audit annotation that every decision has. The API server prefixes keys with the webhook's name."""
    return {"outcome": shorten(f"{outcome}: {why}", _WARNING_LIMIT)}


class ReviewResult(NamedTuple):
    """A review and the decision on it."""

    review: Review
    decision: Decision

    @property
    def name(self) -> str:
        """The Pod's name, or its generateName if it has no name yet."""
        request = self.review.request
        metadata = request.object.metadata if request.object else None
        return request.name or (metadata and (metadata.name or metadata.generate_name)) or ""

    @property
    def answer(self) -> bytes:
        """The encoded answer."""
        return review.encode_answer(self.review, self.decision.encoded)
