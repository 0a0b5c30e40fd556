"""What the webhook would make of one Pod, and whether it would look at its namespace at all.

Pods are decided by the very handler that the server uses.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from webhook.admission import pod, review
from webhook.admission.decision import Outcome
from webhook.admission.handler import Handler
from webhook.inspection.snapshot import Settings
from webhook.names import ENABLED_LABEL
from webhook.namespaces import opted_in

_PULL_SECRETS = "/spec/imagePullSecrets"


class Change(Struct, frozen=True, gc=False, order=True):
    """An image that would be another one."""

    place: str
    """The container or volume, in words: `init container setup`."""
    written: str
    becomes: str

    def __str__(self) -> str:
        """Give it as one line."""
        return f"{self.place}: {self.written} -> {self.becomes}"


class Judgement(Struct, frozen=True):
    """What would become of a Pod."""

    outcome: Outcome
    why: str
    changes: tuple[Change, ...]
    lacks_secret: bool
    """Whether the pull secret would be appended."""

    @property
    def differs(self) -> bool:
        """Whether the Pod would be another one."""
        return bool(self.changes) or self.lacks_secret


class Standing(Struct, frozen=True):
    """What a namespace is to the webhook."""

    served: bool
    may_be: bool
    """Whether a label can have it served."""
    why: str


def judge(handler: Handler, manifest: Mapping[str, Any], namespace: str) -> Judgement:
    """Decide what becomes of a Pod that is made now, its `metadata` and `spec` anything that encodes as JSON."""
    decided = handler.review(review.of_object(dict(manifest), namespace=namespace))
    decision = decided.decision
    values = {operation.path: operation.value for operation in decision.operations}
    places = pod.images(decided.review.request.object or pod.Pod())
    changes = [Change(str(place), place.image, values[place.pointer]) for place in places if place.pointer in values]
    lacks_secret = any(path.startswith(_PULL_SECRETS) for path in values)
    return Judgement(decision.outcome, decision.why, tuple(changes), lacks_secret)


def standing(settings: Settings, name: str, labels: Mapping[str, str]) -> Standing:
    """Say whether a namespace of this name with these labels is served, and why."""
    why_not = settings.policy.bounds.why_not(name)
    if why_not is not None:
        return Standing(served=False, may_be=False, why=why_not)
    label = labels.get(ENABLED_LABEL)
    written = "it has no such label" if label is None else f'it is "{label}"'
    if opted_in(labels, settings.mode):
        why = "opted in by its label" if settings.mode == "labelled" else "all are served that do not say no"
        return Standing(served=True, may_be=True, why=why)
    wanted = (
        f'{ENABLED_LABEL} is to be "true": {written}' if settings.mode == "labelled" else f"{ENABLED_LABEL}: {written}"
    )
    return Standing(served=False, may_be=True, why=f"not opted in: {wanted}")
