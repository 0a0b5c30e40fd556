"""What was decided about a review: the answer, the log, audit annotations and `review` all read this one value."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from webhook.admission import patch, review
from webhook.admission.patch import Operation
from webhook.admission.pod import Place
from webhook.admission.review import Response, Review
from webhook.images.resolver import Resolution
from webhook.log import pairs, shorten

#: The API server cuts a warning at 256 characters.
#: https://pkg.go.dev/k8s.io/api/admission/v1#AdmissionResponse
_WARNING_LIMIT = 256
_AUDIT_LIMIT = 4096
_NAME_LIMIT = 100


class Outcome(StrEnum):
    """What became of a review, in one word."""

    REWRITTEN = "rewritten"
    PULL_SECRET = "pull-secret"  # noqa: S105 - no password: the outcome's name
    UNCHANGED = "unchanged"
    OPTED_OUT = "opted-out"
    MIRROR = "mirror"
    NOT_SERVED = "not-served"
    NOT_OURS = "not-ours"
    ERROR = "error"


class ImageDecision(Struct, frozen=True, gc=False):
    """A place in the Pod that names an image, and what it resolved to."""

    place: Place
    resolution: Resolution

    def __str__(self) -> str:
        """Say the decision in words: `container app: nginx -> registry.example.com/nginx (...)`."""
        return f"{shorten(str(self.place), _NAME_LIMIT)}: {self.resolution.account}"


class Decision(Struct, frozen=True):
    """What is decided, for every review that asks the same."""

    outcome: Outcome
    why: str
    """The outcome in words."""
    images: tuple[str, ...]
    """Every image that was looked at, changed or not, with what became of it, in words."""
    operations: tuple[Operation, ...]
    response: Response
    """What is answered. With nothing to change there is neither patch nor patchType."""
    encoded: bytes
    """The response, as `review.answer` takes it."""
    account: str
    """What was done, for our own log: pairs."""


def decide(
    outcome: Outcome,
    why: str,
    *,
    images: Sequence[ImageDecision] = (),
    pull_secret: str | None = None,
    operations: Sequence[Operation] = (),
    warnings: Sequence[str] = (),
) -> Decision:
    """Make a decision to allow, with all that is said of it; `pull_secret` is the name of one that is appended."""
    said = tuple(map(str, images))
    # For the audit log; the API server puts the webhook's name before each key.
    annotations = {"outcome": shorten(f"{outcome}: {why}", _WARNING_LIMIT)}
    if said:
        annotations["images"] = shorten("; ".join(said), _AUDIT_LIMIT)
    if pull_secret is not None:
        annotations["pull-secret"] = f"{pull_secret} appended"
    response = Response(
        allowed=True,
        patch=patch.encode(operations) if operations else None,
        patch_type="JSONPatch" if operations else None,
        audit_annotations=annotations,
        warnings=tuple([shorten(warning, _WARNING_LIMIT) for warning in warnings]) or None,
    )
    account = pairs(pull_secret=pull_secret, images=annotations.get("images"))
    return Decision(outcome, why, said, tuple(operations), response, review.encode(response), account)


def fail(why: str, *, allow: bool) -> Decision:
    """Make the decision on a review that our own code failed on: to let the Pod through as it is, or to refuse it."""
    response = Response(
        allowed=allow,
        status=None if allow else {"code": 500, "message": why},
        audit_annotations={"outcome": shorten(f"{Outcome.ERROR}: {why}", _WARNING_LIMIT)},
        warnings=(shorten(why, _WARNING_LIMIT),) if allow else None,
    )
    return Decision(Outcome.ERROR, why, (), (), response, review.encode(response), pairs(allowed=allow, why=why))


class Decided(NamedTuple):
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
        return review.answer(self.review, self.decision.encoded)
