"""Why a Pod is as it is, or what would become of one: every step, and the one that decides."""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from webhook.constants import ENABLED_LABEL
from webhook.diagnostics import webhook_match
from webhook.diagnostics.explain import analysis as cases
from webhook.diagnostics.explain.analysis import ANEW, Case, Image, Read
from webhook.images.resolver import Reason
from webhook.kube.objects import ManagedObject
from webhook.kube.unknown import Unknown
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark


class Explanation(Struct, frozen=True):
    """What became of a Pod, or would, and why."""

    subject: str
    mark: Mark
    """Whether its images are pulled as they should be."""
    code: Code
    """Of the step that decides."""
    verdict: str
    """That step, in one line."""
    remedy: str
    steps: tuple[Finding, ...]

    def __str__(self) -> str:
        """Give the verdict."""
        return f"{self.subject} {self.verdict}"


class _Verdict(NamedTuple):
    mark: Mark
    code: Code
    text: str
    remedy: str = ""


def explain(read: Read) -> Explanation:
    """Explain one Pod. Raises `InvalidManifest` for what is none."""
    case = cases.find(read)
    verdict = _of_stored(case) if read.stored else _of_planned(case)
    return Explanation(read.subject, verdict.mark, verdict.code, verdict.text, verdict.remedy, case.steps)


def _of_stored(case: Case) -> _Verdict:
    """Say what became of a Pod that is there."""
    changed = any(image.changed for image in case.images)
    due = [image for image in case.images if image.due]
    if isinstance(case.read.settings, Unknown) and not changed:
        blocked = _first(Mark.NO, case.before)
        if blocked is None:
            text = f"is as it is for reasons that are {case.read.settings}"
            return _Verdict(Mark.UNKNOWN, Code.CONFIG_UNKNOWN, text, "with --config FILE it is decided by that file")
        return _Verdict(Mark.NO, blocked.code, f"was not rewritten: {blocked.why}", blocked.remedy)
    if not due and (case.secret is None or case.named):
        return _as_it_should_be(case, changed=changed)
    what = "was not rewritten"
    if changed:
        what = f"was rewritten, but for {', '.join(str(image.place) for image in due)}" if due else "was rewritten"
    if not due:
        what = f"{'was rewritten, but ' if changed else ''}was not given the pull secret {case.secret}"
    why = _why_not(case)
    return _Verdict(Mark.NO, why.code, f"{what}: {why.why}", why.remedy)


def _as_it_should_be(case: Case, *, changed: bool) -> _Verdict:
    """Say of a Pod that is as the configuration has it whether its images can be pulled, and if not, why."""
    if not changed and case.secret is None:
        why = _first(Mark.NO, case.before) or _why_images_stay(case)
        trouble = _first(Mark.NO, case.pulls)
        if trouble is not None:
            return _Verdict(
                Mark.NO, trouble.code, f"was not rewritten: {why.why}; and {trouble.why}", trouble.remedy or why.remedy
            )
        return _Verdict(Mark.NO, why.code, f"was not rewritten: {why.why}", why.remedy)
    done = "was rewritten" if changed else "needed no rewriting"
    return _pulled(case, done)


def _pulled(case: Case, done: str) -> _Verdict:
    trouble = _first(Mark.NO, case.pulls)
    if trouble is not None:
        return _Verdict(Mark.NO, trouble.code, f"{done}, but {trouble.why}", trouble.remedy)
    count = sum(image.changed or image.due for image in case.images)
    every = len(case.images)
    of = f": {count} of {every} {'image' if every == 1 else 'images'}" if count else ""
    unknown = _first(Mark.UNKNOWN, case.pulls)
    if unknown is not None:
        return _Verdict(Mark.OK, unknown.code, f"{done}{of}; of the pull, {unknown.why}", unknown.remedy)
    return _Verdict(Mark.OK, Code.POD_OK, f"{done}{of}, and nothing stands in the way of its pull")


def _why_not(case: Case) -> Finding:
    """Say why a Pod is not as the configuration has it."""
    blocked = _first(Mark.NO, case.before)
    if blocked is not None:
        return blocked
    earlier = _made_earlier(case)
    if earlier is not None:
        return earlier
    unreachable = _first(Mark.NO, case.now)
    if unreachable is not None:
        return unreachable
    trial = case.trial
    if trial is not None and trial.mark is Mark.NO:
        why = f"a dry run is not either, though all else holds: {trial.why}"
        return Finding(Mark.NO, Code.DRYRUN_UNCHANGED, "", why, "registry-webhook doctor looks at the webhook itself")
    if trial is not None and trial.mark is Mark.OK:
        why = "it is as it was written, and a dry run is rewritten now"
        return Finding(Mark.NO, Code.POD_MISSED, "", why, ANEW)
    unknown = _first(Mark.UNKNOWN, case.before)
    if unknown is not None:
        return Finding(
            Mark.UNKNOWN,
            Code.POD_UNKNOWN,
            "",
            f"{unknown.what} may be why, which is {_not_known(unknown)}",
            webhook_match.ARBITER,
        )
    why = (
        "nothing keeps it from being rewritten now; when it was created, the webhook may have been unavailable, or the "
        "configuration or the labels of the Pod or its namespace different"
    )
    return Finding(Mark.NO, Code.POD_MISSED, "", why, f"{ANEW}; --dry-run shows the result")


def _not_known(unknown: Finding) -> str:
    return unknown.why if unknown.why.startswith("not known") else f"not known ({unknown.why})"


def _made_earlier(case: Case) -> Finding | None:
    """Say of a Pod that it was made before something that counts was as it is."""
    created = case.pod.metadata.creation_timestamp
    if created is None:
        return None
    read = case.read
    # Where there are both, either would have done.
    engine, installed = min(read.engines, key=_installed, default=("", None))
    for what, when in (
        (f"{engine} was installed", installed),
        ("its namespace's labels were last changed", _changed(read.labelled, "metadata", "labels", ENABLED_LABEL)),
        ("the configuration was last changed", _changed(read.config_map, "data")),
    ):
        if when is not None and created < when:
            return Finding(Mark.NO, Code.POD_OLDER, "", f"it was made at {created}, before {what}, at {when}", ANEW)
    return None


def _installed(engine: tuple[str, str | None]) -> str:
    return engine[1] or ""


def _changed(found: ManagedObject | Unknown | None, *path: str) -> str | None:
    return found.metadata.changed(*path) if isinstance(found, ManagedObject) else None


def _of_planned(case: Case) -> _Verdict:
    """Say what would become of a Pod that is not there."""
    trial = case.trial
    tried = trial is not None and trial.mark is not Mark.UNKNOWN
    if trial is not None and trial.mark is Mark.OK:
        return _pulled(case, "would be rewritten")
    blocked = _first(Mark.NO, case.before)
    if blocked is None and not _is_any_changed(case):
        blocked = _why_images_stay(case)
    blocked = blocked or _first(Mark.NO, case.now)
    if blocked is None and tried and trial is not None:
        blocked = trial
    if blocked is not None:
        return _Verdict(Mark.NO, blocked.code, f"would not be rewritten: {blocked.why}", blocked.remedy)
    unknown = _first(Mark.UNKNOWN, case.before)
    if unknown is not None:
        text = f"would be rewritten, or not: {unknown.what} is {_not_known(unknown)}"
        return _Verdict(Mark.UNKNOWN, unknown.code, text, webhook_match.ARBITER)
    return _pulled(case, "would be rewritten")


def _is_any_changed(case: Case) -> bool:
    return isinstance(case.read.settings, Unknown) or case.secret is not None or any(map(_is_due, case.images))


def _is_due(image: Image) -> bool:
    return image.due


def _why_images_stay(case: Case) -> Finding:
    """Say why every image stays, the ones that somebody meant to stay first."""
    if not case.images:
        return Finding(Mark.NO, Code.POD_NO_IMAGE, "", "it names no image")
    first = min(case.images, key=lambda image: _ORDER.get(image.resolution.reason, 9) if image.resolution else 9)
    more = len(case.images) - 1
    others = f"; {more} more {'stays' if more == 1 else 'stay'} too" if more else ""
    remedy = _REMEDIES.get(first.resolution.reason, "") if first.resolution else ""
    return Finding(Mark.NO, Code.IMAGE_UNCHANGED, "", f"{first}{others}", remedy)


_ORDER = {
    reason: number
    for number, reason in enumerate(
        (Reason.PUBLIC, Reason.EXCLUDED, Reason.NEVER_PULLED, Reason.UNFIT, Reason.INVALID, Reason.QUALIFIED)
    )
}
_REMEDIES = {
    Reason.PUBLIC: "say which registry is yours: opencti.daemon.registry.server",
    Reason.EXCLUDED: "take that pattern out of webhook.exclude, if it is to be rewritten",
    Reason.QUALIFIED: "give it a rule (webhook.rules), if it is to be rewritten",
    Reason.INVALID: "write a valid image name, if it is to be pulled from the registry",
    Reason.NEVER_PULLED: "use imagePullPolicy IfNotPresent, if it is to be pulled from the registry",
}


def _first(mark: Mark, findings: Iterable[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.mark is mark), None)
