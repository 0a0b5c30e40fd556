"""Find the step that decides why a Pod is, or would be, rewritten or not."""

from collections.abc import Iterable

from msgspec import Struct

from webhook.constants import ENABLED_LABEL
from webhook.diagnostics import webhook_match
from webhook.diagnostics.explain import analysis as cases
from webhook.diagnostics.explain.analysis import RECREATE, PodAnalysis, PodContext
from webhook.errors import NotReadable
from webhook.images.resolver import Reason
from webhook.kube.objects import ManagedObject
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark


class Explanation(Struct, frozen=True):
    """The result for a Pod and its reason."""

    subject: str
    mark: Mark
    """Whether its images are rewritten and pulled."""
    code: Code
    """The code of the deciding step."""
    verdict: str
    """The deciding step in one line."""
    hint: str
    steps: tuple[Finding, ...]

    def __str__(self) -> str:
        return f"{self.subject} {self.verdict}"


def _verdict(mark: Mark, code: Code, message: str, hint: str = "") -> Finding:
    return Finding(mark, code, "", message, hint)


def explain(context: PodContext) -> Explanation:
    """Explain one Pod. Raises `InvalidManifest` if it is not a Pod."""
    case = cases.analyze(context)
    verdict = _of_stored(case) if context.exists else _of_planned(case)
    return Explanation(context.subject, verdict.mark, verdict.code, verdict.message, verdict.hint, case.steps)


def _of_stored(analysis: PodAnalysis) -> Finding:
    """Explain an existing Pod."""
    changed = any(image.changed for image in analysis.images)
    due = [image for image in analysis.images if image.needs_rewrite]
    if analysis.context.effective is None and not changed:
        blocked = _first(Mark.FAIL, analysis.selection_steps)
        if blocked is None:
            text = f"is as it is for reasons that are {analysis.context.settings}"
            return _verdict(Mark.UNKNOWN, Code.CONFIG_UNKNOWN, text, "with --config FILE it is decided by that file")
        return _verdict(Mark.FAIL, blocked.code, f"was not rewritten: {blocked.message}", blocked.hint)
    if not due and (analysis.secret is None or analysis.names_pull_secret):
        return _up_to_date(analysis, changed=changed)
    what = "was not rewritten"
    if changed:
        what = f"was rewritten, but for {', '.join(str(image.place) for image in due)}" if due else "was rewritten"
    if not due:
        what = f"{'was rewritten, but ' if changed else ''}was not given the pull secret {analysis.secret}"
    why = _why_not(analysis)
    return _verdict(Mark.FAIL, why.code, f"{what}: {why.message}", why.hint)


def _up_to_date(analysis: PodAnalysis, *, changed: bool) -> Finding:
    """Explain whether the images of a Pod that is as configured can be pulled."""
    if not changed and analysis.secret is None:
        why = _first(Mark.FAIL, analysis.selection_steps) or _why_images_stay(analysis)
        trouble = _first(Mark.FAIL, analysis.pulls)
        if trouble is not None:
            text = f"was not rewritten: {why.message}; and {trouble.message}"
            return _verdict(Mark.FAIL, trouble.code, text, trouble.hint or why.hint)
        return _verdict(Mark.FAIL, why.code, f"was not rewritten: {why.message}", why.hint)
    done = "was rewritten" if changed else "needed no rewriting"
    return _pulled(analysis, done)


def _pulled(analysis: PodAnalysis, done: str) -> Finding:
    trouble = _first(Mark.FAIL, analysis.pulls)
    if trouble is not None:
        return _verdict(Mark.FAIL, trouble.code, f"{done}, but {trouble.message}", trouble.hint)
    count = sum(image.changed or image.needs_rewrite for image in analysis.images)
    every = len(analysis.images)
    of = f": {count} of {every} {'image' if every == 1 else 'images'}" if count else ""
    unknown = _first(Mark.UNKNOWN, analysis.pulls)
    if unknown is not None:
        return _verdict(Mark.OK, unknown.code, f"{done}{of}; of the pull, {unknown.message}", unknown.hint)
    return _verdict(Mark.OK, Code.POD_OK, f"{done}{of}, and nothing stands in the way of its pull")


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
    trial = analysis.dry_run
    if trial is not None and trial.mark is Mark.FAIL:
        why = f"a dry run is not either, though all else holds: {trial.message}"
        return _verdict(Mark.FAIL, Code.DRYRUN_UNCHANGED, why, "registry-webhook doctor looks at the webhook itself")
    if trial is not None and trial.mark is Mark.OK:
        why = "it is as it was written, and a dry run is rewritten now"
        return _verdict(Mark.FAIL, Code.POD_MISSED, why, RECREATE)
    unknown = _first(Mark.UNKNOWN, analysis.selection_steps)
    if unknown is not None:
        why = f"{unknown.subject} may be why, which is {_unknown(unknown)}"
        return _verdict(Mark.UNKNOWN, Code.POD_UNKNOWN, why, webhook_match.DRY_RUN_HINT)
    why = (
        "nothing keeps it from being rewritten now; when it was created, the webhook may have been unavailable, or the "
        "configuration or the labels of the Pod or its namespace different"
    )
    return _verdict(Mark.FAIL, Code.POD_MISSED, why, f"{RECREATE}; --dry-run shows the result")


def _unknown(unknown: Finding) -> str:
    return unknown.message if unknown.message.startswith("not known") else f"not known ({unknown.message})"


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
        ("its namespace's labels were last changed", _changed(read.namespace_object, *_LABEL)),
        ("the configuration was last changed", _changed(read.config_map, "data")),
    ):
        if when is not None and created < when:
            why = f"it was made at {created}, before {what}, at {when}"
            return _verdict(Mark.FAIL, Code.POD_OLDER, why, RECREATE)
    return None


def _changed(found: ManagedObject | NotReadable | None, *path: str) -> str | None:
    return found.metadata.changed(*path) if isinstance(found, ManagedObject) else None


def _of_planned(analysis: PodAnalysis) -> Finding:
    """Explain a Pod that does not exist yet."""
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
        return _verdict(Mark.FAIL, blocked.code, f"would not be rewritten: {blocked.message}", blocked.hint)
    unknown = _first(Mark.UNKNOWN, analysis.selection_steps)
    if unknown is not None:
        text = f"would be rewritten, or not: {unknown.subject} is {_unknown(unknown)}"
        return _verdict(Mark.UNKNOWN, unknown.code, text, webhook_match.DRY_RUN_HINT)
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
        return _verdict(Mark.FAIL, Code.POD_NO_IMAGE, "it names no image")
    first = min(analysis.images, key=lambda image: _ORDER.get(image.resolution.reason, 9) if image.resolution else 9)
    more = len(analysis.images) - 1
    others = f"; {more} more {'stays' if more == 1 else 'stay'} too" if more else ""
    remedy = _REMEDIES.get(first.resolution.reason, "") if first.resolution else ""
    return _verdict(Mark.FAIL, Code.IMAGE_UNCHANGED, f"{first}{others}", remedy)


_LABEL = ("metadata", "labels", ENABLED_LABEL)
_ORDER = {
    reason: number
    for number, reason in enumerate(
        (Reason.NO_REGISTRY, Reason.EXCLUDED, Reason.NEVER_PULLED, Reason.TOO_LONG, Reason.INVALID, Reason.QUALIFIED)
    )
}
_REMEDIES = {
    Reason.NO_REGISTRY: "say which registry is yours: opencti.daemon.registry.server",
    Reason.EXCLUDED: "take that pattern out of webhook.exclude, if it is to be rewritten",
    Reason.QUALIFIED: "give it a rule (webhook.rules), if it is to be rewritten",
    Reason.INVALID: "write a valid image name, if it is to be pulled from the registry",
    Reason.NEVER_PULLED: "use imagePullPolicy IfNotPresent, if it is to be pulled from the registry",
}


def _first(mark: Mark, findings: Iterable[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.mark is mark), None)
