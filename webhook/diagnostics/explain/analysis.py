"""Analyzes one Pod, step by step."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from webhook.admission import originals
from webhook.admission import pod as places
from webhook.admission.decision import Outcome
from webhook.admission.mutator import Mutator, PodRequest
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.admission.pod import ImageField
from webhook.config.effective import EffectiveConfig
from webhook.constants import (
    CONFIGURATION_HASH_ANNOTATION,
    DOCS,
    ENABLED_LABEL,
    MIRROR_ANNOTATION,
    ORIGINALS_ANNOTATION,
    PROGRAM,
    InstallationNames,
)
from webhook.diagnostics import evaluate, image_pull, restart_commands, waiting, webhook_match
from webhook.diagnostics.explain import reachability
from webhook.diagnostics.generated_policies import generated, orphaned_guard, orphaned_mutation, regeneration
from webhook.diagnostics.remedy import Remedy
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.errors import InvalidManifest, InvalidReference, NotPermitted, NotReadable
from webhook.images import reference, resolver
from webhook.images.resolver import Resolution
from webhook.kube.objects import (
    ConfigMap,
    DryRunResult,
    EndpointSlice,
    Event,
    Namespace,
    Object,
    Pod,
    Secret,
    WebhookConfiguration,
)
from webhook.kube.partial import known, known_or
from webhook.log.escaping import truncate
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark, or_unknown
from webhook.settings import NamespaceSettings

_WEBHOOK = "the webhook"
_SHOWN = 400
#: Limit of characters of a name: a host name has 63, less a hyphen and the five that the API server appends.
_NAME = 57
#: Limit of names in a message.
_NAMED = 5
#: Fields that Pods are created without: the node, and containers for debugging.
_LATER = frozenset({"nodeName", "ephemeralContainers"})


class PodContext(NamedTuple):
    """The objects read for one Pod; None if one does not exist or was not requested."""

    subject: str
    """`Pod team-a/web-1`, or `Deployment team-a/web` for the Pods that it creates."""
    namespace: str
    manifest: dict[str, Any]
    """The Pod as it is stored, or as it would be created."""
    exists: bool
    settings: EffectiveConfig | NotReadable
    namespace_object: Namespace | NotReadable
    configuration: WebhookConfiguration | NotReadable | None
    policies: tuple[Object, ...] | NotReadable
    """The cluster's MutatingAdmissionPolicies."""
    endpoints: tuple[EndpointSlice, ...] | NotReadable
    """Those of the webhook's Service."""
    config_map: ConfigMap | NotReadable | None
    secret: Secret | NotReadable | None
    events: tuple[Event, ...]
    dry_run: DryRunResult | NotReadable | None
    """The result of a dry run with the Pod as it was written."""
    now: float
    """POSIX time."""
    guards: tuple[Object, ...] | NotReadable = ()
    """The cluster's ValidatingAdmissionPolicies."""
    names: InstallationNames = InstallationNames()
    owner: WorkloadName | None = None
    """The topmost owner of the Pod, or the Pod itself; None if nothing of it is in the cluster."""

    @property
    def name(self) -> str:
        """The Pod's name; empty if it has none yet."""
        name = (self.manifest.get("metadata") or {}).get("name")
        return name if isinstance(name, str) else ""

    @property
    def recreation(self) -> Remedy:
        """How to recreate the Pod."""
        annotations = (self.manifest.get("metadata") or {}).get("annotations") or {}
        if MIRROR_ANNOTATION in annotations or (not self.exists and (self.owner is None or self.owner.kind == "Pod")):
            return Remedy()
        return restart_commands.of_pod(self.namespace, self.name, self.owner, ready=not self.exists or self.is_ready)

    @property
    def is_ready(self) -> bool:
        """Whether all containers of the Pod are ready."""
        status = self.manifest.get("status") or {}
        statuses = status.get("containerStatuses") or ()
        return status.get("phase") == "Running" and all(one.get("ready", True) for one in statuses)

    @property
    def denied(self) -> tuple[str, ...]:
        """What the user has no permission to read, outside and inside the Pod's namespace, in words."""
        parts = (
            (self.namespace_object, f"the labels of namespace {self.namespace}"),
            (self.settings, "the configuration"),
            (self.configuration, "the webhook configuration"),
            (self.policies, "admission policies"),
            (self.guards, "admission policies"),
            (self.endpoints, "the webhook's endpoints"),
        )
        return tuple(dict.fromkeys(what for part, what in parts if isinstance(part, NotPermitted)))

    @property
    def has_unread_parts(self) -> bool:
        """Whether the configuration or another part could not be read for lack of permissions."""
        return bool(self.denied) or isinstance(self.secret, NotPermitted)

    @property
    def effective(self) -> EffectiveConfig | None:
        """The configuration, if it could be read."""
        return known_or(self.settings, None)

    @property
    def is_installed(self) -> bool:
        """Whether there is an installation, or may be one that cannot be read."""
        return self.config_map is not None or self.configuration is not None

    @property
    def own_guards(self) -> tuple[Object, ...]:
        """The generated policies that refuse Pods that were not rewritten."""
        return generated(known_or(self.guards, ()))

    @property
    def own_policies(self) -> tuple[Object, ...]:
        """The admission policies that were generated from a configuration."""
        return generated(known_or(self.policies, ()))

    @property
    def rewriters(self) -> tuple[tuple[str, str | None], ...]:
        """The webhook and policies that rewrite Pods, in words, with their creation times, RFC 3339."""
        found = self.configuration
        webhook = ((_WEBHOOK, found.metadata.creation_timestamp),) if isinstance(found, WebhookConfiguration) else ()
        policies = (
            (f"the admission policy {one.metadata.name}", one.metadata.creation_timestamp) for one in self.own_policies
        )
        return (*webhook, *policies)


class Image(NamedTuple):
    """An image of the Pod."""

    place: ImageField
    """Its field, with the current image."""
    written: str
    """The original image."""
    resolution: Resolution | None
    """The resolution of the original image; None if the configuration is not known."""

    @property
    def changed(self) -> bool:
        """Whether it was rewritten."""
        return self.place.image != self.written

    @property
    def needs_rewrite(self) -> bool:
        """Whether it should have been rewritten."""
        return self.resolution is not None and self.place.image != self.resolution.image

    def __str__(self) -> str:
        return truncate(self.written, _SHOWN) if self.resolution is None else self.resolution.description


class PodAnalysis(NamedTuple):
    """A Pod and the results of all steps."""

    context: PodContext
    pod: Pod
    images: tuple[Image, ...]
    secret: str | None
    """The name of the pull secret if the Pod needs it."""
    selection_steps: tuple[Finding, ...]
    """Steps that decide whether Pods like it are rewritten."""
    reachability_steps: tuple[Finding, ...]
    """Steps that decide whether the webhook can be called now."""
    pulls: tuple[Finding, ...]
    """Steps that decide whether its images can be pulled."""
    dry_run: Finding | None

    @property
    def steps(self) -> tuple[Finding, ...]:
        """All steps in order."""
        trial = () if self.dry_run is None else (self.dry_run,)
        return (
            *self.selection_steps,
            *(_of_image(image, exists=self.context.exists) for image in self.images),
            *_record(self),
            *self.reachability_steps,
            *self.pulls,
            *trial,
        )

    @property
    def is_recorded(self) -> bool:
        """Whether the Pod has the annotation with original images, which any user can write."""
        return bool(_recorded(self.context.manifest))

    @property
    def has_unqualified_image(self) -> bool:
        """Whether an image names no registry, so that it is rewritten unless a setting prevents that."""
        return any(not is_qualified(image.place.image) for image in self.images)

    @property
    def names_pull_secret(self) -> bool:
        return any(secret.name == self.secret for secret in self.pod.spec.image_pull_secrets)


def analyze(context: PodContext) -> PodAnalysis:
    """Analyze one Pod. Raises `InvalidManifest` if it is not a Pod."""
    pod = _decoded(_without_nulls(context.manifest))
    images = tuple(_images(context))
    private = any(image.resolution is not None and image.resolution.private for image in images)
    mutator = context.effective.mutator if context.effective else None
    gets_secret = private and _never_selected(context) is None
    secret = mutator.pull_secret if mutator is not None and gets_secret else None
    analysis = PodAnalysis(context, pod, images, secret, (), (), (), None)
    analysis = analysis._replace(dry_run=_dry_run(analysis))
    analysis = analysis._replace(
        selection_steps=tuple(_selection(analysis)), reachability_steps=tuple(_reachability(context))
    )
    return analysis._replace(pulls=tuple(_pulls(analysis)))


def as_written(manifest: dict[str, Any], mutator: Mutator | None) -> dict[str, Any]:
    """Return a stored Pod as it may have been sent: with its original images and without later changes.

    It has another name, for a dry run next to the Pod that exists, and does not name our pull secret. Without a mutator
    no original image can be verified, and the images stay as they are. Raises `InvalidManifest`.
    """
    pod = _without_nulls(manifest)
    _decoded(pod)
    pull_secret = mutator.pull_secret if mutator else None
    for place, written in _written(pod, mutator):
        if written != place.image and place.field != "ephemeralContainers":
            holder = pod["spec"][place.field][place.position]
            if place.field == "volumes":
                holder["image"]["reference"] = written
            else:
                holder["image"] = written
    metadata = pod.get("metadata", {})
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != ORIGINALS_ANNOTATION}
    name = str(metadata.get("name") or metadata.get("generateName") or "pod")
    kept = {"labels": metadata.get("labels", {}), "annotations": annotations}
    spec = {key: value for key, value in pod.get("spec", {}).items() if key not in _LATER}
    if "imagePullSecrets" in spec:
        spec["imagePullSecrets"] = [one for one in spec["imagePullSecrets"] if one.get("name") != pull_secret]
    generated = {"generateName": f"{name[:_NAME].rstrip('.-')}-", **kept}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": generated, "spec": spec}


def _decoded(manifest: dict[str, Any]) -> Pod:
    try:
        return msgspec.convert(manifest, Pod)
    except msgspec.ValidationError as error:
        raise InvalidManifest(f"not a valid Pod: {error}") from None


def _without_nulls(value: Any) -> Any:
    """Remove null values, as the API server does."""
    if isinstance(value, dict):
        return {key: _without_nulls(below) for key, below in value.items() if below is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _images(context: PodContext) -> Iterator[Image]:
    mutator = context.effective.mutator if context.effective else None
    # A Pod that does not exist yet is examined as it is, whatever its annotations claim.
    every = (
        _written(context.manifest, mutator)
        if context.exists
        else ((one, one.image) for one in _places(context.manifest))
    )
    for place, written in every:
        if mutator is None:
            yield Image(place, written, None)
        elif place.never_pulled:
            yield Image(place, written, resolver.never_pulled(written))
        else:
            yield Image(place, written, mutator.resolver.resolve(written))


def _written(manifest: dict[str, Any], mutator: Mutator | None) -> Iterator[tuple[ImageField, str]]:
    """Yield each image field with its original image: the recorded one, if it resolves to the current image."""
    recorded = _recorded(manifest)
    for place in _places(manifest):
        original = originals.verified_original(recorded, place, mutator.resolver.resolve) if mutator else None
        yield place, original or place.image


def _places(manifest: dict[str, Any]) -> Iterator[ImageField]:
    return places.images(places.decode_piecewise(msgspec.json.encode(manifest)))


def _recorded(manifest: dict[str, Any]) -> dict[str, str]:
    """Read the recorded original images. Any user can write the annotation, so its entries have to be verified."""
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    recorded = annotations.get(ORIGINALS_ANNOTATION)
    return originals.read(recorded) if isinstance(recorded, str) else {}


# Steps that decide whether Pods like it are rewritten.


def _selection(analysis: PodAnalysis) -> Iterator[Finding]:
    read = analysis.context
    # First, because a label on a namespace that is never selected changes nothing.
    yield from or_unknown("namespace settings", Code.NAMESPACE_UNKNOWN, _is_allowed(read))
    # Second, because no label changes a static Pod.
    if MIRROR_ANNOTATION in analysis.pod.metadata.annotations:
        yield Finding(Mark.FAIL, Code.POD_MIRROR, "Pod", webhook_match.MIRROR, webhook_match.MIRROR_HINT)
    yield from _orphaned(read)
    yield from or_unknown("webhook configuration", Code.WEBHOOK_UNKNOWN, _webhook(read, analysis.pod, analysis.dry_run))
    yield from _is_selected(read)
    yield from _opted_out(read, analysis.pod)


def _never_selected(context: PodContext) -> str | None:
    """Return why the namespace is never selected, whatever the configuration; None if it can be."""
    return NamespaceFilter(NamespaceSettings(), context.names.namespace).denial_reason(context.namespace)


def _is_allowed(context: PodContext) -> Iterator[Finding]:
    what = "namespace settings"
    never = _never_selected(context)
    if never is not None:
        hint = "run the Pod in another namespace, or write its images with their registry"
        if context.namespace == context.names.namespace:
            hint = "write the images of the Pods in this namespace with their registry"
        yield Finding(Mark.FAIL, Code.NAMESPACE_NEVER, what, f"{never}, and is never selected", hint)
        return
    why = known(context.settings).mutator.namespace_filter.denial_reason(context.namespace)
    if why is not None:
        hint = f"to select namespace {context.namespace}, change that setting"
        yield Finding(Mark.FAIL, Code.NAMESPACE_DENIED, what, why, *edit_configuration(context, hint))
    else:
        why = f"no setting excludes namespace {context.namespace}"
        yield Finding(Mark.OK, Code.NAMESPACE_OK, what, why)


def edit_configuration(context: PodContext, hint: str) -> Remedy:
    """Return a hint with where the configuration is changed, unless that is a file.

    The next `kubectl apply` reverts what is changed in the cluster only.
    """
    if not isinstance(context.config_map, ConfigMap):
        return Remedy(hint)
    where = "config.yaml of the folder that you installed from"
    return Remedy(f"{hint} in {where}, and apply that folder (active after about a minute)")


def _policies(context: PodContext) -> Iterator[Finding]:
    for policy in generated(known(context.policies)):
        digest = policy.metadata.annotations[CONFIGURATION_HASH_ANNOTATION]
        what, why = "admission policy", f"{policy.metadata.name} was generated from configuration {digest}"
        if context.effective is None:
            yield Finding(Mark.OK, Code.POLICY_OK, what, why)
        elif digest == context.effective.digest:
            yield Finding(Mark.OK, Code.POLICY_OK, what, f"{why}, the current one")
        else:
            why = f"{why}, but the current one is {context.effective.digest}"
            again = regeneration([policy], context.effective, context.names.namespace)
            yield Finding(Mark.WARNING, Code.POLICY_OUTDATED, what, why, *again)


def _orphaned(context: PodContext) -> Iterator[Finding]:
    """Report generated policies that were left behind when the installation was removed."""
    # A configuration that cannot be read may well exist.
    for guard in () if context.rewriters or context.configuration is not None else context.own_guards:
        yield orphaned_guard(Mark.WARNING if context.exists else Mark.FAIL, guard.metadata.name)
    for policy in () if context.is_installed else context.own_policies:
        yield orphaned_mutation(policy.metadata.name)


def _webhook(context: PodContext, pod: Pod, trial: Finding | None) -> Iterator[Finding]:
    what = "webhook configuration"
    webhook = webhook_match.find_webhook(known(context.configuration))
    named = reachability.display_name(context.names)
    if context.own_policies and (webhook is None or webhook_match.is_never_called(webhook)):
        why = "the webhook is not called, because the admission policy rewrites Pods"
        yield Finding(Mark.OK, Code.POLICY_INSTEAD, what, why)
        return
    if webhook is None and trial is not None and trial.mark is Mark.OK:
        why = f"{named} does not exist, but a dry run is rewritten: {evaluate.STATIC_POLICIES_HIDDEN}"
        yield Finding(Mark.OK, Code.POLICY_HIDDEN, what, why)
        return
    if webhook is None:
        why = f"{named} does not exist, and neither does a generated admission policy"
        hint = (
            f"install {PROGRAM} ({DOCS}/how-to/install.md), or add --dry-run if a policy in a static manifest, which "
            "the API does not show, rewrites Pods"
        )
        yield Finding(Mark.FAIL, Code.WEBHOOK_MISSING, what, why, hint)
        return
    yield Finding(Mark.OK, Code.WEBHOOK_OK, what, f"{named} exists")
    for step in webhook_match.steps(webhook, context.namespace_object, pod.metadata.labels, pod.metadata.annotations):
        yield _with_commands(step, context)


def _with_commands(step: Finding, context: PodContext) -> Finding:
    """Add the command that removes the label by which a Pod is opted out."""
    if step.code is not Code.POD_OPTED_OUT:
        return step
    without = restart_commands.without_label(context.namespace, context.name, context.owner, ENABLED_LABEL)
    return msgspec.structs.replace(step, hint=without.hint, commands=without.commands)


def _is_selected(context: PodContext) -> Iterator[Finding]:
    what = "namespace selected"
    settings, namespace = context.effective, known_or(context.namespace_object, None)
    if namespace is None:
        return
    labels = namespace.metadata.labels
    if settings is None:
        yield from _is_labelled(context.namespace, labels)
        return
    mode = settings.mode
    if settings.mutator.namespace_filter.is_opted_in(labels):
        why = f"selected, with webhook.namespaces.mode {mode} ({settings.origin})"
        yield Finding(Mark.OK, Code.NAMESPACE_OK, what, why)
    elif mode == "labelled":
        why = webhook_match.not_opted_in(context.namespace, labels)
        yield Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, what, why, *webhook_match.opt_in(context.namespace))
    else:
        why = webhook_match.opted_out(context.namespace, labels)
        hint = webhook_match.remove_opt_out(context.namespace)
        yield Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, what, why, *hint)


def _is_labelled(namespace: str, labels: Mapping[str, str]) -> Iterator[Finding]:
    """Decide by the label alone, for a user who may not read the configuration."""
    what = "namespace selected"
    value = labels.get(ENABLED_LABEL)
    if value == "true":
        why = f"namespace {namespace} has the label {ENABLED_LABEL}=true"
        yield Finding(Mark.OK, Code.NAMESPACE_OK, what, why)
        return
    why = webhook_match.not_opted_in(namespace, labels)
    if value is None:
        why += ", which it needs unless all namespaces are selected"
    yield Finding(Mark.FAIL, Code.NAMESPACE_NOT_SELECTED, what, why, *webhook_match.opt_in(namespace))


def _opted_out(context: PodContext, pod: Pod) -> Iterator[Finding]:
    """Let the server's own code decide whether it leaves the Pod alone."""
    what, settings = "Pod", context.effective
    if settings is not None:
        outcome = settings.mutator.decide(PodRequest.to_create(context.manifest, context.namespace)).outcome
        is_out = outcome == Outcome.OPTED_OUT
        if not is_out and outcome != Outcome.MIRROR:
            yield Finding(Mark.OK, Code.POD_OK, what, "neither opted out nor a mirror Pod")
    else:
        # The label has no effect with `webhook.pod_opt_out: ignore`, which is not known here.
        is_out = pod.metadata.labels.get(ENABLED_LABEL) == "false"
    if is_out:
        why = webhook_match.pod_opted_out(pod.metadata.labels)
        without = restart_commands.without_label(context.namespace, context.name, context.owner, ENABLED_LABEL)
        yield Finding(Mark.FAIL, Code.POD_OPTED_OUT, what, why, *without)


def _reachability(context: PodContext) -> Iterator[Finding]:
    yield from or_unknown("admission policy", Code.POLICY_UNKNOWN, _policies(context))
    webhook = webhook_match.find_webhook(context.configuration)
    if webhook is not None and not (context.own_policies and webhook_match.is_never_called(webhook)):
        yield from reachability.steps(webhook, context.endpoints, context.now)


# Steps about its images, their pulls and the dry run.


def is_qualified(image: str) -> bool:
    """Return whether an image names its registry, or is not a valid reference."""
    try:
        return reference.parse(image).qualified
    except InvalidReference:
        return True


def _of_image(image: Image, *, exists: bool) -> Finding:
    what = str(image.place)
    if image.resolution is None:
        return Finding(Mark.UNKNOWN, Code.IMAGE_UNKNOWN, what, truncate(image.place.image, _SHOWN))
    if image.needs_rewrite and exists:
        return Finding(Mark.FAIL, Code.IMAGE_NOT_REWRITTEN, what, f"not rewritten; expected: {image}")
    if image.resolution.private:
        return Finding(Mark.OK, Code.IMAGE_OK, what, str(image))
    return Finding(Mark.FAIL, Code.IMAGE_UNCHANGED, what, str(image))


def _record(analysis: PodAnalysis) -> Iterator[Finding]:
    """Report recorded original images that do not apply to this Pod or cannot be verified."""
    if not analysis.context.exists:
        return
    verified = {image.place.name for image in analysis.images if image.changed}
    others = [name for name in _recorded(analysis.context.manifest) if name not in verified]
    if not others:
        return
    names = ", ".join(truncate(name, _NAME) for name in others[:_NAMED])
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    if analysis.context.effective is None:
        why = f"the annotation {ORIGINALS_ANNOTATION} cannot be verified for {names}{more} without the configuration"
    else:
        why = (
            f"the annotation {ORIGINALS_ANNOTATION} is ignored for {names}{more}: with the current configuration it "
            "does not lead to the container's image, so it is outdated, copied from another Pod or written by another "
            "client"
        )
    yield Finding(Mark.WARNING, Code.IMAGE_RECORD, "original images", why)


def _pulls(analysis: PodAnalysis) -> Iterator[Finding]:
    read = analysis.context
    what = "imagePullSecrets"
    if analysis.secret is not None and MIRROR_ANNOTATION in analysis.pod.metadata.annotations:
        why = f"a static Pod never gets {analysis.secret}"
        yield Finding(Mark.FAIL, Code.POD_SECRET_NOT_NAMED, what, why, waiting.STATIC_POD_HINT)
    elif analysis.secret is not None:
        if analysis.names_pull_secret:
            yield Finding(Mark.OK, Code.POD_SECRET_NAMED, what, f"the Pod names {analysis.secret}")
        elif read.exists:
            why = f"the Pod does not name the pull secret {analysis.secret}, which is added only when a Pod is created"
            yield Finding(Mark.FAIL, Code.POD_SECRET_NOT_NAMED, what, why, *read.recreation)
        wanted = [image.resolution.image for image in analysis.images if image.resolution and image.resolution.private]
        place = f"{read.namespace}/{analysis.secret}"
        images = list(dict.fromkeys(wanted))
        yield from image_pull.check_secret(place, read.secret, images, read.now, read.names.namespace)
    if read.exists:
        originals = {image.place.image: image.written for image in analysis.images if image.changed}
        yield from image_pull.check_statuses(analysis.pod, read.events, read.now, read.names, originals)


def _dry_run(analysis: PodAnalysis) -> Finding | None:
    """Check the result of the dry run with the Pod as it was written."""
    what, trial = "dry run", analysis.context.dry_run
    if trial is None:
        return None
    if isinstance(trial, NotReadable):
        return Finding(Mark.UNKNOWN, Code.DRYRUN_UNKNOWN, what, str(trial))
    if trial.stored is None:
        why = f"the API server refuses the Pod: {truncate(trial.refusal, _SHOWN)}"
        return Finding(Mark.FAIL, Code.DRYRUN_REFUSED, what, why, "fix what the API server reports")
    tried = {(one.field, one.name): one.image for one in _places(trial.stored)}
    written = {(one.place.field, one.place.name): one.written for one in analysis.images}
    rewritten = sorted(name for (field, name), image in written.items() if tried.get((field, name), image) != image)
    if rewritten:
        return Finding(Mark.OK, Code.DRYRUN_OK, what, f"rewritten: {', '.join(rewritten)}")
    if any(secret.get("name") == analysis.secret for secret in trial.stored["spec"].get("imagePullSecrets", ())):
        return Finding(Mark.OK, Code.DRYRUN_OK, what, "gets the pull secret, and every image is unchanged")
    return Finding(
        Mark.FAIL, Code.DRYRUN_UNCHANGED, what, "a dry run is not rewritten", *reachability.check_installation()
    )
