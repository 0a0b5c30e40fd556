"""What was decided about a review: the answer, the log, audit annotations and `review` all read this one value."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple, Self

from msgspec import Struct

from webhook.admission import patch, review
from webhook.admission.patch import Operation
from webhook.admission.pod import ImageField
from webhook.admission.review import Response, Review
from webhook.images.resolver import Resolution
from webhook.log import Fields, joined, shorten

#: The API server cuts a warning at 256 characters.
#: https://pkg.go.dev/k8s.io/api/admission/v1#AdmissionResponse
_WARNING_LIMIT = 256
_NAME_LIMIT = 100


class Outcome(StrEnum):
    """What became of a review, in one word."""

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


#: Outcomes of what was not examined, with the HTTP status that a refused client is told.
UNEXAMINED = {Outcome.TOO_LARGE: 413, Outcome.UNREADABLE: 400, Outcome.ERROR: 500}


class ImageDecision(Struct, frozen=True, gc=False):
    """A place in the Pod that names an image, and what it resolved to."""

    place: ImageField
    resolution: Resolution

    def __str__(self) -> str:
        """Return for example `container app: nginx -> registry.example.com/nginx (...)`."""
        return f"{shorten(str(self.place), _NAME_LIMIT)}: {self.resolution.description}"

    def fields(self) -> dict[str, object]:
        """Return what JSON log lines have of it."""
        return {
            "place": shorten(str(self.place), _NAME_LIMIT),
            "before": self.place.image,
            "after": self.resolution.image,
            "reason": self.resolution.reason,
            "rule": self.resolution.rule,
        }


class Counts(NamedTuple):
    """What metrics count of a decision, made ready once: it is counted again with every review that gets it."""

    outcome: str
    images: tuple[tuple[str, str | None, int], ...]
    """Reasons, with the rule where one decided, and of how many images."""

    @classmethod
    def of(cls, outcome: Outcome, images: Iterable[ImageDecision]) -> Self:
        """Count."""
        counted: dict[tuple[str, str | None], int] = {}
        for image in images:
            what = image.resolution.reason.value, image.resolution.rule
            counted[what] = counted.get(what, 0) + 1
        return cls(outcome.value, tuple([(*what, number) for what, number in counted.items()]))


class Decision(Struct, frozen=True, gc=False):
    """What is decided, for every review that asks the same."""

    outcome: Outcome
    why: str
    """The outcome in words."""
    counts: Counts
    """What of it metrics count."""
    operations: tuple[Operation, ...]
    response: Response
    """What is answered. With nothing to change there is neither patch nor patchType."""
    encoded: bytes
    """The response, as `review.encode_answer` takes it."""
    log_fields: Fields
    images: tuple[ImageDecision, ...] = ()
    """Every image that was examined, changed or not."""


class DecisionBuilder:
    """A decision in the making."""

    __slots__ = ("changes", "drops_originals", "images", "operations", "pull_secret", "warnings")

    def __init__(self, images: Sequence[ImageDecision] = ()) -> None:
        """Begin with what the images resolved to."""
        self.images = images
        self.changes = [image for image in images if image.resolution.rewritten]
        self.operations = [patch.replace(change.place.pointer, change.resolution.image) for change in self.changes]
        self.warnings: list[str] = []
        self.pull_secret: str | None = None
        """The name of the one that is appended."""
        self.drops_originals = False
        """Whether the annotation has entries of original images that are not true of the Pod, and loses them."""

    def descriptions(self) -> list[str]:
        """Say each change."""
        added = [] if self.pull_secret is None else [f"imagePullSecrets: {self.pull_secret} is appended"]
        dropped = ["original images that are not true of this Pod are dropped"] if self.drops_originals else []
        return [*map(str, self.changes), *added, *dropped]

    def summary(self) -> tuple[Outcome, str]:
        """Say what all changes come to."""
        if self.changes:
            return Outcome.REWRITTEN, f"{len(self.changes)} of {len(self.images)} images"
        if self.pull_secret is not None:
            return Outcome.PULL_SECRET, "every image stays; the pull secret is appended"
        return Outcome.UNCHANGED, "every image stays" if self.images else "no image to look at"


def decide(outcome: Outcome, why: str, builder: DecisionBuilder | None = None) -> Decision:
    """Make the decision to let a Pod through, as `builder` changes it, with all that is said of it."""
    builder = builder or DecisionBuilder()
    # For the audit log; the API server puts the webhook's name before each key.
    annotations = {"outcome": shorten(f"{outcome}: {why}", _WARNING_LIMIT)}
    if builder.images:
        annotations["images"] = joined(builder.images)
    if builder.pull_secret is not None:
        annotations["pull-secret"] = f"{builder.pull_secret} appended"
    response = Response(
        allowed=True,
        patch=patch.encode(builder.operations) if builder.operations else None,
        patch_type="JSONPatch" if builder.operations else None,
        audit_annotations=annotations,
        warnings=tuple([shorten(warning, _WARNING_LIMIT) for warning in builder.warnings]) or None,
    )
    images, operations = tuple(builder.images), tuple(builder.operations)
    fields = Fields({"pull_secret": builder.pull_secret, "images": images or None})
    return Decision(
        outcome, why, Counts.of(outcome, images), operations, response, review.encode(response), fields, images
    )


def fail(outcome: Outcome, why: str, *, allow: bool) -> Decision:
    """Make the decision on a Pod that was not examined: to let it through as it is, or to refuse it."""
    why = f"{why}; the Pod was {'left as it is' if allow else 'refused'}"
    response = Response(
        allowed=allow,
        status=None if allow else {"code": UNEXAMINED[outcome], "message": why},
        audit_annotations={"outcome": shorten(f"{outcome}: {why}", _WARNING_LIMIT)},
        warnings=(shorten(why, _WARNING_LIMIT),) if allow else None,
    )
    fields, counts = Fields({"allowed": allow, "why": why}), Counts.of(outcome, ())
    return Decision(outcome, why, counts, (), response, review.encode(response), fields)


class ReviewResult(NamedTuple):
    """A review, with what was decided about it."""

    review: Review
    decision: Decision

    @property
    def name(self) -> str:
        """The Pod's name, or its generateName: it may have no name yet."""
        request = self.review.request
        metadata = request.object.metadata if request.object else None
        return request.name or (metadata and (metadata.name or metadata.generate_name)) or ""

    @property
    def answer(self) -> bytes:
        """The answer, encoded."""
        return review.encode_answer(self.review, self.decision.encoded)
