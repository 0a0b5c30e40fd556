"""Whether the refresher's ServiceAccount has the permissions that it needs, and is limited by the guard policies."""

import shlex
from collections.abc import Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import CERTIFICATE, PROGRAM, PULL_SECRET, REFRESHER, InstallationNames
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, Permission
from webhook.diagnostics.remedy import Remedy
from webhook.kube.partial import known
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

#: The guard policy that applies only to ServiceAccounts in the Namespace that its binding names.
NAMESPACES_GUARD = f"{PROGRAM}-namespaces"
#: The policies of manifests/base/20-guard.yaml. Their bindings have the same names.
GUARDS = (
    f"{PROGRAM}-secrets",
    NAMESPACES_GUARD,
    *(f"{PROGRAM}-{what}" for what in ("configurations", "owners", "leases", "events")),
)
_PERMISSIONS, _GUARDS = "permissions", "guard policies"
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
    """Return the permissions that the manifests and certs/self-managed grant."""
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
    return tuple(one._replace(verb=verb) for several, one in verbs for verb in several)


@check(_PERMISSIONS, Code.RBAC_UNKNOWN)
def check_permissions(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the ServiceAccount has the permissions that it needs, and no more."""
    account = f"ServiceAccount {snapshot.names.namespace}/{snapshot.names.service_account}"
    asked = [one for one in snapshot.permissions if one not in EXCESSIVE]
    missing = [one for one in asked if snapshot.permissions[one] is False]
    if missing:
        why = f"{account} lacks permissions: {_in_words(missing)}"
        yield wording.error(Code.RBAC_MISSING, _PERMISSIONS, why, *_remedy(snapshot, missing))
    excessive = [one for one in EXCESSIVE if snapshot.permissions.get(one) is True]
    if excessive:
        why = f"{account} has permissions that it does not need: {_in_words(excessive)}"
        hint = "remove the RoleBinding or ClusterRoleBinding that grants them"
        yield wording.warning(Code.RBAC_EXCESSIVE, _PERMISSIONS, why, hint, _bindings_command(snapshot))
    for answer in snapshot.permissions.values():
        known(answer)
    if asked and not missing and not excessive:
        why = f"{account} has the {len(asked)} permissions that it needs, and cannot read all Secrets"
        yield wording.ok(Code.RBAC_OK, _PERMISSIONS, why)


def _bindings_command(snapshot: InstallationSnapshot) -> tuple[str, ...]:
    """Return the command that lists the bindings of the ServiceAccount."""
    name = shlex.quote(f"{snapshot.names.namespace}/{snapshot.names.service_account}")
    return (f"kubectl get rolebindings,clusterrolebindings -A -o wide | grep {name}",)


def _remedy(snapshot: InstallationSnapshot, missing: list[Permission]) -> Remedy:
    """Return how to grant them. The manifests have only the default name of the pull secret."""
    secret = snapshot.configuration.mutator.pull_secret if isinstance(snapshot.configuration, EffectiveConfig) else None
    if secret != PULL_SECRET and all((one.resource, one.name) == ("secrets", secret) for one in missing):
        role = f"ClusterRole {snapshot.names.renamed(PROGRAM)}"
        return Remedy(f"webhook.pull_secret.name is {secret}: add that name to resourceNames in {role}")
    return wording.reinstall(snapshot)


def _in_words(permissions: list[Permission]) -> str:
    """Group permissions by resource: `get, list, watch namespaces; create events.events.k8s.io`."""
    verbs: dict[str, list[str]] = {}
    for one in permissions:
        verbs.setdefault(str(one._replace(verb="")).strip(), []).append(one.verb)
    return "; ".join(f"{', '.join(several)} {resource}" for resource, several in verbs.items())


@check(_GUARDS, Code.GUARD_UNKNOWN)
def check_guard_policies(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the guard policies exist and are bound."""
    policies = known(snapshot.guards)
    bound = {binding.policy for binding in known(snapshot.bindings) if binding.denies}
    guards = [snapshot.names.renamed(name) for name in GUARDS]
    missing = [name for name in guards if name not in policies]
    unbound = [name for name in guards if name in policies and name not in bound]
    effect = "the ServiceAccount can write more than it needs"
    if missing:
        why = f"{_policies(missing)} missing, so {effect}"
        yield wording.error(Code.GUARD_MISSING, _GUARDS, why, *wording.reinstall(snapshot))
    if unbound:
        why = f"{_policies(unbound)} not bound with action Deny, so {effect}"
        yield wording.error(Code.GUARD_NOT_BOUND, _GUARDS, why, *wording.reinstall(snapshot))
    elif not missing and (other := _other_namespace(snapshot)):
        why = f"{_policies([snapshot.names.renamed(NAMESPACES_GUARD)])} bound to the Namespace {other}, so {effect}"
        yield wording.error(Code.GUARD_NOT_BOUND, _GUARDS, why, *wording.reinstall(snapshot))
    elif not missing:
        yield wording.ok(Code.GUARD_OK, _GUARDS, f"{len(GUARDS)} policies limit the ServiceAccount")


def _other_namespace(snapshot: InstallationSnapshot) -> str | None:
    """Return the Namespace that a binding names instead of the installation's, so that the policy does not apply."""
    policy = snapshot.names.renamed(NAMESPACES_GUARD)
    found = {one.parameter for one in known(snapshot.bindings) if one.policy == policy and one.denies}
    return None if snapshot.names.namespace in found else min(filter(None, found), default=None)


def _policies(names: list[str]) -> str:
    kind, verb = ("Policy", "is") if len(names) == 1 else ("Policies", "are")
    return f"ValidatingAdmission{kind} {', '.join(names)} {verb}"
