"""Whether the configuration is valid and used by all processes and policies."""

import itertools
from collections.abc import Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import CONFIGURATION_HASH_ANNOTATION, PROGRAM
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, InvalidConfig
from webhook.diagnostics.generated_policies import generated, orphaned_guard, orphaned_mutation, regeneration
from webhook.diagnostics.remedy import Remedy, remedy
from webhook.errors import NotReadable
from webhook.kube.installed_config import REFRESHER, WEBHOOK
from webhook.kube.partial import known
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.phrases import counted, join_names

_WHAT, _RUNNING, _POLICIES = "configuration", "running configuration", "generated policies"
_EFFECT = "fix the configuration. Until then, running processes keep the last valid one and restarted ones fail"
_INFOS = {WEBHOOK: "registry_webhook_configuration_info", REFRESHER: "registry_webhook_refresher_configuration_info"}


@check(_WHAT, Code.CONFIG_UNKNOWN)
def check_valid(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the configuration itself."""
    match known(snapshot.configuration):
        case InvalidConfig(lines, hints):
            for line, hint in itertools.zip_longest(lines, hints, fillvalue=""):
                yield wording.error(Code.CONFIG_INVALID, _WHAT, line, hint or _EFFECT)
        case EffectiveConfig(server=None) as settings:
            why = f"{settings.origin} has no registry, so no image is rewritten and no pull secret is created"
            yield wording.warning(Code.CONFIG_NO_REGISTRY, _WHAT, why, "set opencti.daemon.registry.server")
        case EffectiveConfig() as settings:
            why = f"{settings.origin} is valid (registry {settings.server}, hash {settings.digest})"
            yield wording.ok(Code.CONFIG_OK, _WHAT, why)


def check_consistent(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that all processes use the same configuration."""
    running = dict(_hashes(snapshot))
    wanted = snapshot.configuration.digest if isinstance(snapshot.configuration, EffectiveConfig) else None
    if wanted and snapshot.sidecar_hash and snapshot.sidecar_hash != wanted:
        hashes = f"{WEBHOOK} {wanted}, {REFRESHER} {snapshot.sidecar_hash}"
        why = f"the containers have different environment variables, so their configurations differ ({hashes})"
        hint = "set the same configuration variables in both containers of the Deployment"
        yield wording.warning(Code.CONFIG_VARIABLES, _RUNNING, why, hint)
    outdated = {
        f"{pod} ({container}: {digits})"
        for (pod, container), digits in running.items()
        if wanted and digits != (snapshot.sidecar_hash or wanted if container == REFRESHER else wanted)
    }
    if outdated:
        why = f"some processes do not use configuration {wanted} yet: {join_names(outdated)}"
        yield wording.warning(Code.CONFIG_OUTDATED, _RUNNING, why, *_wait_or_see_logs(snapshot))
    elif wanted is None and len(set(running.values())) > 1:
        hashes = join_names(f"{pod} ({container}: {digits})" for (pod, container), digits in running.items())
        why = f"processes use different configurations: {hashes}"
        yield wording.warning(Code.CONFIG_DIFFERS, _RUNNING, why, *_wait_or_see_logs(snapshot))
    elif running:
        hashes = ", ".join(sorted(set(running.values())))
        why = f"{counted(len(running), 'process uses', 'processes use')} configuration {hashes}"
        yield wording.ok(Code.CONFIG_SAME, _RUNNING, why)


def _wait_or_see_logs(snapshot: InstallationSnapshot) -> Remedy:
    """Return the command that shows the logs of all processes."""
    words = ("logs", "-l", f"app.kubernetes.io/name={PROGRAM}", "--all-containers", "--prefix", "--tail=50")
    hint = "the kubelet updates a mounted ConfigMap within two minutes. If this stays, check the logs"
    return remedy(hint, kubectl.line(*words, namespace=snapshot.names.namespace))


def _hashes(snapshot: InstallationSnapshot) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the hash of each process, by replica and container."""
    for replica in snapshot.replicas_or_empty:
        for container, status in replica.statuses.items():
            digits = status.label(_INFOS[container], "hash")
            if digits:
                yield (replica.name, container), digits


def check_orphaned_policies(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Report generated policies that were left behind when the rest was removed."""
    try:
        names = [one.metadata.name for one in generated(known(snapshot.policies), snapshot.names.namespace)]
        guards = [name for name in names if name in known(snapshot.guards)]
        known(snapshot.webhook_configuration)
    except NotReadable:
        return  # other checks report it
    mutating = [name for name in names if name not in guards]
    if snapshot.webhook is None and not mutating:
        for name in guards:
            yield orphaned_guard(Mark.ERROR, name)
    if snapshot.webhook_configuration is None and snapshot.deployment is None:
        for name in mutating:
            yield orphaned_mutation(name)


@check(_POLICIES, Code.POLICY_UNKNOWN)
def check_policies(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that generated policies were generated from the current configuration."""
    policies = generated(known(snapshot.policies), snapshot.names.namespace)
    if not policies or not isinstance(snapshot.configuration, EffectiveConfig):
        return
    wanted = snapshot.configuration.digest
    outdated = [one for one in policies if one.metadata.annotations[CONFIGURATION_HASH_ANNOTATION] != wanted]
    if outdated:
        names = join_names(
            f"{one.metadata.name} ({one.metadata.annotations[CONFIGURATION_HASH_ANNOTATION]})" for one in outdated
        )
        why = f"generated from another configuration than the current one ({wanted}): {names}"
        again = regeneration(outdated, snapshot.configuration, snapshot.names)
        yield wording.error(Code.POLICY_OUTDATED, _POLICIES, why, *again)
    else:
        why = f"{counted(len(policies), 'policy was', 'policies were')} generated from the current configuration"
        yield wording.ok(Code.POLICY_OK, _POLICIES, f"{why} ({wanted})")
