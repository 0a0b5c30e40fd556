"""Whether the refresher's ServiceAccount has the permissions that it needs, and is limited by the guard policies."""

from collections.abc import Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import CERTIFICATE, PROGRAM, PULL_SECRET, REFRESHER, InstallationNames
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, Permission
from webhook.kube.partial import known
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

#: The policies of manifests/20-guard.yaml. Their bindings have the same names.
GUARDS = tuple(f"{PROGRAM}-{what}" for what in ("secrets", "configurations", "owners", "leases", "events"))
_APPLY = "kubectl apply -f manifests/30-rights.yaml"
_READ = ("get", "list", "watch")
#: Some permissions that the ServiceAccount must not have.
EXCESSIVE = (
    Permission("list", "", "secrets"),
    Permission("create", "", "pods"),
    Permission("*", "*", "*"),
    # Exempts it from the guard policies.
    Permission("exempt", PROGRAM, "restrictions"),
)


def required_permissions(
    pull_secret: str | None,
    *,
    manages_certificate: bool,
    names: InstallationNames = InstallationNames(),  # noqa: B008 - frozen
) -> tuple[Permission, ...]:
    """Return the permissions that manifests/30-rights.yaml and certs/self-managed grant."""
    verbs: list[tuple[tuple[str, ...], Permission]] = [
        (_READ, Permission("", "", "namespaces")),
        (
            (*_READ, "patch"),
            Permission("", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", names.configuration),
        ),
        (("create",), Permission("", "events.k8s.io", "events")),
        (("get", "create", "update"), Permission("", "coordination.k8s.io", "leases", REFRESHER, names.namespace)),
    ]
    if pull_secret is not None:
        verbs.append(((*_READ, "create", "patch", "delete"), Permission("", "", "secrets", pull_secret)))
    if manages_certificate:
        verbs.append(((*_READ, "create", "patch"), Permission("", "", "secrets", CERTIFICATE, names.namespace)))
    # Applies the guard policies to it.
    verbs.append((("bound",), Permission("", PROGRAM, "restrictions")))
    return tuple(right._replace(verb=verb) for several, right in verbs for verb in several)


@check("rights", Code.RBAC_UNKNOWN)
def check_permissions(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the ServiceAccount has the permissions that it needs, and no more."""
    what = "rights"
    asked = [right for right in snapshot.permissions if right not in EXCESSIVE]
    lacking = [right for right in asked if snapshot.permissions[right] is False]
    if lacking:
        why = f"the account may not {_in_words(lacking)}"
        yield wording.error(Code.RBAC_MISSING, what, why, _remedy(snapshot, lacking))
    wide = [right for right in EXCESSIVE if snapshot.permissions.get(right) is True]
    if wide:
        why = f"the account may {', '.join(map(str, wide))}: who has its token has more than the webhook needs"
        yield wording.warning(Code.RBAC_EXCESSIVE, what, why, "find the binding that gives it that, and take it away")
    for answer in snapshot.permissions.values():
        known(answer)
    if asked and not lacking and not wide:
        yield wording.ok(
            Code.RBAC_OK, what, f"the account has the {len(asked)} that it needs, and not those to read all Secrets"
        )


def _remedy(snapshot: InstallationSnapshot, lacking: list[Permission]) -> str:
    """Return how to grant them. manifests/30-rights.yaml only has the default name of the pull secret."""
    secret = snapshot.configuration.mutator.pull_secret if isinstance(snapshot.configuration, EffectiveConfig) else None
    if secret != PULL_SECRET and all((one.resource, one.name) == ("secrets", secret) for one in lacking):
        role = f"ClusterRole {snapshot.names.renamed(PROGRAM)}"
        return (
            f"webhook.pull_secret.name is {secret}: name it in the resourceNames of {role}, "
            'as manifests/README.md says under "Another name for the pull secret"'
        )
    return f"{_APPLY}, and what the folder in certs/ has of rights"


def _in_words(rights: list[Permission]) -> str:
    """Group permissions by resource: `get, list, watch namespaces; create events.events.k8s.io`."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(str(right._replace(verb="")).strip(), []).append(right.verb)
    return "; ".join(f"{', '.join(several)} {thing}" for thing, several in verbs.items())


@check("guard", Code.GUARD_UNKNOWN)
def check_guard_policies(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the guard policies exist and are bound."""
    what = "guard"
    policies = known(snapshot.guards)
    bound = {binding.policy for binding in known(snapshot.bindings) if binding.denies}
    guards = [snapshot.names.renamed(name) for name in GUARDS]
    missing = [name for name in guards if name not in policies]
    unbound = [name for name in guards if name in policies and name not in bound]
    remedy = "kubectl apply -f manifests/20-guard.yaml, or with the whole installation"
    if missing:
        why = f"{_policies(missing)} missing: the ServiceAccount is not limited by what its role cannot express"
        yield wording.error(Code.GUARD_MISSING, what, why, remedy)
    if unbound:
        why = f"{_policies(unbound)} without a binding that denies"
        yield wording.error(Code.GUARD_NOT_BOUND, what, why, remedy)
    if not missing and not unbound:
        yield wording.ok(Code.GUARD_OK, what, f"its {len(GUARDS)} policies are in force")


def _policies(names: list[str]) -> str:
    kind, verb = ("Policy", "is") if len(names) == 1 else ("Policies", "are")
    return f"ValidatingAdmission{kind} {', '.join(names)} {verb}"
