"""What was decided about one review: the answer, the log, audit annotations and `review` all read this one value."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from webhook.admission import patch
from webhook.admission.patch import Operation
from webhook.admission.pod import Place
from webhook.admission.review import Response
from webhook.images.resolver import Resolution
from webhook.log import shorten

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


class ImageDecision(NamedTuple):
    """A place in the Pod that names an image, and what it resolved to."""

    place: Place
    resolution: Resolution

    @property
    def changed(self) -> bool:
        """Whether another image is put in the place."""
        return self.resolution.image != self.place.image

    def __str__(self) -> str:
        """Say the decision in words: `container app: nginx -> registry.example.com/nginx (...)`."""
        return f"{shorten(str(self.place), _NAME_LIMIT)}: {self.resolution.account}"


class Decision(Struct, frozen=True):
    """A decided review."""

    version: str
    """The version that the answer is to be in."""
    uid: str
    outcome: Outcome
    why: str
    """The outcome in words."""
    namespace: str = ""
    name: str = ""
    """The Pod's name, or its generateName: it may have no name yet."""
    images: tuple[ImageDecision, ...] = ()
    """Every image that was looked at, changed or not."""
    pull_secret: str | None = None
    """The pull secret's name where it was appended."""
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()
    dry_run: bool = False
    allowed: bool = True

    @property
    def changes(self) -> list[ImageDecision]:
        """The images that are rewritten."""
        return [image for image in self.images if image.changed]

    def response(self) -> Response:
        """Make the answer's content. With nothing to change there is neither patch nor patchType."""
        return Response(
            uid=self.uid,
            allowed=self.allowed,
            status=None if self.allowed else {"code": 500, "message": self.why},
            patch=patch.encode(self.operations) if self.operations else None,
            patch_type="JSONPatch" if self.operations else None,
            audit_annotations=self.audit_annotations(),
            warnings=[shorten(warning, _WARNING_LIMIT) for warning in self.warnings] or None,
        )

    def audit_annotations(self) -> dict[str, str]:
        """Say what was decided for the audit log; the API server puts the webhook's name before each key."""
        annotations = {"outcome": shorten(f"{self.outcome}: {self.why}", _WARNING_LIMIT)}
        if self.images:
            annotations["images"] = shorten("; ".join(map(str, self.images)), _AUDIT_LIMIT)
        if self.pull_secret is not None:
            annotations["pull-secret"] = f"{self.pull_secret} appended"
        return annotations
