"""Checks that types and limits cannot express: registry prefixes, patterns that can match, rules without conflicts.

The checked settings have every prefix normalized.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from webhook.errors import ConflictingRules, InvalidPattern, InvalidPrefix
from webhook.images import prefix, reference
from webhook.images.patterns import normalize_pattern
from webhook.images.rules import Rules
from webhook.settings import Configuration, RuleSettings

_NAMESPACE_PATTERN = re.compile(r"[a-z0-9*-]+")
#: A DNS subdomain (RFC 1123), which the name of a Secret must be.
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_SUBDOMAIN_LIMIT = 253
_SERVER = "opencti.daemon.registry.server"


class ValidationProblem(NamedTuple):
    """A value that cannot be used."""

    key: str
    value: Any
    problem: str


def check(configuration: Configuration) -> tuple[Configuration, list[ValidationProblem]]:
    """Return a configuration with prefixes normalized, and all problems; types must have been checked before."""
    checks = _Validator(configuration)
    return checks.normalized(), checks.problems


class _Validator:
    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.problems: list[ValidationProblem] = []

    def normalized(self) -> Configuration:
        registry, webhook = self._configuration.registry, self._configuration.webhook
        server = self._tried(_SERVER, registry.server, prefix.normalize) if registry.server else None
        rules = self._rules(server)
        exclude = self._each("webhook.exclude", webhook.exclude, normalize_pattern)
        self._each("webhook.namespaces.allow", webhook.namespaces.allow or (), _check_namespace_pattern)
        self._each("webhook.namespaces.deny", webhook.namespaces.deny, _check_namespace_pattern)
        self._texts()
        self._certificate()
        registries = self._each("webhook.pull_secret.registries", webhook.pull_secret.registries, prefix.normalize)
        return Configuration(
            msgspec.structs.replace(registry, server=server),
            msgspec.structs.replace(
                webhook,
                rules=tuple(rules),
                exclude=exclude,
                pull_secret=msgspec.structs.replace(webhook.pull_secret, registries=registries),
            ),
        )

    def _rules(self, server: str | None) -> list[RuleSettings]:
        normalized = []
        for index, rule in enumerate(self._configuration.webhook.rules):
            source = self._tried(f"webhook.rules[{index}].from", rule.source, _normalize_source)
            target = self._tried(f"webhook.rules[{index}].to", rule.target, prefix.normalize)
            if source and target:
                normalized.append(RuleSettings(source, target))
        if len(normalized) == len(self._configuration.webhook.rules):
            try:
                Rules(normalized, server)
            except ConflictingRules as error:
                key = _SERVER if error.index < 0 else f"webhook.rules[{error.index}].{error.part}"
                rule = self._configuration.webhook.rules[error.index]
                value = server if error.index < 0 else rule.source if error.part == "from" else rule.target
                self.problems.append(ValidationProblem(key, value, str(error)))
        return normalized

    def _texts(self) -> None:
        registry, webhook = self._configuration.registry, self._configuration.webhook
        username = registry.username
        if username and ":" in username:
            problem = "a user name may not contain a colon: kubelet takes what follows the first for the password"
            self.problems.append(ValidationProblem("opencti.daemon.registry.username", username, problem))
        name = webhook.pull_secret.name
        if not _SUBDOMAIN.fullmatch(name) or len(name) > _SUBDOMAIN_LIMIT:
            problem = "a Secret's name has a-z, 0-9, - and . only, begins and ends with a letter or digit, 253 at most"
            self.problems.append(ValidationProblem("webhook.pull_secret.name", name, problem))
        if username and webhook.credential.username_file:
            problem = "the user name is set twice, here and as opencti.daemon.registry.username: remove one of the two"
            self.problems.append(
                ValidationProblem("webhook.credential.username_file", webhook.credential.username_file, problem)
            )
        sources = [key for key in ("file", "docker_config", "helper") if getattr(webhook.credential, key)]
        if len(sources) > 1:
            problem = f"only one source of a credential can be used, and these are set: {', '.join(sources)}"
            self.problems.append(ValidationProblem(f"webhook.credential.{sources[1]}", None, problem))

    def _certificate(self) -> None:
        certificate = self._configuration.webhook.certificate
        if certificate.life > certificate.authority_life:
            problem = f"a certificate ends with its authority: at most {certificate.authority_life}, authority_life"
            self.problems.append(ValidationProblem("webhook.certificate.life", certificate.life, problem))
        # A CA is replaced when a third of its lifetime is left, in which clients must learn to trust the next one.
        longest = certificate.authority_life // 6
        if certificate.overlap > longest:
            problem = f"at most {longest}, a sixth of authority_life: the next authority must be known before that ends"
            self.problems.append(ValidationProblem("webhook.certificate.overlap", certificate.overlap, problem))

    def _each(self, key: str, texts: tuple[str, ...], attempt: Callable[[str], Any]) -> tuple[Any, ...]:
        tried = [self._tried(f"{key}[{index}]", text, attempt) for index, text in enumerate(texts)]
        return tuple(filter(None, tried))

    def _tried(self, key: str, text: str, attempt: Callable[[str], Any]) -> Any:
        try:
            return attempt(text)
        except (InvalidPrefix, InvalidPattern) as error:
            self.problems.append(ValidationProblem(key, text, str(error)))
            return None


def _normalize_source(text: str) -> str:
    """Return a rule's source in canonical form: it is only compared, never written into an image or a credential."""
    try:
        return prefix.canonical(prefix.normalize(text))
    except InvalidPrefix as error:
        first = text.partition("/")[0]
        if first and reference.is_path(text):
            hub = f"docker.io/{text}" if "/" in text else f"docker.io/{text} or docker.io/library/{text}"
            raise InvalidPrefix(f"it names no registry; images of Docker Hub are written {hub}") from error
        raise


def _check_namespace_pattern(text: str) -> None:
    if not _NAMESPACE_PATTERN.fullmatch(text):
        raise InvalidPattern("a namespace's pattern has a-z, 0-9, - and * only")
