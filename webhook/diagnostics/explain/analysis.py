"""Analyzes one Pod, step by step."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from webhook.admission.decision import Outcome
from webhook.admission.mutator import PodRequest
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.constants import (
    CONFIGURATION_HASH_ANNOTATION,
    DOCS,
    ENABLED_LABEL,
    MIRROR_ANNOTATION,
    ORIGINALS_ANNOTATION,
    PROGRAM,
)
from webhook.diagnostics import evaluate, image_pull, limits, restart_commands, waiting, webhook_match
from webhook.diagnostics.explain import reachability
from webhook.diagnostics.explain.pod_context import PodContext
from webhook.diagnostics.explain.pod_images import (
    Image,
    decode,
    image_fields,
    images_of,
    is_qualified,
    recorded_originals,
    without_nulls,
)
from webhook.diagnostics.generated_policies import generated, orphaned_guard, orphaned_mutation, regeneration
from webhook.diagnostics.remedy import Remedy
from webhook.errors import NotReadable
from webhook.kube.objects import ConfigMap, Pod
from webhook.kube.partial import known, known_or
from webhook.log.escaping import truncate
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark, or_unknown
from webhook.settings import NamespaceSettings

#: Limit of names in a message.
_NAMED = 5


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
        return bool(recorded_originals(self.context.manifest))

    @property
    def has_unqualified_image(self) -> bool:
        """Whether an image names no registry, so that it is rewritten unless a setting prevents that."""
        return any(not is_qualified(image.place.image) for image in self.images)

    @property
    def names_pull_secret(self) -> bool:
        return any(secret.name == self.secret for secret in self.pod.spec.image_pull_secrets)


def analyze(context: PodContext) -> PodAnalysis:
    """Analyze one Pod. Raises `InvalidManifest` if it is not a Pod."""
    pod = decode(without_nulls(context.manifest))
    images = tuple(images_of(context))
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
    if context.names.helm_release:
        return Remedy(f"{hint} in the value config of Helm release {context.names.helm_release}, and upgrade it")
    where = "config.yaml of the folder that you installed from"
    return Remedy(f"{hint} in {where}, and apply that folder (active within two minutes)")


def _policies(context: PodContext) -> Iterator[Finding]:
    for policy in generated(known(context.policies), context.names.namespace):
        digest = policy.metadata.annotations[CONFIGURATION_HASH_ANNOTATION]
        what, why = "admission policy", f"{policy.metadata.name} was generated from configuration {digest}"
        if context.effective is None:
            yield Finding(Mark.OK, Code.POLICY_OK, what, why)
        elif digest == context.effective.digest:
            yield Finding(Mark.OK, Code.POLICY_OK, what, f"{why}, the current one")
        else:
            why = f"{why}, but the current one is {context.effective.digest}"
            again = regeneration([policy], context.effective, context.names)
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


def _of_image(image: Image, *, exists: bool) -> Finding:
    what = str(image.place)
    if image.resolution is None:
        return Finding(Mark.UNKNOWN, Code.IMAGE_UNKNOWN, what, truncate(image.place.image, limits.IMAGE))
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
    others = [name for name in recorded_originals(analysis.context.manifest) if name not in verified]
    if not others:
        return
    names = ", ".join(truncate(name, limits.NAME) for name in others[:_NAMED])
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
        why = f"the API server refuses the Pod: {truncate(trial.refusal, limits.MESSAGE)}"
        return Finding(Mark.FAIL, Code.DRYRUN_REFUSED, what, why, "fix what the API server reports")
    tried = {(one.field, one.name): one.image for one in image_fields(trial.stored)}
    written = {(one.place.field, one.place.name): one.written for one in analysis.images}
    rewritten = sorted(name for (field, name), image in written.items() if tried.get((field, name), image) != image)
    if rewritten:
        return Finding(Mark.OK, Code.DRYRUN_OK, what, f"rewritten: {', '.join(rewritten)}")
    if any(secret.get("name") == analysis.secret for secret in trial.stored["spec"].get("imagePullSecrets", ())):
        return Finding(Mark.OK, Code.DRYRUN_OK, what, "gets the pull secret, and every image is unchanged")
    return Finding(
        Mark.FAIL, Code.DRYRUN_UNCHANGED, what, "a dry run is not rewritten", *reachability.check_installation()
    )
