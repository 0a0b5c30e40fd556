"""What the webhook would make of one Pod, and whether it would look at its namespace at all.

Pods are decided by the very handler that the server uses.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from webhook.admission import pod, review
from webhook.admission.decision import Outcome
from webhook.admission.mutator import Mutator
from webhook.admission.namespace_filter import is_selected
from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL
from webhook.kube.unknown import Unknown
from webhook.log.escaping import truncate

STATIC_POLICIES_HIDDEN = "policies from static manifests are not shown by the API"
NONE = "none that the API shows"
_PULL_SECRETS = "/spec/imagePullSecrets"
#: Characters shown of a text that anyone may have written.
_SHOWN = 40


class Change(Struct, frozen=True, gc=False, order=True):
    """An image that would be another one."""

    place: str
    """The container or volume, in words: `init container setup`."""
    written: str
    resolved: str

    def __str__(self) -> str:
        """Give it as one line."""
        return f"{self.place}: {self.written} -> {self.resolved}"


class Evaluation(Struct, frozen=True):
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


class NamespaceStatus(Struct, frozen=True):
    """What a namespace is to the webhook."""

    selected: bool
    selectable: bool
    """Whether a label can have it served."""
    why: str


def evaluate(mutator: Mutator, manifest: Mapping[str, Any], namespace: str) -> Evaluation:
    """Decide what becomes of a Pod that is made now, its `metadata` and `spec` anything that encodes as JSON."""
    decided = mutator.review(review.encode_review(dict(manifest), namespace=namespace))
    decision = decided.decision
    values = {operation.path: operation.value for operation in decision.operations}
    places = pod.images(decided.review.request.object or pod.Pod())
    changes = [Change(str(place), place.image, values[place.pointer]) for place in places if place.pointer in values]
    lacks_secret = any(path.startswith(_PULL_SECRETS) for path in values)
    return Evaluation(decision.outcome, decision.why, tuple(changes), lacks_secret)


def namespace_status(settings: EffectiveConfig, name: str, labels: Mapping[str, str]) -> NamespaceStatus:
    """Say whether a namespace of this name with these labels is served, and why."""
    why_not = settings.policy.namespace_filter.denial_reason(name)
    if why_not is not None:
        return NamespaceStatus(selected=False, selectable=False, why=why_not)
    label = labels.get(ENABLED_LABEL)
    written = "it has no such label" if label is None else f'it is "{label}"'
    if is_selected(labels, settings.mode):
        why = "opted in by its label" if settings.mode == "labelled" else "all are served that do not say no"
        return NamespaceStatus(selected=True, selectable=True, why=why)
    wanted = (
        f'{ENABLED_LABEL} is to be "true": {written}' if settings.mode == "labelled" else f"{ENABLED_LABEL}: {written}"
    )
    return NamespaceStatus(selected=False, selectable=True, why=f"not opted in: {wanted}")


class Rewriter(Struct, frozen=True):
    """What is configured to rewrite Pods in a cluster. Whether it works, `doctor` checks."""

    webhook: bool | Unknown
    policy: bool | Unknown
    """Whether our MutatingAdmissionPolicy is there."""
    policy_hash: str | None = None
    """The hash of the configuration that the policy was generated from."""
    since: str | None = None
    """When the older of them was made, RFC 3339."""
    has_bundle: bool = True
    """Whether the webhook configuration has a `caBundle`, without which the webhook cannot be called."""
    hidden: bool = False
    """Whether a dry run is rewritten although the API shows neither."""

    def __str__(self) -> str:
        """Name it."""
        names = [name for name, there in (("webhook", self.webhook), ("policy", self.policy)) if there is True]
        if self.hidden:
            names.append("a policy that the API does not show")
        if names:
            return " and ".join(names)
        return "not known" if isinstance(self.webhook, Unknown) or isinstance(self.policy, Unknown) else NONE

    @property
    def _dry_run(self) -> str:
        return ", and a dry run is rewritten" if self.hidden else ": explain --dry-run tells what becomes of a Pod"

    def notes(self, configuration_hash: str) -> list[str]:
        """Say what is to be known of it, a line each."""
        found = []
        if self.policy is True:
            instead = "beside the webhook" if self.webhook is True else "instead of the webhook"
            found.append(f"a MutatingAdmissionPolicy of ours rewrites Pods here, {instead}")
            if self.policy_hash != configuration_hash:
                of = truncate(self.policy_hash or "it names none", _SHOWN)
                found.append(
                    f"the policy was made of another configuration ({of}) than {configuration_hash}, used here"
                )
        if self.webhook is True and not self.has_bundle:
            found.append(
                "the webhook configuration has no caBundle, so the API server cannot call the webhook: see doctor"
            )
        if self.webhook is False and self.policy is False:
            found.append(
                f"the API shows neither the webhook nor a policy of ours; {STATIC_POLICIES_HIDDEN}{self._dry_run}"
            )
        found += [str(part) for part in (self.webhook, self.policy) if isinstance(part, Unknown)]
        return found
