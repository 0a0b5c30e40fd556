"""Find the step that decides why a Pod is, or would be, rewritten or not."""

from collections.abc import Iterable
from itertools import zip_longest
from typing import NamedTuple

from msgspec import Struct

from webhook.constants import DOCS, ENABLED_LABEL
from webhook.diagnostics import limits, pull_errors, waiting, webhook_match
from webhook.diagnostics.explain import analysis as cases
from webhook.diagnostics.explain.analysis import PodAnalysis
from webhook.diagnostics.explain.pod_context import PodContext
from webhook.diagnostics.explain.reachability import check_installation
from webhook.diagnostics.remedy import Remedy
from webhook.errors import NotPermitted, NotReadable
from webhook.images.resolver import Reason
from webhook.kube.installed_config import reader_role
from webhook.kube.objects import ManagedObject
from webhook.log.escaping import truncate
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

_CONFIG_HINT = "pass the configuration with --config FILE, or add --dry-run, which needs permission to create Pods"


class Explanation(Struct, frozen=True):
    """The result for a Pod and its reason."""

    subject: str
    """`Pod team-a/web-1`."""
    exists: bool
    """Whether it is a Pod that exists, and not one that would be created."""
    owner: str
    """The topmost owner of the Pod, `Deployment/web`; empty if it is not in the cluster."""
    mark: Mark
    """Whether its images are rewritten and pulled."""
    code: Code
    """The code of the deciding step."""
    verdict: str
    """The result: `was not rewritten`."""
    cause: str
    """The reason for it, or a note; empty if there is none."""
    hint: str
    """What to do about it."""
    commands: tuple[str, ...]
    """Command lines that do it, in this order."""
    documentation: str
    unchecked: str
    """What could not be checked for lack of permissions, and whom to ask; empty if everything was checked."""
    steps: tuple[Finding, ...]

    def __str__(self) -> str:
        return f"{self.subject} {self.verdict}"


class _Verdict(NamedTuple):
    mark: Mark
    code: Code
    text: str
    cause: str = ""
    remedy: Remedy = Remedy()


def explain(context: PodContext) -> Explanation:
    """Explain one Pod. Raises `InvalidManifest` if it is not a Pod."""
    case = cases.analyze(context)
    verdict = _of_stored(case) if context.exists else _of_planned(case)
    remedy = _completed(verdict, context)
    return Explanation(
        subject=context.subject,
        exists=context.exists,
        owner=str(context.owner or ""),
        mark=verdict.mark,
        code=verdict.code,
        verdict=verdict.text,
        cause=verdict.cause,
        hint=remedy.hint,
        commands=remedy.commands,
        documentation=verdict.code.url,
        unchecked=_unchecked(context),
        steps=case.steps,
    )


def distinct(explanations: Iterable[Explanation]) -> list[Explanation]:
    """Leave out the template of a workload if its newest Pod, which follows it, shows at least as much."""
    found = tuple(explanations)
    return [
        one for one, following in zip_longest(found, found[1:]) if following is None or not _repeats(one, following)
    ]


def _repeats(template: Explanation, pod: Explanation) -> bool:
    if template.exists or not pod.exists or template.owner != pod.owner:
        return False
    return template.mark is Mark.UNKNOWN or (template.code, template.cause) == (pod.code, pod.cause)


def _completed(verdict: _Verdict, context: PodContext) -> Remedy:
    """Add the commands that recreate the Pod, if the fix changes only Pods that are created from then on."""
    hint, commands = verdict.remedy
    recreation = context.recreation
    if verdict.mark is not Mark.FAIL or verdict.code not in _NEEDS_RECREATION or not recreation.hint:
        return verdict.remedy
    if verdict.code is Code.POD_OPTED_OUT and recreation.commands and "rollout" in recreation.commands[0]:
        return verdict.remedy  # a changed template starts a rollout
    if recreation.commands == commands:
        return verdict.remedy
    then = f"{hint}, then {recreation.hint}" if hint else recreation.hint
    return Remedy(then, (*commands, *recreation.commands))


def _unchecked(context: PodContext) -> str:
    """Say in one line what could not be read for lack of permissions, and which roles to ask for."""
    denied, roles = [*context.denied], []
    if denied:
        roles.append(reader_role(context.names))
    if isinstance(context.secret, NotPermitted):
        # No role of ours gives access to Secrets.
        denied.append("the pull secret")
        roles.append(f"the role edit in namespace {context.namespace}")
    *most, last = denied or [""]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"no permission to read {listed} (ask an administrator for {' and '.join(roles)})" if denied else ""


def _of(mark: Mark, text: str, finding: Finding) -> _Verdict:
    return _Verdict(mark, finding.code, text, finding.message, Remedy(finding.hint, finding.commands))


def _of_stored(analysis: PodAnalysis) -> _Verdict:
    """Explain an existing Pod."""
    own = _of_own(analysis, "needed no rewriting")
    if own is not None:
        return own
    changed = any(image.changed for image in analysis.images)
    due = [image for image in analysis.images if image.needs_rewrite]
    if analysis.context.effective is None and not changed:
        return _of_unconfigured(analysis)
    if not due and (analysis.secret is None or analysis.names_pull_secret):
        return _up_to_date(analysis, changed=changed)
    what = "was not rewritten"
    if changed:
        what = f"was rewritten except for {', '.join(str(image.place) for image in due)}" if due else "was rewritten"
    if not due:
        what = f"{'was rewritten, but ' if changed else ''}did not get the pull secret {analysis.secret}"
    why = _why_not(analysis)
    return _of(Mark.FAIL, what, why)


def _of_own(analysis: PodAnalysis, done: str) -> _Verdict | None:
    """Explain a Pod of the installation, whose images are not rewritten; None for another, or if a pull fails."""
    context = analysis.context
    if context.namespace != context.names.namespace or _first(Mark.FAIL, analysis.pulls) is not None:
        return None
    never, *_ = analysis.selection_steps
    checked = "" if _first(Mark.UNKNOWN, analysis.pulls) else _checked(analysis)
    return _Verdict(Mark.OK, never.code, f"{done}{checked}", never.message)


def _of_unconfigured(analysis: PodAnalysis) -> _Verdict:
    """Explain an existing Pod by what a user may read who may not read the configuration."""
    seems = analysis.is_recorded
    blocked = None if seems else _first(Mark.FAIL, analysis.selection_steps)
    if blocked is not None:
        return _not_rewritten(analysis, blocked)
    earlier = _created_before(analysis) if analysis.has_unqualified_image and not seems else None
    if earlier is not None:
        return _of(Mark.FAIL, "was not rewritten", earlier)
    trouble = _first(Mark.FAIL, analysis.pulls)
    if trouble is not None and seems:
        return _of(Mark.FAIL, "was rewritten, but cannot start", trouble)
    if trouble is not None:
        found = _of(Mark.FAIL, "was not rewritten and cannot start", trouble)
        if not analysis.has_unqualified_image or trouble.code not in pull_errors.BY_REGISTRY:
            return found
        why = "the reason why it was not rewritten cannot be found without the configuration"
        return found._replace(cause=f"{trouble.message}, and {why}", remedy=Remedy(_CONFIG_HINT))
    if seems:
        done, why = "was rewritten, according to its annotation", "this cannot be verified without the configuration"
    elif analysis.has_unqualified_image:
        done, why = "was not rewritten", "the reason cannot be found without the configuration"
    else:
        done, why = (
            "was not rewritten",
            "its images name their registries, so only a rule in the configuration does that",
        )
    why = _without_permission(why, analysis, str(analysis.context.settings))
    return _Verdict(Mark.UNKNOWN, Code.CONFIG_UNKNOWN, done, why, Remedy(_CONFIG_HINT))


def _up_to_date(analysis: PodAnalysis, *, changed: bool) -> _Verdict:
    """Explain whether the images of a Pod that is as configured can be pulled."""
    if not changed and analysis.secret is None:
        return _not_rewritten(analysis, _first(Mark.FAIL, analysis.selection_steps) or _why_images_stay(analysis))
    # The annotation is not proof: any user can write it.
    before = "was rewritten with another configuration, according to its annotation"
    return _pulled(analysis, "was rewritten" if changed else before if analysis.is_recorded else "needed no rewriting")


def _not_rewritten(analysis: PodAnalysis, why: Finding) -> _Verdict:
    """Explain a Pod that was not rewritten, and perhaps cannot start either."""
    trouble = _first(Mark.FAIL, analysis.pulls)
    if trouble is None:
        return _of(Mark.FAIL, "was not rewritten", why)
    # Images that name their registry are not expected to be rewritten in such a namespace.
    if why.code is Code.NAMESPACE_NEVER and not analysis.has_unqualified_image:
        return _of(Mark.FAIL, "cannot start", trouble)
    # The reason comes first if the images would be pulled from another registry without it.
    is_first = why.hint and trouble.code in pull_errors.BY_REGISTRY
    first, then = (why, trouble) if is_first else (trouble, why)
    cause = f"{first.message}, and {then.message}"
    return _of(Mark.FAIL, "was not rewritten and cannot start", first)._replace(cause=cause)


def _pulled(analysis: PodAnalysis, done: str) -> _Verdict:
    trouble = _first(Mark.FAIL, analysis.pulls)
    if trouble is not None:
        return _of(Mark.FAIL, f"{done}, but its images cannot be pulled", trouble)
    count = sum(image.changed or image.needs_rewrite for image in analysis.images)
    every = len(analysis.images)
    of = f": {count} of {every} {'image' if every == 1 else 'images'}" if count else ""
    unknown = _first(Mark.UNKNOWN, analysis.pulls)
    if unknown is not None:
        note = "" if unknown.code is Code.SECRET_UNKNOWN else unknown.message
        return _Verdict(Mark.OK, unknown.code, f"{done}{of}", note)
    return _Verdict(Mark.OK, Code.POD_OK, f"{done}{of}{_checked(analysis)}")


def _checked(analysis: PodAnalysis) -> str:
    """Say that a Pod has no problem; of one that does not exist yet, this is not known."""
    return ", and no problem was found" if analysis.context.exists else ""


def _why_not(analysis: PodAnalysis) -> Finding:
    """Find why a Pod is not as configured."""
    blocked = _first(Mark.FAIL, analysis.selection_steps)
    if blocked is not None:
        return blocked
    earlier = _created_before(analysis)
    if earlier is not None:
        return earlier
    unreachable = _first(Mark.FAIL, analysis.reachability_steps)
    if unreachable is not None:
        return unreachable
    recreation = analysis.context.recreation
    trial = analysis.dry_run
    if trial is not None and trial.mark is Mark.FAIL:
        why = f"all checks pass, but {trial.message}"
        return _finding(Mark.FAIL, Code.DRYRUN_UNCHANGED, why, check_installation())
    if trial is not None and trial.mark is Mark.OK:
        why = (
            "a dry run is rewritten now; the webhook was unavailable or configured differently when the Pod was created"
        )
        return _finding(Mark.FAIL, Code.POD_MISSED, why, recreation)
    unknown = _first(Mark.UNKNOWN, analysis.selection_steps)
    if unknown is not None:
        why = _without_permission(f"the {unknown.subject} could not be checked", analysis, unknown.message)
        return _finding(Mark.UNKNOWN, Code.POD_UNKNOWN, why, Remedy(webhook_match.DRY_RUN_HINT))
    why = (
        "all checks pass now; when the Pod was created, the webhook was unavailable or configured differently, or the "
        "Pod or its namespace had other labels"
    )
    return _finding(Mark.FAIL, Code.POD_MISSED, why, recreation)


def _without_permission(what: str, analysis: PodAnalysis, why: str) -> str:
    """Add why something is not known, unless the missing permissions are listed anyway."""
    return what if analysis.context.has_unread_parts else f"{what}: {why}"


def _finding(mark: Mark, code: Code, message: str, remedy: Remedy = Remedy()) -> Finding:  # noqa: B008 - immutable
    return Finding(mark, code, "", message, *remedy)


def _created_before(analysis: PodAnalysis) -> Finding | None:
    """Find what was installed or changed after the Pod was created."""
    created = analysis.pod.metadata.creation_timestamp
    if created is None:
        return None
    read = analysis.context
    # The first one, because any of them would have rewritten it.
    engine, installed = min(read.rewriters, key=lambda one: one[1] or "", default=("", None))
    for what, when in (
        (f"{engine} was installed", installed),
        (f"the labels of namespace {read.namespace} were last changed", _changed(read.namespace_object, *_LABEL)),
        ("the configuration was last changed", _changed(read.config_map, "data")),
    ):
        if when is not None and created < when:
            why = f"the Pod was created at {created}, before {what} at {when}"
            return _finding(Mark.FAIL, Code.POD_OLDER, why, read.recreation)
    return None


def _changed(found: ManagedObject | NotReadable | None, *path: str) -> str | None:
    return found.metadata.changed(*path) if isinstance(found, ManagedObject) else None


def _of_planned(analysis: PodAnalysis) -> _Verdict:
    """Explain a Pod that does not exist yet."""
    own = _of_own(analysis, "needs no rewriting")
    if own is not None:
        return own
    trial = analysis.dry_run
    tried = trial is not None and trial.mark is not Mark.UNKNOWN
    if trial is not None and trial.mark is Mark.OK:
        return _pulled(analysis, "would be rewritten")
    blocked = _first(Mark.FAIL, analysis.selection_steps)
    if blocked is None and not _is_any_changed(analysis):
        blocked = _why_images_stay(analysis)
    blocked = blocked or _first(Mark.FAIL, analysis.reachability_steps)
    if blocked is None and tried and trial is not None:
        blocked = trial
    if blocked is not None:
        return _of(Mark.FAIL, "would not be rewritten", blocked)
    unknown = _first(Mark.UNKNOWN, analysis.selection_steps)
    if unknown is not None:
        cause, hint = f"the {unknown.subject} could not be checked", webhook_match.DRY_RUN_HINT
        if analysis.context.effective is None:
            cause, hint = "the configuration could not be read", _CONFIG_HINT
        cause = _without_permission(cause, analysis, unknown.message)
        return _Verdict(Mark.UNKNOWN, unknown.code, "may or may not be rewritten", cause, Remedy(hint))
    return _pulled(analysis, "would be rewritten")


def _is_any_changed(analysis: PodAnalysis) -> bool:
    return (
        analysis.context.effective is None
        or analysis.secret is not None
        or any(image.needs_rewrite for image in analysis.images)
    )


def _why_images_stay(analysis: PodAnalysis) -> Finding:
    """Find why all images stay, preferring reasons that a user configured."""
    if not analysis.images:
        return _finding(Mark.FAIL, Code.POD_NO_IMAGE, "the Pod has no image", Remedy("add a container with an image"))
    failed = next(waiting.failed_pulls(analysis.pod), None)
    # What an image that is pulled without a problem is written like does not matter then.
    images = [image for image in analysis.images if failed is not None and image.place.image == failed.image]
    first = min(
        images or analysis.images, key=lambda image: _ORDER.get(image.resolution.reason, 9) if image.resolution else 9
    )
    more = len(analysis.images) - 1
    others = f"; {more} other {'image is' if more == 1 else 'images are'} not rewritten either" if more else ""
    detail = f" ({first.resolution.detail})" if first.resolution else ""
    why = f"{truncate(first.written, limits.IMAGE)} is not rewritten{detail}{others}"
    reason = first.resolution.reason if first.resolution else None
    hint, is_setting = _HINTS.get(reason, ("", False)) if reason else ("", False)
    remedy = cases.edit_configuration(analysis.context, hint) if is_setting else Remedy(hint)
    return _finding(Mark.FAIL, Code.IMAGE_UNCHANGED, why, remedy)


_LABEL = ("metadata", "labels", ENABLED_LABEL)
_ORDER = {
    reason: number
    for number, reason in enumerate(
        (Reason.NO_REGISTRY, Reason.EXCLUDED, Reason.NEVER_PULLED, Reason.TOO_LONG, Reason.INVALID, Reason.QUALIFIED)
    )
}
#: What to do about an image that stays, and whether it is done in the configuration.
_HINTS = {
    Reason.NO_REGISTRY: ("set opencti.daemon.registry.server to your registry", True),
    Reason.EXCLUDED: ("to rewrite the image, remove that pattern from webhook.exclude", True),
    Reason.QUALIFIED: (
        f"to pull the image from your registry, add a rule to webhook.rules ({DOCS}/reference/configuration.md)",
        True,
    ),
    Reason.INVALID: ("write a valid image name", False),
    Reason.NEVER_PULLED: ("to pull the image from the registry, use imagePullPolicy IfNotPresent", False),
    Reason.TOO_LONG: ("use a shorter image name", False),
}
#: Verdicts whose fix does not reach a Pod that exists.
_NEEDS_RECREATION = frozenset(
    {
        Code.NAMESPACE_NOT_SELECTED,
        Code.NAMESPACE_DENIED,
        Code.NAMESPACE_EXCLUDED,
        Code.WEBHOOK_RULES,
        Code.WEBHOOK_NEVER_CALLED,
        Code.ENDPOINTS_NONE,
        Code.CABUNDLE_EMPTY,
        Code.CABUNDLE_INVALID,
        Code.CABUNDLE_EXPIRED,
        Code.DRYRUN_UNCHANGED,
        Code.IMAGE_UNCHANGED,
        Code.POD_OPTED_OUT,
    }
)


def _first(mark: Mark, findings: Iterable[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.mark is mark), None)
