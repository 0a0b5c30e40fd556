"""Evaluate what the webhook would change in a Pod, whether its namespace is selected, and what rewrites Pods.

The mutator is the same as in the server.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from webhook.admission import pod
from webhook.admission.decision import Outcome
from webhook.admission.mutator import Mutator, PodRequest
from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL
from webhook.diagnostics import limits
from webhook.errors import NotReadable
from webhook.log.escaping import truncate
from webhook.output import invocation

STATIC_POLICIES_HIDDEN = "the API does not show policies from static manifests"
NONE = "nothing that the API shows"
_PULL_SECRETS = "/spec/imagePullSecrets"


class Change(Struct, frozen=True, gc=False, order=True):
    """An image that would be rewritten."""

    place: str
    """The container or volume, in words: `init container setup`."""
    written: str
    resolved: str

    def __str__(self) -> str:
        return f"{self.place}: {self.written} -> {self.resolved}"


class Evaluation(Struct, frozen=True):
    """The result for a Pod."""

    outcome: Outcome
    why: str
    images: tuple[str, ...]
    """All images of the Pod as written, also those that are not examined."""
    changes: tuple[Change, ...]
    lacks_secret: bool
    """Whether the pull secret would be appended."""

    @property
    def differs(self) -> bool:
        """Whether the Pod would be changed."""
        return bool(self.changes) or self.lacks_secret


class NamespaceStatus(Struct, frozen=True):
    """Whether the webhook is called for a namespace."""

    selected: bool
    selectable: bool
    """Whether it can be opted in."""
    why: str


def evaluate(mutator: Mutator, manifest: Mapping[str, Any], namespace: str) -> Evaluation:
    """Evaluate a Pod as if it were created now; its `metadata` and `spec` are anything that encodes as JSON."""
    return evaluate_request(mutator, PodRequest.to_create(manifest, namespace))


def evaluate_request(mutator: Mutator, request: PodRequest) -> Evaluation:
    """Evaluate a request to create a Pod. Equal requests, as those of one template, have equal evaluations."""
    decision = mutator.decide(request)
    images = tuple(field.image for field in pod.images(request.new or pod.Pod()))
    changes = tuple(
        Change(str(one.place), one.place.image, one.resolution.image)
        for one in decision.images
        if one.resolution.rewritten
    )
    lacks_secret = any(operation.path.startswith(_PULL_SECRETS) for operation in decision.operations)
    return Evaluation(decision.outcome, decision.why, images, changes, lacks_secret)


def namespace_status(settings: EffectiveConfig, name: str, labels: Mapping[str, str]) -> NamespaceStatus:
    """Return whether a namespace with these labels is selected, and why."""
    why_not = settings.mutator.namespace_filter.denial_reason(name)
    if why_not is not None:
        return NamespaceStatus(selected=False, selectable=False, why=why_not)
    labelled = settings.mode == "labelled"
    if settings.mutator.namespace_filter.is_opted_in(labels):
        why = "opted in by its label" if labelled else "selected, as all namespaces that are not opted out"
        return NamespaceStatus(selected=True, selectable=True, why=why)
    label = labels.get(ENABLED_LABEL)
    if label is None:
        why = f"not opted in: label {ENABLED_LABEL}=true is missing"
    else:
        why = f"{'not opted in' if labelled else 'opted out'}: label {ENABLED_LABEL}={label}"
    return NamespaceStatus(selected=False, selectable=True, why=why)


class Rewriter(Struct, frozen=True):
    """The configured rewriter of a cluster's Pods: webhook, policy or both. `doctor` checks whether it works."""

    webhook: bool | NotReadable
    policy: bool | NotReadable
    """Whether a generated MutatingAdmissionPolicy exists."""
    policy_hash: str | None = None
    """The hash of the configuration that the policy was generated from."""
    since: str | None = None
    """Creation time of the older of the two, RFC 3339."""
    has_bundle: bool = True
    """Whether the webhook configuration has a `caBundle`, without which the webhook cannot be called."""
    hidden: bool = False
    """Whether a dry run is rewritten although the API shows neither."""

    def __str__(self) -> str:
        names = [name for name, there in (("webhook", self.webhook), ("policy", self.policy)) if there is True]
        if self.hidden:
            names.append("a policy that the API does not show")
        if names:
            return " and ".join(names)
        return "not known" if isinstance(self.webhook, NotReadable) or isinstance(self.policy, NotReadable) else NONE

    @property
    def unread(self) -> tuple[NotReadable, ...]:
        """What could not be read."""
        return tuple(part for part in (self.webhook, self.policy) if isinstance(part, NotReadable))

    def notes(self, configuration_hash: str) -> list[str]:
        """Return unexpected states, one line each."""
        found = []
        if self.policy is True:
            instead = "in addition to the webhook" if self.webhook is True else "instead of the webhook"
            found.append(f"a generated MutatingAdmissionPolicy rewrites Pods {instead}")
            if self.policy_hash != configuration_hash:
                source = truncate(self.policy_hash or "not recorded", limits.NAME)
                found.append(
                    f"that policy was generated from another configuration ({source}) than this one "
                    f"({configuration_hash})"
                )
        if self.webhook is True and not self.has_bundle:
            found.append(
                "the webhook configuration has no caBundle, so the API server cannot call the webhook. "
                f"Run `{invocation.command('doctor')}`"
            )
        if self.webhook is False and self.policy is False:
            if self.hidden:
                found.append(f"a dry run is rewritten although no webhook or policy is found: {STATIC_POLICIES_HIDDEN}")
            else:
                found.append(
                    f"no webhook or generated policy is found ({STATIC_POLICIES_HIDDEN}). "
                    f"`{invocation.command('explain', '--dry-run')}` shows whether a Pod is rewritten"
                )
        return found
