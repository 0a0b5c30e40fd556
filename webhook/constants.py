"""The names that this system and a cluster agree on: labels, annotations, namespaces, the webhook.

They are the contract's and no setting changes them, but for those of the installation's own objects.
"""

from collections.abc import Mapping

from msgspec import Struct

PROGRAM = "registry-webhook"

#: The namespace that the webhook itself runs in, as the manifests have it.
DEFAULT_NAMESPACE = "registry-webhook"

#: Namespaces of Kubernetes itself, never served.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})

#: The pull secret, where webhook.pull_secret.name does not name another.
PULL_SECRET = "registry-webhook-pull"  # noqa: S105 - its name

#: On a namespace, "true" opts it in. On a Pod, "false" opts that Pod out.
ENABLED_LABEL = "registry-webhook/enabled"

#: On a rewritten Pod: a JSON object from container or volume name to the image as it was written.
ORIGINALS_ANNOTATION = "registry-webhook/original-images"

#: On a mirror Pod, the kubelet's copy of a static one; its presence is enough.
#: https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

#: The field manager under which the pull secret is applied, and the name of the Lease that says which replica writes.
#: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
REFRESHER = "registry-webhook-refresher"

#: On the pull secret: that it is ours.
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"

#: On the pull secret: when its content was last changed, when that expires if its source told, and since when its
#: namespace has not been served. Nothing there is derived from the credential: who may read metadata could guess it.
REFRESHED_ANNOTATION = "registry-webhook/refreshed-at"
EXPIRES_ANNOTATION = "registry-webhook/expires-at"
UNSERVED_ANNOTATION = "registry-webhook/unserved-since"

#: On the Lease: the POSIX times of the last logins that a registry refused.
REFUSED_ANNOTATION = "registry-webhook/refused-logins"

#: The Secret in which the sidecar keeps the certificate that the webhook serves, and the field manager under which that
#: and the webhook configuration's caBundle and owner are applied.
CERTIFICATE = "registry-webhook-certificate"

#: On that Secret: since when the API servers have been told of its newest authority, and for each replica which
#: certificate it serves.
TRUSTED_ANNOTATION = "registry-webhook/trusted-since"
#: "true": the authority is to be changed as soon as it can be. The sidecar sets it where somebody deleted the Secret
#: while that could not be, and whoever wants a change may set it.
REQUESTED_ANNOTATION = "registry-webhook/rotation-requested"
REPLICA_ANNOTATIONS = "replica.registry-webhook/"

#: The generated admission policies, each with a binding of the same name, and what says of which configuration they
#: were made: `config.fingerprint` of it.
MUTATE_POLICY = "registry-webhook-mutate"
GUARD_POLICY = "registry-webhook-guard"
CONFIGURATION_HASH_ANNOTATION = "registry-webhook/configuration-hash"
#: On a generated policy: options of `policy guard` that it was made with, absent where all are the defaults.
POLICY_OPTIONS_ANNOTATION = "registry-webhook/policy-options"

#: The webhook's name in its MutatingWebhookConfiguration.
WEBHOOK_NAME = "pods.registry-webhook.internal"

#: On the template of our Pods: what the Service and the MutatingWebhookConfiguration are called.
SERVICE_ANNOTATION = "registry-webhook/service"
CONFIGURATION_ANNOTATION = "registry-webhook/configuration"

#: What tells a process where it is and what is called, set in the Deployment from the Pod itself.
NAMESPACE_VARIABLE = "REGISTRY_WEBHOOK_NAMESPACE"
SERVICE_VARIABLE = "REGISTRY_WEBHOOK_SERVICE"
CONFIGURATION_VARIABLE = "REGISTRY_WEBHOOK_CONFIGURATION"


class InstallationNames(Struct, frozen=True):
    """Where an installation is, and what its objects are called: by default as the manifests have it."""

    namespace: str = DEFAULT_NAMESPACE
    """It is never served: a Pod that serves must not depend on itself."""
    service: str = PROGRAM
    configuration: str = PROGRAM
    """The MutatingWebhookConfiguration."""
    deployment: str = PROGRAM
    config_map: str = PROGRAM
    service_account: str = PROGRAM
    """The ServiceAccount."""

    def renamed(self, name: str) -> str:
        """Give what another object of the manifests is called, where all of them got a prefix or suffix."""
        before, program, after = self.configuration.partition(PROGRAM)
        return f"{before}{name}{after}" if program else name

    @property
    def hosts(self) -> tuple[str, str]:
        """Give the names by which the API server calls the webhook.

        https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference
        """
        host = f"{self.service}.{self.namespace}.svc"
        return host, f"{host}.cluster.local"


def installation_names(environment: Mapping[str, str]) -> InstallationNames:
    """Give the names that a process is told by its environment; a variable that is empty counts as not set."""
    return InstallationNames(
        namespace=environment.get(NAMESPACE_VARIABLE) or DEFAULT_NAMESPACE,
        service=environment.get(SERVICE_VARIABLE) or PROGRAM,
        configuration=environment.get(CONFIGURATION_VARIABLE) or PROGRAM,
    )
