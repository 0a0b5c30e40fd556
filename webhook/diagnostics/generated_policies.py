"""The admission policies that were generated from a configuration."""

import re
from collections.abc import Iterable

from webhook.config.effective import EffectiveConfig
from webhook.config.files import STANDARD_INPUT
from webhook.constants import (
    DEFAULT_NAMESPACE,
    GUARD_POLICY,
    MUTATE_POLICY,
    POLICY_OPTIONS_ANNOTATION,
    InstallationNames,
)
from webhook.diagnostics.remedy import Remedy, remedy
from webhook.kube.installed_config import release_of
from webhook.kube.objects import Object, is_generated
from webhook.output import helm, invocation, kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark

_SUBJECT = "generated policies"
_COMMANDS = {MUTATE_POLICY: "mutate", GUARD_POLICY: "guard"}
_OPTIONS = re.compile(r"(?:--only-private)?(?: ?--action (?:Deny|Warn|Audit))?")


def generated(policies: Iterable[Object], installation: str) -> tuple[Object, ...]:
    """Return the policies that were generated for the installation in a namespace: they have a configuration's hash."""
    return tuple(one for one in policies if is_generated(one, installation))


def orphaned_guard(mark: Mark, name: str) -> Finding:
    """Report a policy that refuses Pods, without a webhook or policy that rewrites them."""
    why = f"ValidatingAdmissionPolicy {name} refuses unchanged Pods, and the API shows nothing that rewrites Pods"
    return Finding(mark, Code.POLICY_ORPHANED, _SUBJECT, why, *_orphan_remedy("validating", name))


def orphaned_mutation(name: str) -> Finding:
    """Report a policy that rewrites Pods, without an installation."""
    why = f"MutatingAdmissionPolicy {name} rewrites Pods, and nothing updates their pull secrets"
    return Finding(Mark.WARNING, Code.POLICY_ORPHANED, _SUBJECT, why, *_orphan_remedy("mutating", name))


def _orphan_remedy(kind: str, name: str) -> Remedy:
    delete = kubectl.line("delete", f"{kind}admissionpolicies,{kind}admissionpolicybindings", name=name)
    return remedy("delete the policy and its binding, unless you install registry-webhook again", delete)


def regeneration(outdated: Iterable[Object], settings: EffectiveConfig, names: InstallationNames) -> Remedy:
    """Return how to generate policies again, with the same options. Those of a Helm release are its values."""
    if settings.origin.startswith("ConfigMap "):
        source = ["--from-cluster"]
    else:
        source = ["--config", "-" if settings.origin == STANDARD_INPUT else settings.origin]
    if names.namespace != DEFAULT_NAMESPACE:
        source += ["--installation-namespace", names.namespace]
    of_release = {names.renamed(policy): which for policy, which in _COMMANDS.items()} if names.helm_release else {}
    commands, files = [], []
    for one in outdated:
        options = one.metadata.annotations.get(POLICY_OPTIONS_ANNOTATION, "")
        # A user who can write the annotation must not choose what the command does.
        words = options.split() if _OPTIONS.fullmatch(options) else []
        if one.metadata.name in of_release and release_of(one.metadata) == names.helm_release:
            which = of_release[one.metadata.name]
            commands.append(f"{invocation.command('policy', which, *words, *source)} > {which}.yaml")
            files.append(f"policies.{which}={which}.yaml")
        elif one.metadata.name in _COMMANDS:
            generate = invocation.command("policy", _COMMANDS[one.metadata.name], *words, *source)
            commands.append(f"{generate} | kubectl apply --server-side -f -")
    if files:
        commands.append(helm.upgrade(names, *files, option="--set-file"))
    hint = "generate and apply the policies again"
    if not commands:
        hint += f", with `{invocation.command('policy', 'mutate')}` or `{invocation.command('policy', 'guard')}`"
    return remedy(hint, *commands)
