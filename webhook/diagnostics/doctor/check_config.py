"""Whether the configuration is valid and used by all processes and policies."""

import re
import shlex
from collections.abc import Iterable, Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import (
    CONFIGURATION_HASH_ANNOTATION,
    DEFAULT_NAMESPACE,
    GUARD_POLICY,
    MUTATE_POLICY,
    POLICY_OPTIONS_ANNOTATION,
    PROGRAM,
)
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, InvalidConfig
from webhook.diagnostics.generated_policies import generated, orphan_remedy
from webhook.errors import NotReadable
from webhook.kube.installed_config import REFRESHER, WEBHOOK
from webhook.kube.objects import Object
from webhook.kube.partial import known
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

_WHAT = "configuration"
_KINDS = {MUTATE_POLICY: "mutate", GUARD_POLICY: "guard"}
_OPTIONS = re.compile(r"(?:--only-private)?(?: ?--action (?:Deny|Warn|Audit))?")
_INFOS = {WEBHOOK: "registry_webhook_configuration_info", REFRESHER: "registry_webhook_refresher_configuration_info"}


@check(_WHAT, Code.CONFIG_UNKNOWN)
def check_valid(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the configuration itself."""
    match known(snapshot.configuration):
        case InvalidConfig(lines):
            remedy = (
                "correct it; until then the last good one stays in force, and a process that starts anew does not run"
            )
            for line in lines:
                yield wording.error(Code.CONFIG_INVALID, _WHAT, line, remedy)
        case EffectiveConfig(server=None) as settings:
            why = f"{settings.origin} has no registry: no image gets one in front, and no pull secret is made"
            yield wording.warning(Code.CONFIG_NO_REGISTRY, _WHAT, why, "set opencti.daemon.registry.server")
        case EffectiveConfig() as settings:
            yield wording.ok(
                Code.CONFIG_OK, _WHAT, f"{settings.origin} is valid, for {settings.server} (hash {settings.digest})"
            )


def check_consistent(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that all processes use the same configuration."""
    what = "same everywhere"
    in_force = dict(_hashes(snapshot))
    wanted = snapshot.configuration.digest if isinstance(snapshot.configuration, EffectiveConfig) else None
    if wanted and snapshot.sidecar_hash and snapshot.sidecar_hash != wanted:
        theirs = f"{WEBHOOK} is to go by {wanted}, and {REFRESHER} by {snapshot.sidecar_hash}"
        why = f"the containers' variables differ: {theirs}"
        yield wording.warning(
            Code.CONFIG_VARIABLES, what, why, "give both containers of the Deployment the same variables"
        )
    outdated = {
        f"{pod} ({container}: {digits})"
        for (pod, container), digits in in_force.items()
        if wanted and digits != (snapshot.sidecar_hash or wanted if container == REFRESHER else wanted)
    }
    if outdated:
        look = f"kubectl -n {snapshot.names.namespace} logs POD"
        remedy = f"kubelet brings a ConfigMap within two minutes; where it stays so: {look}"
        yield wording.warning(
            Code.CONFIG_OUTDATED, what, f"not by {wanted} yet: {wording.join_names(outdated)}", remedy
        )
    elif wanted is None and len(set(in_force.values())) > 1:
        hashes = wording.join_names(f"{pod} ({container}: {digits})" for (pod, container), digits in in_force.items())
        yield wording.warning(
            Code.CONFIG_DIFFERS, what, f"the processes go by different ones: {hashes}", "look again in two minutes"
        )
    elif in_force:
        hashes = ", ".join(sorted(set(in_force.values())))
        yield wording.ok(
            Code.CONFIG_SAME, what, f"{wording.count_of(list(in_force), 'process goes', 'processes go')} by {hashes}"
        )


def _hashes(snapshot: InstallationSnapshot) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the hash of each process, by replica and container."""
    for replica in snapshot.replicas_or_empty:
        for container, status in replica.statuses.items():
            digits = status.label(_INFOS[container], "hash")
            if digits:
                yield (replica.name, container), digits


def check_orphaned_policies(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Report generated policies that were left behind when the rest was removed."""
    what = "generated policies"
    try:
        names = [one.metadata.name for one in generated(known(snapshot.policies))]
        guards = [name for name in names if name in known(snapshot.guards)]
        known(snapshot.webhook_configuration)
    except NotReadable:
        return  # other checks report it
    mutating = [name for name in names if name not in guards]
    if snapshot.webhook is None and not mutating:
        for name in guards:
            why = f"ValidatingAdmissionPolicy {name} refuses Pods that are not rewritten, and nothing rewrites them"
            yield wording.error(Code.POLICY_ORPHANED, what, why, orphan_remedy("validating", name))
    if snapshot.webhook_configuration is None and snapshot.deployment is None:
        for name in mutating:
            why = f"MutatingAdmissionPolicy {name} still rewrites Pods, and nothing maintains their pull secrets"
            yield wording.warning(Code.POLICY_ORPHANED, what, why, orphan_remedy("mutating", name))


@check("generated policies", Code.POLICY_UNKNOWN)
def check_policies(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that generated policies were generated from the current configuration."""
    what = "generated policies"
    policies = generated(known(snapshot.policies))
    made_from = {one.metadata.name: one.metadata.annotations[CONFIGURATION_HASH_ANNOTATION] for one in policies}
    if not made_from or not isinstance(snapshot.configuration, EffectiveConfig):
        return
    wanted = snapshot.configuration.digest
    old = sorted(f"{name} ({digits})" for name, digits in made_from.items() if digits != wanted)
    if old:
        why = f"made from another configuration than {wanted}: {wording.join_names(old)}"
        yield wording.error(Code.POLICY_OUTDATED, what, why, _remade(snapshot, policies, snapshot.configuration))
    else:
        yield wording.ok(Code.POLICY_OK, what, f"{wording.count_of(list(made_from), 'is', 'are')} made from {wanted}")


def _remade(snapshot: InstallationSnapshot, policies: Iterable[Object], settings: EffectiveConfig) -> str:
    """Return the commands that generate outdated policies again, with their options."""
    of_file = not settings.origin.startswith("ConfigMap ")
    source = f"--config {shlex.quote(settings.origin)}" if of_file else "--from-cluster"
    if snapshot.names.namespace != DEFAULT_NAMESPACE:
        source += f" --installation-namespace {shlex.quote(snapshot.names.namespace)}"
    commands = []
    for one in policies:
        name, annotations = one.metadata.name, one.metadata.annotations
        kind = _KINDS.get(name)
        if kind is None or annotations.get(CONFIGURATION_HASH_ANNOTATION) in (None, settings.digest):
            continue
        options = annotations.get(POLICY_OPTIONS_ANNOTATION, "")
        # A user who can write the annotation must not choose what the command does.
        arguments = f"{options} " if options and _OPTIONS.fullmatch(options) else ""
        commands.append(f"{PROGRAM} policy {kind} {arguments}{source} | kubectl apply --server-side -f -")
    return " && ".join(commands) or f"generate them again: {PROGRAM} policy mutate or guard, {source}"
