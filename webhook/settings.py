"""The settings: every key with its type, bounds and default, and the whole configuration as one frozen value.

The keys under `opencti.daemon.registry` are XTM Composer's registry settings and keep their names and defaults. Those
under `webhook` are this program's own.
"""

from hashlib import sha256
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct

from webhook.constants import PULL_SECRET, InstallationNames

#: At most a month.
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
    """Seconds: the longest that a published credential goes without being read, checked and published again."""
    retry_attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    """Quick tries in all, before backing off."""
    retry_delay: Annotated[int, Meta(ge=0, le=3600)] = 5
    """Seconds between quick tries."""


class RuleSettings(Struct, frozen=True, rename={"source": "from", "target": "to"}, forbid_unknown_fields=True):
    """An item of `webhook.rules`: every name below `source` becomes the same name below `target`."""

    source: _Text
    """A normalised prefix; it is compared in canonical form."""
    target: _Text
    """A normalised prefix, which images get as it is spelled."""

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
    """Further registries whose images get the secret."""
    linger: _Seconds = 86_400
    """Seconds that the secret stays, and stays current, in a namespace that is no longer selected."""

    @property
    def appended_name(self) -> str | None:
        """What Pods get in `imagePullSecrets`, None where that is switched off."""
        return self.name if self.enabled else None


class CredentialSettings(Struct, frozen=True):
    """`webhook.credential`: another provider than the static credential; at most one is set."""

    file: _Text | None = None
    """A file that holds the password."""
    username_file: _Text | None = None
    """A file with the username, instead of `username`; it needs a password from elsewhere."""
    docker_config: _Text | None = None
    """A docker `config.json`."""
    helper: _Text | None = None
    """A docker credential helper: NAME of the program `docker-credential-NAME`."""
    helper_life: Annotated[int, Meta(ge=10, le=2_592_000)] | None = None
    """Seconds that a helper's credential is valid for when the helper does not say.

    Without it such a helper is asked again within two minutes.
    """
    helper_timeout: Annotated[int, Meta(ge=1, le=300)] = 30
    """Seconds that a helper may take to answer."""


class CertificateSettings(Struct, frozen=True):
    """`webhook.certificate`: the certificate that the refresher maintains, where it does."""

    life: Annotated[int, Meta(ge=60, le=31_536_000)] = 7_776_000
    """Seconds that a certificate is valid for; it is renewed after two thirds of them."""
    authority_life: Annotated[int, Meta(ge=60, le=315_360_000)] = 157_680_000
    """The same for the CA."""
    overlap: Annotated[int, Meta(ge=1, le=86_400)] = 120
    """Seconds for API servers to learn of a new CA before a certificate that it signed is served."""


class WebhookSettings(Struct, frozen=True):
    """`webhook`: this program's own settings."""

    rules: Annotated[tuple[RuleSettings, ...], Meta(max_length=10_000)] = ()
    exclude: _Texts = ()
    """Glob patterns of normalised names left as written."""
    namespaces: NamespaceSettings = NamespaceSettings()
    pod_opt_out: Literal["allow", "ignore"] = "allow"
    pull_secret: PullSecretSettings = PullSecretSettings()
    credential: CredentialSettings = CredentialSettings()
    certificate: CertificateSettings = CertificateSettings()
    verify: Literal["warn", "strict", "off"] = "warn"
    """Whether the registry is asked before a credential is published."""
    verify_ca: _Text | None = None
    """A PEM file with the CAs that the registry's certificate is verified with, instead of the system's."""
    verify_plain_http: Literal["never", "loopback"] = "never"
    """Whether the credential is checked without TLS with a registry on a loopback address."""
    on_error: Literal["allow", "deny"] = "allow"
    """What happens to a Pod that cannot be examined."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged, unless the command line sets one."""


class Configuration(Struct, frozen=True):
    """The whole configuration, every prefix in it normalised."""

    registry: RegistrySettings = RegistrySettings()
    webhook: WebhookSettings = WebhookSettings()
    installation: InstallationNames = InstallationNames()
    """Not a key of the file: the environment of the process sets it."""

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
        """The first 12 hexadecimal digits of the SHA-256 of all that decides, as JSON with sorted keys.

        Processes, commands and generated policies report it, to show whether they use the same configuration. What is
        written in another way and means the same, such as a default that is written out, has the same one; the order
        of lists counts.
        """
        webhook = msgspec.to_builtins(self.webhook)
        deciding = {"server": self.registry.server, **{key: webhook[key] for key in _DECIDING}}
        return sha256(msgspec.json.encode(deciding, order="sorted")).hexdigest()[:_DIGEST_DIGITS]


#: 48 bits: enough to tell the configurations of a cluster apart.
_DIGEST_DIGITS = 12
#: What decides on Pods and namespaces, besides the server. No credential is among it, not even hashed: a guess could be
#: tried on it.
_DECIDING = ("rules", "exclude", "namespaces", "pod_opt_out", "pull_secret", "on_error")

#: The path of each part of the configuration in the file.
ROOTS = {"opencti.daemon.registry": RegistrySettings, "webhook": WebhookSettings}

#: Other spellings of a root, for users who do not come from OpenCTI.
ALIASES = {"registry": "opencti.daemon.registry"}

#: The keys whose value is masked.
MASKED_KEYS = frozenset({"opencti.daemon.registry.password", "registry.password"})

#: The keys whose value is in no message: a user name may be wrong because the password was written behind it.
SECRET_KEYS = MASKED_KEYS | {"opencti.daemon.registry.username", "registry.username"}
