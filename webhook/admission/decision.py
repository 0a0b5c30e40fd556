"""What was decided about a review: the answer, the log, audit annotations and `review` all read this one value."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from webhook.admission import patch
from webhook.admission.patch import Operation
from webhook.admission.pod import Place
from webhook.admission.review import Response
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
    """What is decided, for every review that holds the same."""

    outcome: Outcome
    why: str
    """The outcome in words."""
    images: tuple[str, ...]
    """Every image that was looked at, changed or not, with what became of it, in words."""
    pull_secret: str | None
    """The pull secret's name where it was appended."""
    operations: tuple[Operation, ...]
    allowed: bool
    patch: bytes | None
    """The operations as they are sent; None where there are none."""
    warnings: tuple[str, ...]
    audit_annotations: dict[str, str]
    """What was decided, for the audit log; the API server puts the webhook's name before each key."""
    account: str
    """What was decided, for our own log: values of `log.event`."""


def decide(
    outcome: Outcome,
    why: str,
    *,
    images: Sequence[ImageDecision] = (),
    pull_secret: str | None = None,
    operations: Sequence[Operation] = (),
    warnings: Sequence[str] = (),
    allowed: bool = True,
) -> Decision:
    """Make a decision, with all that is said of it."""
    said = tuple(map(str, images))
    audit = {"outcome": shorten(f"{outcome}: {why}", _WARNING_LIMIT)}
    if said:
        audit["images"] = shorten("; ".join(said), _AUDIT_LIMIT)
    if pull_secret is not None:
        audit["pull-secret"] = f"{pull_secret} appended"
    return Decision(
        outcome,
        why,
        said,
        pull_secret,
        tuple(operations),
        allowed,
        patch.encode(operations) if operations else None,
        tuple([shorten(warning, _WARNING_LIMIT) for warning in warnings]),
        audit,
        pairs(pull_secret=pull_secret, images=audit.get("images")),
    )


class Decided(Struct, frozen=True):
    """A review, with what was decided about it."""

    version: str
    """The version that the answer is to be in."""
    uid: str
    decision: Decision
    namespace: str = ""
    name: str = ""
    """The Pod's name, or its generateName: it may have no name yet."""
    dry_run: bool = False

    def response(self) -> Response:
        """Make the answer's content. With nothing to change there is neither patch nor patchType."""
        decision = self.decision
        return Response(
            self.uid,
            decision.allowed,
            None if decision.allowed else {"code": 500, "message": decision.why},
            decision.patch,
            None if decision.patch is None else "JSONPatch",
            decision.audit_annotations,
            decision.warnings or None,
        )
