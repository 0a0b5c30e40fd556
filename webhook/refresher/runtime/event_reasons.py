"""Reasons of the Events that the refresher creates. They are an interface: alerts and scripts compare them.

A reason keeps its meaning; notes change without notice. docs/reference/events-and-logs.md has them all.
"""

from enum import StrEnum
from typing import Literal, Self

#: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
Kind = Literal["Normal", "Warning"]


class EventReason(StrEnum):
    """An Event's reason, with its type and meaning.

    Events about a pull secret are in its namespace and regard the Secret. All others are in the installation's
    namespace and regard the Lease.
    """

    kind: Kind
    meaning: str

    def __new__(cls, value: str, kind: Kind, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.kind = kind
        member.meaning = meaning
        return member

    CONFIGURATION_INVALID = (
        "ConfigurationInvalid",
        "Warning",
        "The configuration file is invalid. The previous configuration is used until the file is fixed.",
    )
    PROVIDER_FAILED = (
        "ProviderFailed",
        "Warning",
        "No usable credential from the provider for at least one registry. The published credential is kept.",
    )
    CREDENTIAL_REFUSED = (
        "CredentialRefused",
        "Warning",
        "The registry refused the credential. A published credential is not replaced by it.",
    )
    REGISTRY_UNCLEAR = (
        "RegistryUnclear",
        "Warning",
        "The registry did not answer, or its response did not show whether it accepts the credential.",
    )
    CLUSTER_UNREACHABLE = (
        "ClusterUnreachable",
        "Warning",
        "The API server does not respond. This is only logged, because no Event can be created.",
    )
    FOREIGN_SECRET = (
        "ForeignSecret",
        "Warning",
        "The namespace has a Secret with the pull secret's name that must not be changed.",
    )
    PULL_SECRET_FAILED = (
        "PullSecretFailed",
        "Warning",
        "The pull secret could not be written three times in a row. It is retried.",
    )
    PULL_SECRET_CONTENDED = (
        "PullSecretContended",
        "Warning",
        "Another client keeps changing or deleting the pull secret. Repairs are delayed by up to five minutes.",
    )
    PULL_SECRET_REMOVAL_SCHEDULED = (
        "PullSecretRemovalScheduled",
        "Normal",
        "The namespace is no longer selected. The pull secret is deleted at the end of the grace period.",
    )
    PULL_SECRET_REMOVED = (
        "PullSecretRemoved",
        "Normal",
        "The pull secret was deleted, because its namespace is not selected.",
    )
    PULL_SECRET_REPLACED = (
        "PullSecretReplaced",
        "Normal",
        "The pull secret could not be updated in place. It was deleted and is created again.",
    )
    CERTIFICATE_FAILED = (
        "CertificateFailed",
        "Warning",
        "The certificate or the webhook configuration could not be updated. It is retried.",
    )
    CERTIFICATE_BROKEN = (
        "CertificateBroken",
        "Warning",
        "The certificate's Secret has no usable content. It is replaced.",
    )
    WEBHOOK_CONFIGURATION_CONTENDED = (
        "WebhookConfigurationContended",
        "Warning",
        "Another client keeps changing caBundle or the owner. Repairs are delayed by up to five minutes.",
    )
