"""The settings: every key with its type, limits, default and description, and the configuration as one frozen value.

A key is declared once, as a field. Its type, `Meta(description=...)` and default are all that the loader, the error
messages, the output of `config` and docs/reference/configuration.md know about it. They read them from
`webhook.config.schema.table()`; a description is one or two sentences with units. Keys of the file take effect without
a restart, environment variables are read at the start.

The keys under `opencti.daemon.registry` are XTM Composer's registry settings and keep their names and defaults. Those
under `webhook` are this program's own.
"""

from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct

from webhook.constants import PULL_SECRET, InstallationNames

_String = Annotated[str, Meta(max_length=4096)]
_Strings = Annotated[tuple[_String, ...], Meta(max_length=10_000)]


class RegistrySettings(Struct, frozen=True):
    """`opencti.daemon.registry`, or `registry`: the private registry and the credential for it."""

    server: Annotated[
        _String | None,
        Meta(
            description="Host of the private registry, with an optional port and path. It is written in front of image "
            "names that specify no registry. Without it, only rules rewrite images."
        ),
    ] = None
    username: Annotated[_String | None, Meta(description="Username for the registry. It must not contain a colon.")] = (
        None
    )
    password: Annotated[
        _String | None,
        Meta(description="Password for the registry. Use `webhook.credential.file` to read it from a mounted Secret."),
    ] = None
    email: Annotated[
        _String | None, Meta(description="Email address for the registry, copied into the pull secret.")
    ] = None
    token_ttl: Annotated[
        int,
        Meta(
            ge=10,
            le=2_592_000,
            description="Seconds after which the credential is read, checked and published again at the latest.",
        ),
    ] = 1800
    retry_attempts: Annotated[
        int, Meta(ge=1, le=100, description="Number of quick attempts, including the first, before backing off.")
    ] = 3
    retry_delay: Annotated[int, Meta(ge=0, le=3600, description="Seconds between these quick attempts.")] = 5


class RuleSettings(Struct, frozen=True, rename={"source": "from", "target": "to"}, forbid_unknown_fields=True):
    """An item of `webhook.rules`: every name below `source` becomes the same name below `target`."""

    source: Annotated[
        _String, Meta(description="Registry with an optional path. The rule applies to this name and all below it.")
    ]
    """Normalized and in canonical form, because it is only compared."""
    target: Annotated[_String, Meta(description="Registry with an optional path, written instead of `from`.")]
    """A normalized prefix, written into images in this spelling."""

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class NamespaceSettings(Struct, frozen=True):
    """`webhook.namespaces`: which namespaces may be selected."""

    mode: Annotated[
        Literal["labelled", "all"],
        Meta(
            description='`labelled` selects namespaces with the label `registry-webhook/enabled: "true"`. `all` '
            'selects those without the label `registry-webhook/enabled: "false"`, and needs the component '
            "`cluster-wide` or the Helm value `clusterWide.enabled`."
        ),
    ] = "labelled"
    allow: Annotated[
        _Strings | None,
        Meta(description="Names of namespaces, or patterns with `*`. If set, no other namespace is selected."),
    ] = None
    deny: Annotated[
        _Strings,
        Meta(description="Names of namespaces, or patterns with `*`, that are never selected. Wins over `allow`."),
    ] = ()


class PullSecretSettings(Struct, frozen=True):
    """`webhook.pull_secret`: the Secret that Pods name in `imagePullSecrets`."""

    name: Annotated[
        _String,
        Meta(
            description="Name of the pull secret in each selected namespace. Another name must also be set in the "
            "refresher's permissions."
        ),
    ] = PULL_SECRET
    enabled: Annotated[
        bool,
        Meta(description="Whether the pull secret is created, and added to Pods with an image on a private registry."),
    ] = True
    registries: Annotated[
        _Strings,
        Meta(
            description="Further registries, with an optional path, whose images get the pull secret. The server and "
            "the targets of rules always do."
        ),
    ] = ()
    linger: Annotated[
        int,
        Meta(
            ge=0,
            le=2_592_000,
            description="Grace period in seconds: how long the pull secret is still updated in a namespace that is no "
            "longer selected, before it is deleted.",
        ),
    ] = 86_400

    @property
    def appended_name(self) -> str | None:
        """The name that is added to a Pod's `imagePullSecrets`; None if `enabled` is false."""
        return self.name if self.enabled else None


class CredentialSettings(Struct, frozen=True):
    """`webhook.credential`: a provider to use instead of the static credential.

    At most one of `file`, `docker_config` and `helper` is set.
    """

    file: Annotated[_String | None, Meta(description="File that contains the password.")] = None
    username_file: Annotated[
        _String | None,
        Meta(
            description="File that contains the username, instead of `username`. The password comes from `file` or "
            "`password`."
        ),
    ] = None
    docker_config: Annotated[_String | None, Meta(description="Docker `config.json` with the credential.")] = None
    helper: Annotated[
        _String | None,
        Meta(description="Docker credential helper: the part of the program's name after `docker-credential-`."),
    ] = None
    helper_life: Annotated[
        Annotated[int, Meta(ge=10, le=2_592_000)] | None,
        Meta(
            description="Seconds for which a helper's credential is valid if the helper reports no expiry. Without it, "
            "such a helper is run again within two minutes."
        ),
    ] = None
    helper_timeout: Annotated[
        int, Meta(ge=1, le=300, description="Seconds after which a run of the helper is aborted.")
    ] = 30


class CertificateSettings(Struct, frozen=True):
    """`webhook.certificate`: the serving certificate, if the refresher maintains it."""

    life: Annotated[
        int,
        Meta(
            ge=60,
            le=31_536_000,
            description="Seconds for which a serving certificate is valid. It is renewed after two thirds of them.",
        ),
    ] = 7_776_000
    authority_life: Annotated[
        int,
        Meta(
            ge=60,
            le=315_360_000,
            description="Seconds for which the CA is valid. It is replaced after two thirds of this time.",
        ),
    ] = 157_680_000
    overlap: Annotated[
        int,
        Meta(
            ge=1,
            le=86_400,
            description="Seconds that API servers have to load a new CA before a certificate signed by it is served.",
        ),
    ] = 120


class WebhookSettings(Struct, frozen=True):
    """`webhook`: this program's own settings."""

    rules: Annotated[
        tuple[RuleSettings, ...],
        Meta(
            max_length=10_000,
            description="Rewrite rules with the keys `from` and `to`, each a registry with an optional path. Names "
            "below `from` become the same names below `to`. The longest `from` applies.",
        ),
    ] = ()
    exclude: Annotated[
        _Strings,
        Meta(
            description="Patterns of image names, with their registry and without tag and digest, that are not "
            "rewritten. `*` matches within a path component, `**` across components."
        ),
    ] = ()
    namespaces: NamespaceSettings = NamespaceSettings()
    pod_opt_out: Annotated[
        Literal["allow", "ignore"],
        Meta(
            description='`allow` leaves a Pod with the label `registry-webhook/enabled: "false"` unchanged, `ignore` '
            "ignores the label."
        ),
    ] = "allow"
    pull_secret: PullSecretSettings = PullSecretSettings()
    credential: CredentialSettings = CredentialSettings()
    certificate: CertificateSettings = CertificateSettings()
    verify: Annotated[
        Literal["off", "warn", "strict"],
        Meta(
            description="Whether a credential is checked with the registry before it is published. `strict` publishes "
            "only what the registry accepts. `warn` also publishes a credential that could not be checked, and a "
            "refused one only where no pull secret exists yet."
        ),
    ] = "warn"
    verify_ca: Annotated[
        _String | None,
        Meta(
            description="PEM file of the CAs that the registry's certificate is verified with, instead of the system's."
        ),
    ] = None
    verify_plain_http: Annotated[
        Literal["never", "loopback"],
        Meta(
            description="Whether a credential may be checked without TLS. `loopback` allows it for a registry on a "
            "loopback address."
        ),
    ] = "never"
    on_error: Annotated[
        Literal["allow", "deny"],
        Meta(description="Whether a Pod that cannot be examined is admitted unchanged or denied."),
    ] = "allow"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Lowest level that is logged. The option `--log-level` overrides it."),
    ] = "info"


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
        from hashlib import sha256  # noqa: PLC0415 - it loads OpenSSL, which most commands do not need

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
