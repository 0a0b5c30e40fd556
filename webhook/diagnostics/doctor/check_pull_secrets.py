"""Whether every selected namespace has a current pull secret of ours."""

from collections import Counter
from collections.abc import Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL, EXPIRES_ANNOTATION, REFRESHED_ANNOTATION
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.kube.objects import ManagedObject, is_managed_by_us
from webhook.kube.partial import known, known_or
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.timestamps import parse_rfc3339

_WHAT = "pull secrets"
#: From this number on, namespaces were probably not deselected one by one.
_MANY = 3


@check(_WHAT, Code.SECRET_UNKNOWN)
def check_pull_secrets(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the Secrets of selected namespaces."""
    if not isinstance(snapshot.configuration, EffectiveConfig):
        return
    name = snapshot.configuration.mutator.pull_secret
    if name is None or snapshot.configuration.server is None:
        return
    known(snapshot.namespaces)
    wanted = {namespace.metadata.name for namespace in snapshot.selected_namespaces}
    found = {one.metadata.namespace: one for one in known(snapshot.pull_secrets)}
    faults = [*_errors(snapshot, name, wanted, found)]
    yield from faults
    if not faults:
        left = len(found.keys() - wanted)
        more = f", and {left} in others, where it stays for a while" if left else ""
        yield wording.ok(
            Code.SECRET_OK,
            _WHAT,
            f"{wording.count_of(list(wanted), 'served namespace has', 'served namespaces have')} it{more}",
        )
    known(snapshot.wrong_type_secrets)


def _errors(
    snapshot: InstallationSnapshot, name: str, wanted: set[str], found: dict[str, ManagedObject]
) -> Iterator[Finding]:
    mistyped = known_or(snapshot.wrong_type_secrets, ())
    others = {one.metadata.namespace for one in mistyped} | {
        place for place, one in found.items() if not is_managed_by_us(one.metadata)
    }
    ours = {place: one for place, one in found.items() if place in wanted and place not in others}
    now = snapshot.now.timestamp()
    foreign = wanted & others
    if foreign:
        place = min(foreign)
        why = f"in {_in(foreign)} a Secret {name} is in the way that is not ours: {wording.join_names(foreign)}"
        remedy = f"delete or rename it; the sidecar then creates its own{kubectl.deletion(place, name)}"
        yield wording.error(Code.SECRET_FOREIGN, _WHAT, why, remedy)
    missing = wanted - found.keys()
    if missing:
        yield wording.error(
            Code.SECRET_MISSING,
            _WHAT,
            f"{_in(missing)} {'has' if len(missing) == 1 else 'have'} none: {wording.join_names(missing)}",
            wording.sidecar_log(snapshot),
        )
    ended = {place for place, one in ours.items() if (parse_rfc3339(_note(one, EXPIRES_ANNOTATION)) or now) < now}
    if ended:
        why = f"in {_in(ended)} the credential has expired: {wording.join_names(ended)}"
        yield wording.error(Code.SECRET_EXPIRED, _WHAT, why, wording.sidecar_log(snapshot))
    leaving = _leaving(snapshot, found.keys() - others - wanted)
    if leaving:
        count = wording.count(len(leaving), "namespace", "namespaces")
        why = f"{count} without the label {ENABLED_LABEL} will lose the pull secret: {wording.join_names(leaving)}"
        remedy = (
            "if the installation was cluster-wide before, apply it again: kubectl apply -k overlays/cluster-wide, "
            "or overlays/cluster-wide-fail-closed"
        )
        yield wording.warning(Code.SECRET_LEAVING, _WHAT, why, remedy)
    stale = _stale(ours)
    if stale:
        why = f"in {_in(stale)} the content differs from that of the others: {wording.join_names(stale)}"
        yield wording.warning(
            Code.SECRET_OUTDATED, _WHAT, why, "look again in a minute; if it stays so: " + wording.sidecar_log(snapshot)
        )


def _leaving(snapshot: InstallationSnapshot, places: set[str]) -> set[str]:
    """Return namespaces that are not selected and have no label, if they are many: the mode may have been `all`."""
    namespaces = known(snapshot.namespaces)
    unlabelled = {one.metadata.name for one in namespaces if ENABLED_LABEL not in one.metadata.labels} & places
    return unlabelled if len(unlabelled) >= _MANY else set()


def _stale(ours: dict[str, ManagedObject]) -> set[str]:
    """Return namespaces whose Secret was refreshed at another time than most, or than the latest in a tie.

    Anyone who may edit a Secret can write its annotations, so a single one must not make all others look outdated.
    """
    counts = Counter(_note(one, REFRESHED_ANNOTATION) for one in ours.values())
    current = max(counts, key=lambda time: (counts[time], time), default="")
    return {place for place, one in ours.items() if _note(one, REFRESHED_ANNOTATION) != current}


def _note(secret: ManagedObject, annotation: str) -> str:
    return secret.metadata.annotations.get(annotation, "")


def _in(namespaces: set[str]) -> str:
    return wording.count(len(namespaces), "served namespace", "served namespaces")
