"""Whether every selected namespace has a current pull secret of ours."""

from collections import Counter
from collections.abc import Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import ENABLED_LABEL, EXPIRES_ANNOTATION, INSTALLATION_LABEL, PROGRAM, REFRESHED_ANNOTATION
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.diagnostics.image_pull import FOREIGN_HINT
from webhook.diagnostics.remedy import refresher_log, remedy
from webhook.kube.objects import ManagedObject, is_managed_by_us
from webhook.kube.partial import known, known_or
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.output.phrases import counted, join_names
from webhook.timestamps import parse_rfc3339

_WHAT = "pull secrets"
#: From this number on, namespaces were probably not deselected one by one.
_MANY = 3
#: Limit of commands of one finding.
_LISTED = 3


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
    problems = [*_problems(snapshot, name, wanted, found)]
    yield from problems
    if not problems:
        left = len(found.keys() - wanted - _elsewhere(snapshot, found).keys())
        others = counted(left, "other namespace keeps", "other namespaces keep")
        more = f" ({others} it until the grace period ends)" if left else ""
        why = f"{counted(len(wanted), 'selected namespace has', 'selected namespaces have')} Secret {name}{more}"
        yield wording.ok(Code.SECRET_OK, _WHAT, why)
    known(snapshot.wrong_type_secrets)


def _problems(
    snapshot: InstallationSnapshot, name: str, wanted: set[str], found: dict[str, ManagedObject]
) -> Iterator[Finding]:
    mistyped = known_or(snapshot.wrong_type_secrets, ())
    elsewhere = _elsewhere(snapshot, found)
    others = (
        {*elsewhere}
        | {one.metadata.namespace for one in mistyped}
        | {place for place, one in found.items() if not is_managed_by_us(one.metadata)}
    )
    ours = {place: one for place, one in found.items() if place in wanted and place not in others}
    now = snapshot.now.timestamp()
    see_log = refresher_log(snapshot.names.namespace)
    foreign = wanted & others - elsewhere.keys()
    if foreign:
        why = f"Secret {name} exists but is not managed by {PROGRAM} in {_in(foreign)}"
        deletions = (
            kubectl.line("delete", "secret", namespace=place, name=name) for place in sorted(foreign)[:_LISTED]
        )
        yield wording.error(Code.SECRET_FOREIGN, _WHAT, why, *remedy(FOREIGN_HINT, *deletions))
    owners = {elsewhere[place] for place in wanted & elsewhere.keys()}
    if owners:
        where = _in(wanted & elsewhere.keys())
        why = f"Secret {name} belongs to the installation in namespace {join_names(owners)} in {where}"
        hint = "let one installation select each namespace, or give the two different webhook.pull_secret.name"
        yield wording.warning(Code.SECRET_OTHER, _WHAT, why, hint)
    missing = wanted - found.keys()
    if missing:
        yield wording.error(Code.SECRET_MISSING, _WHAT, f"Secret {name} is missing in {_in(missing)}", *see_log)
    expired = {place for place, one in ours.items() if (parse_rfc3339(_note(one, EXPIRES_ANNOTATION)) or now) < now}
    if expired:
        why = f"the credential in Secret {name} has expired in {_in(expired)}"
        yield wording.error(Code.SECRET_EXPIRED, _WHAT, why, *see_log)
    leaving = _leaving(snapshot, found.keys() - others - wanted)
    if leaving:
        label = f"{counted(len(leaving), 'namespace')} without the label {ENABLED_LABEL}"
        why = f"{label} will lose Secret {name}: {join_names(leaving)}"
        hint = "if the installation was cluster-wide before, apply the cluster-wide overlay again"
        command = "kubectl apply -k manifests/overlays/cluster-wide"
        again = wording.change(snapshot, hint, "clusterWide.enabled=true", command=command)
        yield wording.warning(Code.SECRET_LEAVING, _WHAT, why, *again)
    outdated = _outdated(ours)
    if outdated:
        why = f"Secret {name} differs from those of other namespaces in {_in(outdated)}"
        hint = "run doctor again in a minute. If this stays, find the reason in the log of the refreshers"
        yield wording.warning(Code.SECRET_OUTDATED, _WHAT, why, *refresher_log(snapshot.names.namespace, hint))


def _elsewhere(snapshot: InstallationSnapshot, found: dict[str, ManagedObject]) -> dict[str, str]:
    """Return the places of Secrets that belong to another installation, with its namespace, while that exists."""
    existing = {one.metadata.name for one in known(snapshot.namespaces)} - {snapshot.names.namespace}
    labels = {place: one.metadata.labels.get(INSTALLATION_LABEL, "") for place, one in found.items()}
    return {place: label for place, label in labels.items() if label in existing}


def _leaving(snapshot: InstallationSnapshot, places: set[str]) -> set[str]:
    """Return namespaces that are not selected and have no label, if they are many: the mode may have been `all`."""
    namespaces = known(snapshot.namespaces)
    unlabelled = {one.metadata.name for one in namespaces if ENABLED_LABEL not in one.metadata.labels} & places
    return unlabelled if len(unlabelled) >= _MANY else set()


def _outdated(ours: dict[str, ManagedObject]) -> set[str]:
    """Return namespaces whose Secret was refreshed at another time than most, or than the latest in a tie.

    Anyone who may edit a Secret can write its annotations, so a single one must not make all others look outdated.
    """
    counts = Counter(_note(one, REFRESHED_ANNOTATION) for one in ours.values())
    current = max(counts, key=lambda time: (counts[time], time), default="")
    return {place for place, one in ours.items() if _note(one, REFRESHED_ANNOTATION) != current}


def _note(secret: ManagedObject, annotation: str) -> str:
    return secret.metadata.annotations.get(annotation, "")


def _in(namespaces: set[str]) -> str:
    """Return the number and names of namespaces: `2 selected namespaces: team-a, team-b`."""
    return f"{counted(len(namespaces), 'selected namespace')}: {join_names(namespaces)}"
