"""Checks that types and limits cannot express: registry prefixes, patterns that can match, rules without conflicts.

The checked settings have every prefix normalized.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from webhook.errors import ConflictingRules, InvalidPattern, InvalidPrefix
from webhook.images import name_pattern, prefix, reference
from webhook.images.rules import Rules
from webhook.settings import Configuration, RuleSettings

_NAMESPACE_PATTERN = re.compile(r"[a-z0-9*-]+")
#: A DNS subdomain (RFC 1123), which the name of a Secret must be.
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_SUBDOMAIN_LIMIT = 253
#: A name of a namespace is a DNS label (RFC 1123).
_NAMESPACE_LIMIT = 63
_SERVER = "opencti.daemon.registry.server"
_USERNAME = "opencti.daemon.registry.username"
_CA_LIFE = "webhook.certificate.authority_life"


class ValidationProblem(NamedTuple):
    """A value that cannot be used."""

    key: str
    value: Any
    problem: str
    hint: str = ""


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
        exclude = self._each("webhook.exclude", webhook.exclude, name_pattern.normalize)
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
                self.problems.append(ValidationProblem(key, value, str(error), error.hint))
        return normalized

    def _texts(self) -> None:
        registry, webhook = self._configuration.registry, self._configuration.webhook
        username = registry.username
        if username and ":" in username:
            problem = "must not contain a colon, because the kubelet reads what follows it as the password"
            self._add(_USERNAME, username, problem, "write the part after the colon as registry.password")
        name = webhook.pull_secret.name
        if not _SUBDOMAIN.fullmatch(name) or len(name) > _SUBDOMAIN_LIMIT:
            problem = (
                f"must be the name of a Secret, which has at most {_SUBDOMAIN_LIMIT} characters a-z, 0-9, - and ., and "
                "begins and ends with a letter or digit"
            )
            self._add("webhook.pull_secret.name", name, problem)
        if username and webhook.credential.username_file:
            problem = f"the username is also set as {_USERNAME}"
            self._add(
                "webhook.credential.username_file", webhook.credential.username_file, problem, "remove one of the two"
            )
        providers = [key for key in ("file", "docker_config", "helper") if getattr(webhook.credential, key)]
        if len(providers) > 1:
            problem = f"only one credential provider can be set, and these are: {', '.join(providers)}"
            self._add(f"webhook.credential.{providers[1]}", None, problem, "remove all but one")

    def _certificate(self) -> None:
        certificate = self._configuration.webhook.certificate
        if certificate.life > certificate.authority_life:
            problem = f"must be at most {certificate.authority_life}, the value of {_CA_LIFE}"
            self._add("webhook.certificate.life", certificate.life, problem)
        # A CA is replaced when a third of its lifetime is left, in which clients must learn to trust the next one.
        longest = certificate.authority_life // 6
        if certificate.overlap > longest:
            problem = f"must be at most {longest}, a sixth of {_CA_LIFE}"
            self._add("webhook.certificate.overlap", certificate.overlap, problem)

    def _add(self, key: str, value: Any, problem: str, hint: str = "") -> None:
        self.problems.append(ValidationProblem(key, value, problem, hint))

    def _each(self, key: str, texts: tuple[str, ...], attempt: Callable[[str], Any]) -> tuple[Any, ...]:
        tried = [self._tried(f"{key}[{index}]", text, attempt) for index, text in enumerate(texts)]
        return tuple(filter(None, tried))

    def _tried(self, key: str, text: str, attempt: Callable[[str], Any]) -> Any:
        try:
            return attempt(text)
        except (InvalidPrefix, InvalidPattern) as error:
            self.problems.append(ValidationProblem(key, text, str(error), error.hint))
            return None


def _normalize_source(text: str) -> str:
    """Return a rule's source in canonical form: it is only compared, never written into an image or a credential."""
    try:
        return prefix.canonical(prefix.normalize(text))
    except InvalidPrefix as error:
        name, colon, tag = text.partition(":")
        may_be_registry = reference.looks_like_registry(name.partition("/")[0])
        may_be_tag = "/" not in tag and not any(mark in tag for mark in prefix.MAY_HOLD_SECRETS)
        if may_be_registry or not may_be_tag or not reference.is_path(name):
            raise
        problem = "must begin with a registry and have no tag" if colon else "must begin with a registry"
        raise InvalidPrefix(problem, hint=_on_docker_hub(name)) from error


def _on_docker_hub(name: str) -> str:
    if len(name) + len(reference.OFFICIAL) > reference.PATH_LIMIT:
        return ""
    if "/" in name:
        return f"write {reference.DOCKER_HUB}/{name}"
    image = f"{reference.DOCKER_HUB}/{reference.OFFICIAL}{name}"
    return f"write {image}, or {reference.DOCKER_HUB}/{name} for all images of the Docker Hub user {name}"


def _check_namespace_pattern(text: str) -> None:
    if not _NAMESPACE_PATTERN.fullmatch(text):
        lower = text.strip().lower()
        hint = f"write {lower}" if _is_namespace_pattern(lower) else ""
        raise InvalidPattern(
            "must be a namespace's name, which consists of a-z, 0-9 and -, or a pattern with *", hint=hint
        )
    if not _is_namespace_pattern(text):
        raise InvalidPattern(
            f"matches no namespace: a name has at most {_NAMESPACE_LIMIT} characters, and no - at the beginning or end"
        )


def _is_namespace_pattern(text: str) -> bool:
    return (
        bool(_NAMESPACE_PATTERN.fullmatch(text))
        and not text.startswith("-")
        and not text.endswith("-")
        and len(text.replace("*", "")) <= _NAMESPACE_LIMIT
    )
