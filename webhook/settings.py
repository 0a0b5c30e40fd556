"""The settings: every key with its type, limits and default, and the whole configuration as one frozen value.

The keys under `opencti.daemon.registry` are XTM Composer's registry settings and keep their names and defaults. Those
under `webhook` are this program's own.
"""

from hashlib import sha256
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct

from webhook.constants import PULL_SECRET, InstallationNames

#: At most 30 days.
_Seconds = Annotated[int, Meta(ge=0, le=2_592_000)]
_Text = Annotated[str, Meta(max_length=4096)]
_Texts = Annotated[tuple[_Text, ...], Meta(max_length=10_000)]


class RegistrySettings(Struct, frozen=True):
    """`opencti.daemon.registry`, or `registry`: the private registry and the credential for it."""

    server: _Text | None = None
    """Host with optional port and path; without it only rules rewrite images."""
    username: _Text | None = None
    password: _Text | None = None
    email: _Text | None = None
    token_ttl: Annotated[int, Meta(ge=10, le=2_592_000)] = 1800
    """Seconds after which the credential is read, checked and published again at the latest."""
    retry_attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    """Number of attempts, including the first, before backing off."""
    retry_delay: Annotated[int, Meta(ge=0, le=3600)] = 5
    """Seconds between these attempts."""


class RuleSettings(Struct, frozen=True, rename={"source": "from", "target": "to"}, forbid_unknown_fields=True):
    """An item of `webhook.rules`: every name below `source` becomes the same name below `target`."""

    source: _Text
    """A normalized prefix, compared in canonical form."""
    target: _Text
    """A normalized prefix, written into images in this spelling."""

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class NamespaceSettings(Struct, frozen=True):
    """`webhook.namespaces`: which namespaces may be selected."""

    mode: Literal["labelled", "all"] = "labelled"
    allow: _Texts | None = None
    deny: _Texts = ()


class PullSecretSettings(Struct, frozen=True):
    """`webhook.pull_secret`: the Secret that Pods name in `imagePullSecrets`."""

    name: _Text = PULL_SECRET
    enabled: bool = True
    registries: _Texts = ()
    """Registries whose images get the secret, in addition to the server and the targets of rules."""
    linger: _Seconds = 86_400
    """Seconds for which the secret is still updated in a namespace that is no longer selected, before it is deleted."""

    @property
    def appended_name(self) -> str | None:
        """The name that is added to a Pod's `imagePullSecrets`; None if `enabled` is false."""
        return self.name if self.enabled else None


class CredentialSettings(Struct, frozen=True):
    """`webhook.credential`: a provider to use instead of the static credential.

    At most one of `file`, `docker_config` and `helper` is set.
    """

    file: _Text | None = None
    """A file that holds the password."""
    username_file: _Text | None = None
    """A file that holds the username, instead of `username`; another key has to provide the password."""
    docker_config: _Text | None = None
    """A docker `config.json`."""
    helper: _Text | None = None
    """A docker credential helper: NAME in the program's name, `docker-credential-NAME`."""
    helper_life: Annotated[int, Meta(ge=10, le=2_592_000)] | None = None
    """Seconds for which a helper's credential is valid if the helper reports no expiry.

    By default such a helper is run again within two minutes.
    """
    helper_timeout: Annotated[int, Meta(ge=1, le=300)] = 30
    """Seconds after which a run of the helper is aborted."""


class CertificateSettings(Struct, frozen=True):
    """`webhook.certificate`: the serving certificate, if the refresher maintains it."""

    life: Annotated[int, Meta(ge=60, le=31_536_000)] = 7_776_000
    """Seconds for which a certificate is valid; it is renewed after two thirds of them."""
    authority_life: Annotated[int, Meta(ge=60, le=315_360_000)] = 157_680_000
    """The same for the CA."""
    overlap: Annotated[int, Meta(ge=1, le=86_400)] = 120
    """Seconds that API servers have to load a new CA before a certificate that it signed is served."""


class WebhookSettings(Struct, frozen=True):
    """`webhook`: this program's own settings."""

    rules: Annotated[tuple[RuleSettings, ...], Meta(max_length=10_000)] = ()
    exclude: _Texts = ()
    """Glob patterns of normalized names that are not rewritten."""
    namespaces: NamespaceSettings = NamespaceSettings()
    pod_opt_out: Literal["allow", "ignore"] = "allow"
    pull_secret: PullSecretSettings = PullSecretSettings()
    credential: CredentialSettings = CredentialSettings()
    certificate: CertificateSettings = CertificateSettings()
    verify: Literal["warn", "strict", "off"] = "warn"
    """Whether a credential is checked with the registry before it is published."""
    verify_ca: _Text | None = None
    """A PEM file of CAs to verify the registry's certificate with, instead of the system's CAs."""
    verify_plain_http: Literal["never", "loopback"] = "never"
    """Whether the credential is checked without TLS with a registry on a loopback address."""
    on_error: Literal["allow", "deny"] = "allow"
    """Whether a Pod that cannot be examined is admitted unchanged or refused."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged, unless the command line sets one."""


class Configuration(Struct, frozen=True):
    """The whole configuration, with every prefix normalized."""

    registry: RegistrySettings = RegistrySettings()
    webhook: WebhookSettings = WebhookSettings()
    installation: InstallationNames = InstallationNames()
    """Not a key of the file, but read from environment variables: `installation_names`."""

    def at(self, installation: InstallationNames) -> Self:
        """Return the same configuration for another installation."""
        return msgspec.structs.replace(self, installation=installation)

    @property
    def private_prefixes(self) -> tuple[str, ...]:
        """The prefixes whose images get the pull secret, each once, the server first."""
        server = [self.registry.server] if self.registry.server else []
        targets = [rule.target for rule in self.webhook.rules]
        return tuple(dict.fromkeys([*server, *targets, *self.webhook.pull_secret.registries]))

    @property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the keys that affect decisions, as JSON with sorted keys.

        Processes, commands and generated policies report it, to show whether they use the same configuration. It does
        not depend on how a value is written or whether a default is omitted, but on the order of lists.
        """
        webhook = msgspec.to_builtins(self.webhook)
        deciding = {"server": self.registry.server, **{key: webhook[key] for key in _DECIDING}}
        return sha256(msgspec.json.encode(deciding, order="sorted")).hexdigest()[:_DIGEST_DIGITS]


#: 48 bits: enough to tell the configurations of a cluster apart.
_DIGEST_DIGITS = 12
#: The keys of `webhook` that affect decisions on Pods and namespaces. They include no credential, because anyone who
#: reads the digest could test a guess with it.
_DECIDING = ("rules", "exclude", "namespaces", "pod_opt_out", "pull_secret", "on_error")

#: The path of each part of the configuration in the file.
ROOTS = {"opencti.daemon.registry": RegistrySettings, "webhook": WebhookSettings}

#: Other spellings of a root, for users who do not come from OpenCTI.
ALIASES = {"registry": "opencti.daemon.registry"}

#: Keys whose value is masked in output.
MASKED_KEYS = frozenset({"opencti.daemon.registry.password", "registry.password"})

#: Keys whose value appears in no message: a username may be invalid because the password was appended to it.
SECRET_KEYS = MASKED_KEYS | {"opencti.daemon.registry.username", "registry.username"}
