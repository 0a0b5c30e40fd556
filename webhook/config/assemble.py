"""From a configuration to the working parts it describes."""

import msgspec

from webhook.admission.mutator import Mutator, Policy
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.admission_policy.model import Terms
from webhook.config.digest import fingerprint
from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.images.patterns import Globs
from webhook.images.resolver import Resolver
from webhook.images.rules import Rule, Rules
from webhook.settings import Configuration


def placed(configuration: Configuration, names: InstallationNames) -> Configuration:
    """Give a configuration as an installation elsewhere goes by it."""
    return msgspec.structs.replace(configuration, installation=names)


def resolver(configuration: Configuration) -> Resolver:
    """Make the resolver of a loaded configuration."""
    webhook = configuration.webhook
    rules = Rules([Rule(rule.source, rule.target) for rule in webhook.rules], configuration.registry.server)
    return Resolver(rules, Globs(webhook.exclude), webhook.pull_secret.registries)


def bounds(configuration: Configuration) -> NamespaceFilter:
    """Make what says which namespaces are never served, of a loaded configuration."""
    namespaces = configuration.webhook.namespaces
    return NamespaceFilter(namespaces.allow, namespaces.deny, configuration.installation.namespace)


def policy(configuration: Configuration) -> Policy:
    """Make what a handler decides by, of a loaded configuration."""
    webhook = configuration.webhook
    return Policy(
        resolve=resolver(configuration).resolve,
        namespace_filter=bounds(configuration),
        pull_secret=webhook.pull_secret.name if webhook.pull_secret.enabled else None,
        pods_opt_out=webhook.pod_opt_out == "allow",
        allow_on_error=webhook.on_error == "allow",
    )


def handler(configuration: Configuration) -> Mutator:
    """Make the handler of a loaded configuration."""
    return Mutator(policy(configuration))


def settings(configuration: Configuration, origin: str) -> EffectiveConfig:
    """Make what inspections go by; `origin` is where the configuration was read."""
    return EffectiveConfig(
        policy=policy(configuration),
        mode=configuration.webhook.namespaces.mode,
        server=configuration.registry.server,
        hash=fingerprint(configuration),
        origin=origin,
    )


def policy_terms(configuration: Configuration) -> Terms:
    """Make what admission policies are generated of."""
    webhook = configuration.webhook
    return Terms(
        server=configuration.registry.server,
        rules=tuple(Rule(rule.source, rule.target) for rule in webhook.rules),
        exclude=webhook.exclude,
        registries=webhook.pull_secret.registries,
        mode=webhook.namespaces.mode,
        allow=webhook.namespaces.allow,
        deny=webhook.namespaces.deny,
        pods_opt_out=webhook.pod_opt_out == "allow",
        pull_secret=webhook.pull_secret.name if webhook.pull_secret.enabled else None,
        allow_on_error=webhook.on_error == "allow",
        configuration_hash=fingerprint(configuration),
        own_namespace=configuration.installation.namespace,
    )
