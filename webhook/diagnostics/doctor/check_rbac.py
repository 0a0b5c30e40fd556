"""Whether the sidecar's account may do what it has to, no more, and is bounded by the guard."""

from collections.abc import Iterator

from webhook.config.effective import Settings
from webhook.constants import CERTIFICATE, PROGRAM, PULL_SECRET, REFRESHER, InstallationNames
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.snapshot import Right, Seen
from webhook.kube.unknown import Unknown
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

#: The policies of manifests/20-guard.yaml, each bound by its own name.
GUARDS = tuple(f"{PROGRAM}-{what}" for what in ("secrets", "configurations", "owners", "leases", "events"))
_APPLY = "kubectl apply -f manifests/30-rights.yaml"
_READ = ("get", "list", "watch")
#: Some of what the account must not be allowed.
UNNEEDED = (
    Right("list", "", "secrets"),
    Right("create", "", "pods"),
    Right("*", "*", "*"),
    # With it, the guard no longer holds for the account.
    Right("exempt", PROGRAM, "restrictions"),
)


def needed(
    pull_secret: str | None,
    *,
    keeps_certificate: bool,
    names: InstallationNames = InstallationNames(),  # noqa: B008 - frozen
) -> tuple[Right, ...]:
    """Give all that the account has to be allowed: what manifests/30-rights.yaml and certs/self-managed grant."""
    verbs: list[tuple[tuple[str, ...], Right]] = [
        (_READ, Right("", "", "namespaces")),
        (
            (*_READ, "patch"),
            Right("", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", names.configuration),
        ),
        (("create",), Right("", "events.k8s.io", "events")),
        (("get", "create", "update"), Right("", "coordination.k8s.io", "leases", REFRESHER, names.namespace)),
    ]
    if pull_secret is not None:
        verbs.append(((*_READ, "create", "patch", "delete"), Right("", "", "secrets", pull_secret)))
    if keeps_certificate:
        verbs.append(((*_READ, "create", "patch"), Right("", "", "secrets", CERTIFICATE, names.namespace)))
    # What has the guard hold for the account.
    verbs.append((("bound",), Right("", PROGRAM, "restrictions")))
    return tuple(right._replace(verb=verb) for several, right in verbs for verb in several)


def granted(seen: Seen) -> Iterator[Finding]:
    """Look at the answers."""
    what = "rights"
    asked = [right for right in seen.rights if right not in UNNEEDED]
    lacking = [right for right in asked if seen.rights[right] is False]
    if lacking:
        why = f"the account may not {_in_words(lacking)}"
        yield wording.failure(Code.RBAC_MISSING, what, why, _remedy(seen, lacking))
    wide = [right for right in UNNEEDED if seen.rights.get(right) is True]
    if wide:
        why = f"the account may {', '.join(map(str, wide))}: who has its token has more than the webhook needs"
        yield wording.warning(Code.RBAC_EXCESSIVE, what, why, "find the binding that gives it that, and take it away")
    answer = next((one for one in seen.rights.values() if isinstance(one, Unknown)), None)
    if answer is not None:
        yield wording.unknown(Code.RBAC_UNKNOWN, what, answer)
    elif asked and not lacking and not wide:
        yield wording.ok(
            Code.RBAC_OK, what, f"the account has the {len(asked)} that it needs, and not those to read all Secrets"
        )


def _remedy(seen: Seen, lacking: list[Right]) -> str:
    """Say what grants it; manifests/30-rights.yaml knows the pull secret by its default name alone."""
    secret = seen.configuration.policy.pull_secret if isinstance(seen.configuration, Settings) else None
    if secret != PULL_SECRET and all((one.resource, one.name) == ("secrets", secret) for one in lacking):
        role = f"ClusterRole {seen.names.renamed(PROGRAM)}"
        return (
            f"webhook.pull_secret.name is {secret}: name it in the resourceNames of {role}, "
            'as manifests/README.md says under "Another name for the pull secret"'
        )
    return f"{_APPLY}, and what the folder in certs/ has of rights"


def _in_words(rights: list[Right]) -> str:
    """Put together what is about the same thing: `get, list, watch namespaces; create events.events.k8s.io`."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(str(right._replace(verb="")).strip(), []).append(right.verb)
    return "; ".join(f"{', '.join(several)} {thing}" for thing, several in verbs.items())


def guarded(seen: Seen) -> Iterator[Finding]:
    """Look whether the guard's policies are there and in force."""
    what = "guard"
    if isinstance(seen.guards, Unknown) or isinstance(seen.bindings, Unknown):
        unread = seen.guards if isinstance(seen.guards, Unknown) else seen.bindings
        yield wording.unknown(
            Code.GUARD_UNKNOWN, what, unread if isinstance(unread, Unknown) else Unknown("the policies cannot be read")
        )
        return
    bound = {binding.policy for binding in seen.bindings if binding.denies}
    guards = [seen.names.renamed(name) for name in GUARDS]
    missing = [name for name in guards if name not in seen.guards]
    unbound = [name for name in guards if name in seen.guards and name not in bound]
    remedy = "kubectl apply -f manifests/20-guard.yaml, or with the whole installation"
    if missing:
        why = f"{_policies(missing)} missing: the ServiceAccount is not limited by what its role cannot express"
        yield wording.failure(Code.GUARD_MISSING, what, why, remedy)
    if unbound:
        why = f"{_policies(unbound)} without a binding that denies"
        yield wording.failure(Code.GUARD_NOT_BOUND, what, why, remedy)
    if not missing and not unbound:
        yield wording.ok(Code.GUARD_OK, what, f"its {len(GUARDS)} policies are in force")


def _policies(names: list[str]) -> str:
    kind, verb = ("Policy", "is") if len(names) == 1 else ("Policies", "are")
    return f"ValidatingAdmission{kind} {', '.join(names)} {verb}"
