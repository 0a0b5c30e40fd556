"""Names of labels, annotations, namespaces and objects in the cluster.

They are fixed, except for the names of the installation's own objects (`InstallationNames`).
"""

from collections.abc import Mapping

from msgspec import Struct

PROGRAM = "registry-webhook"

#: Where the documentation of this version is read. The project has no fixed home yet, see RELEASING.md.
DOCS = "https://github.com/OWNER/REPOSITORY/blob/main/docs"
#: Where a file of the repository is downloaded.
RAW = "https://raw.githubusercontent.com/OWNER/REPOSITORY/main"

#: The namespace that the manifests install the webhook in.
DEFAULT_NAMESPACE = "registry-webhook"

#: Namespaces of Kubernetes itself, which are never selected.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})

#: Default of webhook.pull_secret.name.
PULL_SECRET = "registry-webhook-pull"  # noqa: S105 - its name

#: On a namespace, "true" opts it in. On a Pod, "false" opts that Pod out.
ENABLED_LABEL = "registry-webhook/enabled"

#: On a rewritten Pod: a JSON object that maps container and volume names to images as written.
ORIGINALS_ANNOTATION = "registry-webhook/original-images"

#: Marks a mirror Pod, the kubelet's copy of a static Pod, whatever its value.
#: https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

#: On every namespace, its name. https://kubernetes.io/docs/reference/labels-annotations-taints/
NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"

#: Field manager of the pull secret, and name of the Lease for leader election.
#: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
REFRESHER = "registry-webhook-refresher"

#: On the pull secret: marks it as managed by this program.
#: https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"

#: On the pull secret a label, on a generated policy an annotation: the namespace of the installation that it belongs
#: to. A namespace has at most one installation.
INSTALLATION_LABEL = "registry-webhook/installation"

#: On the pull secret: when its content last changed, when it expires (if known), and since when its namespace has not
#: been selected. Nothing here is derived from the credential, because anyone allowed to read metadata could guess it.
REFRESHED_ANNOTATION = "registry-webhook/refreshed-at"
EXPIRES_ANNOTATION = "registry-webhook/expires-at"
DESELECTED_ANNOTATION = "registry-webhook/deselected-since"

#: On the Lease: POSIX times of the last logins that a registry refused.
REFUSED_ANNOTATION = "registry-webhook/refused-logins"

#: Name of the Secret with the webhook's certificate. Also the field manager of that Secret, and of the webhook
#: configuration's `caBundle` and owner.
CERTIFICATE = "registry-webhook-certificate"

#: On that Secret: since when `caBundle` has included its newest CA.
TRUSTED_ANNOTATION = "registry-webhook/trusted-since"
#: On that Secret: "true" requests rotation of the CA as soon as possible. The refresher sets it if the Secret was
#: deleted while rotation was not possible; a user may set it too.
REQUESTED_ANNOTATION = "registry-webhook/rotation-requested"
#: On that Secret: prefix of an annotation for each replica, with the certificate that it serves.
REPLICA_ANNOTATIONS = "replica.registry-webhook/"

#: The generated admission policies, each with a binding of the same name, and the annotation with the digest of the
#: configuration they were generated from (`Configuration.digest`).
MUTATE_POLICY = "registry-webhook-mutate"
GUARD_POLICY = "registry-webhook-guard"
CONFIGURATION_HASH_ANNOTATION = "registry-webhook/configuration-hash"
#: On a generated policy: the options of `policy guard` that it was generated with; absent if all have their defaults.
POLICY_OPTIONS_ANNOTATION = "registry-webhook/policy-options"

#: The roles of the component `reader`, which let users debug their own namespaces.
READER_ROLE = "registry-webhook-reader"

#: The webhook's name in its MutatingWebhookConfiguration.
WEBHOOK_NAME = "pods.registry-webhook.internal"

#: On the Deployment's Pod template: the names of the Service and of the MutatingWebhookConfiguration.
SERVICE_ANNOTATION = "registry-webhook/service"
CONFIGURATION_ANNOTATION = "registry-webhook/configuration"

#: Environment variables with the installation's names, which the Deployment sets from the Pod's metadata.
NAMESPACE_VARIABLE = "REGISTRY_WEBHOOK_NAMESPACE"
SERVICE_VARIABLE = "REGISTRY_WEBHOOK_SERVICE"
CONFIGURATION_VARIABLE = "REGISTRY_WEBHOOK_CONFIGURATION"
#: Set only where `cleanup` runs in a Pod.
DEPLOYMENT_VARIABLE = "REGISTRY_WEBHOOK_DEPLOYMENT"


class InstallationNames(Struct, frozen=True):
    """The namespace and object names of an installation, with the manifests' names as defaults."""

    namespace: str = DEFAULT_NAMESPACE
    """Never selected, because the webhook's own Pods must not depend on the webhook."""
    service: str = PROGRAM
    configuration: str = PROGRAM
    """The MutatingWebhookConfiguration."""
    deployment: str = PROGRAM
    config_map: str = PROGRAM
    service_account: str = PROGRAM
    helm_release: str = ""
    """The name of the Helm release that the installation is; empty if helm did not install it."""

    def renamed(self, name: str) -> str:
        """Return the name of another object of the manifests, with the prefix and suffix that `configuration` has.

        The Helm chart follows the same rule, and may have any name: with `configuration` foo, registry-webhook-reader
        is foo-reader.
        """
        prefix, program, suffix = self.configuration.partition(PROGRAM)
        return f"{prefix}{name}{suffix}" if program else f"{self.configuration}{name.removeprefix(PROGRAM)}"

    @property
    def hosts(self) -> tuple[str, str]:
        """The DNS names by which the API server calls the webhook.

        https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference
        """
        host = f"{self.service}.{self.namespace}.svc"
        return host, f"{host}.cluster.local"


def installation_names(environment: Mapping[str, str]) -> InstallationNames:
    """Read the names from environment variables; an empty variable counts as not set."""
    return InstallationNames(
        namespace=environment.get(NAMESPACE_VARIABLE) or DEFAULT_NAMESPACE,
        service=environment.get(SERVICE_VARIABLE) or PROGRAM,
        configuration=environment.get(CONFIGURATION_VARIABLE) or PROGRAM,
        deployment=environment.get(DEPLOYMENT_VARIABLE) or PROGRAM,
    )
