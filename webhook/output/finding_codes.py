"""Codes of the findings of `doctor` and `explain`. They are an interface: scripts and alerts compare them.

A code keeps its meaning; messages change without notice. docs/reference/findings.md is generated from this module.
"""

from enum import StrEnum
from typing import Self

from webhook.constants import DOCS


class Code(StrEnum):
    """A finding's code, with its meaning."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    @property
    def url(self) -> str:
        """The URL of its documentation."""
        return f"{DOCS}/reference/findings.md#{self.lower()}"

    INSTALL_MISSING = "RW-INSTALL-MISSING", "registry-webhook is not installed."

    KUBERNETES_TOO_OLD = "RW-KUBERNETES-TOO-OLD", "The cluster's version of Kubernetes is not supported."

    CONFIG_OK = "RW-CONFIG-OK", "The configuration is valid."
    CONFIG_UNKNOWN = "RW-CONFIG-UNKNOWN", "The configuration could not be read."
    CONFIG_INVALID = "RW-CONFIG-INVALID", "The configuration is invalid. There is one finding for each error."
    CONFIG_NO_REGISTRY = "RW-CONFIG-NO-REGISTRY", "No registry is configured, so nothing is rewritten."
    CONFIG_SAME = "RW-CONFIG-SAME", "All processes use the same configuration."
    CONFIG_VARIABLES = "RW-CONFIG-VARIABLES", "The two containers have different environment variables."
    CONFIG_OUTDATED = "RW-CONFIG-OUTDATED", "A process does not use the current configuration yet."
    CONFIG_DIFFERS = "RW-CONFIG-DIFFERS", "Processes use different configurations."

    POLICY_OK = "RW-POLICY-OK", "The generated admission policies are current."
    POLICY_UNKNOWN = "RW-POLICY-UNKNOWN", "Admission policies could not be read."
    POLICY_OUTDATED = "RW-POLICY-OUTDATED", "A generated admission policy was generated from another configuration."
    POLICY_ORPHANED = "RW-POLICY-ORPHANED", "A generated admission policy is active without an installation."
    POLICY_HIDDEN = "RW-POLICY-HIDDEN", "The API shows no webhook and no policy, but a dry run is rewritten."
    POLICY_INSTEAD = "RW-POLICY-INSTEAD", "A MutatingAdmissionPolicy rewrites Pods instead of the webhook."
    POLICY_MISSING = "RW-POLICY-MISSING", "The webhook is switched off in favor of a policy that does not exist."

    WEBHOOK_OK = "RW-WEBHOOK-OK", "The webhook configuration is as in the manifests."
    WEBHOOK_UNKNOWN = "RW-WEBHOOK-UNKNOWN", "The webhook configuration could not be read."
    WEBHOOK_MISSING = "RW-WEBHOOK-MISSING", "The webhook configuration does not exist."
    WEBHOOK_RULES = (
        "RW-WEBHOOK-RULES",
        "The webhook configuration's rules do not cover a necessary request.",
    )
    WEBHOOK_SIDE_EFFECTS = "RW-WEBHOOK-SIDE-EFFECTS", "`sideEffects` makes the API server refuse dry runs."
    WEBHOOK_TIMEOUT = "RW-WEBHOOK-TIMEOUT", "`timeoutSeconds` differs from the shipped value."
    WEBHOOK_REINVOCATION = "RW-WEBHOOK-REINVOCATION", "`reinvocationPolicy` differs from the shipped value."
    WEBHOOK_MATCH_POLICY = "RW-WEBHOOK-MATCH-POLICY", "`matchPolicy` differs from the shipped value."
    WEBHOOK_CONDITION_MISSING = "RW-WEBHOOK-CONDITION-MISSING", "A shipped match condition is missing."
    WEBHOOK_CONDITION_FOREIGN = "RW-WEBHOOK-CONDITION-FOREIGN", "A match condition is not one of the shipped ones."
    WEBHOOK_NEVER_CALLED = "RW-WEBHOOK-NEVER-CALLED", "A match condition prevents every call of the webhook."
    WEBHOOK_CONDITION_OK = "RW-WEBHOOK-CONDITION-OK", "A match condition allows the call of the webhook."
    WEBHOOK_URL = "RW-WEBHOOK-URL", "The webhook is called by URL and not through its Service."
    WEBHOOK_SERVICE = "RW-WEBHOOK-SERVICE", "The webhook configuration names another Service or path."

    SELECT_OK = "RW-SELECT-OK", "The webhook is called for the namespaces that the configuration selects."
    SELECT_UNKNOWN = "RW-SELECT-UNKNOWN", "Namespaces could not be read."
    SELECT_MODE = "RW-SELECT-MODE", "The namespace selector contradicts `webhook.namespaces.mode`."
    SELECT_SYSTEM = "RW-SELECT-SYSTEM", "System namespaces or the installation's own namespace are selected."
    SELECT_OPT_OUT = "RW-SELECT-OPT-OUT", "Pods can opt out although `webhook.pod_opt_out` is `ignore`."
    SELECT_PODS = "RW-SELECT-PODS", "The object selector excludes Pods without a label."
    SELECT_NAMESPACES = "RW-SELECT-NAMESPACES", "The webhook is not called for a selected namespace."
    SELECT_OVERLAP = "RW-SELECT-OVERLAP", "Another installation selects the same namespaces."

    DEPLOY_OK = "RW-DEPLOY-OK", "The Deployment is available and rolled out."
    DEPLOY_UNKNOWN = "RW-DEPLOY-UNKNOWN", "The Deployment could not be read."
    DEPLOY_MISSING = "RW-DEPLOY-MISSING", "The Deployment does not exist."
    DEPLOY_SCALED_DOWN = "RW-DEPLOY-SCALED-DOWN", "The Deployment is scaled to 0."
    DEPLOY_UNAVAILABLE = "RW-DEPLOY-UNAVAILABLE", "No replica is available."
    DEPLOY_ROLLOUT = "RW-DEPLOY-ROLLOUT", "The rollout is not complete."

    VERSION_OK = "RW-VERSION-OK", "The versions of the command and all processes work together."
    VERSION_SKEW = "RW-VERSION-SKEW", "Two versions are more than one minor version apart."

    ENDPOINTS_OK = "RW-ENDPOINTS-OK", "The Service has ready endpoints."
    ENDPOINTS_UNKNOWN = "RW-ENDPOINTS-UNKNOWN", "The endpoints or the processes behind them could not be read."
    ENDPOINTS_NONE = "RW-ENDPOINTS-NONE", "The Service has no ready endpoint."

    LEASE_OK = "RW-LEASE-OK", "One replica holds the Lease."
    LEASE_UNKNOWN = "RW-LEASE-UNKNOWN", "The Lease could not be read."
    LEASE_SPLIT = "RW-LEASE-SPLIT", "More than one replica reports that it is the leader."
    LEASE_NONE = "RW-LEASE-NONE", "No replica holds the Lease."
    LEASE_EXPIRED = "RW-LEASE-EXPIRED", "The holder of the Lease has stopped renewing it."

    CABUNDLE_OK = "RW-CABUNDLE-OK", "`caBundle` has the CA that signed the certificate, or a CA that is valid now."
    CABUNDLE_UNKNOWN = "RW-CABUNDLE-UNKNOWN", "The certificate could not be read and compared with `caBundle`."
    CABUNDLE_EMPTY = "RW-CABUNDLE-EMPTY", "`caBundle` is empty."
    CABUNDLE_INVALID = "RW-CABUNDLE-INVALID", "`caBundle` has no readable certificate."
    CABUNDLE_EXPIRED = "RW-CABUNDLE-EXPIRED", "Every CA in `caBundle` has expired."
    CABUNDLE_MISMATCH = "RW-CABUNDLE-MISMATCH", "No CA in `caBundle` signed the certificate."

    CERT_OK = "RW-CERT-OK", "The certificate is valid."
    CERT_MISSING = "RW-CERT-MISSING", "The Secret with the certificate does not exist."
    CERT_INVALID = "RW-CERT-INVALID", "The Secret with the certificate has no readable certificate."
    CERT_NAME = "RW-CERT-NAME", "The certificate is not for the name that the API server calls."
    CERT_EXPIRED = "RW-CERT-EXPIRED", "The certificate has expired."
    CERT_NOT_YET_VALID = "RW-CERT-NOT-YET-VALID", "The certificate is not valid yet."
    CERT_EXPIRING = "RW-CERT-EXPIRING", "The certificate expires soon and was not renewed."
    CERT_SERVED_EXPIRED = "RW-CERT-SERVED-EXPIRED", "A process serves a certificate that has expired."
    CERT_NOT_LOADED = "RW-CERT-NOT-LOADED", "A process could not load its certificate."

    RBAC_OK = "RW-RBAC-OK", "The ServiceAccount has the permissions that it needs and no more."
    RBAC_UNKNOWN = "RW-RBAC-UNKNOWN", "The ServiceAccount's permissions could not be read."
    RBAC_MISSING = "RW-RBAC-MISSING", "The ServiceAccount lacks permissions."
    RBAC_EXCESSIVE = "RW-RBAC-EXCESSIVE", "The ServiceAccount has permissions that it does not need."
    GUARD_OK = "RW-GUARD-OK", "The ValidatingAdmissionPolicies that limit the ServiceAccount are active."
    GUARD_UNKNOWN = "RW-GUARD-UNKNOWN", "ValidatingAdmissionPolicies could not be read."
    GUARD_MISSING = "RW-GUARD-MISSING", "A ValidatingAdmissionPolicy that limits the ServiceAccount is missing."
    GUARD_NOT_BOUND = "RW-GUARD-NOT-BOUND", "A ValidatingAdmissionPolicy that limits the ServiceAccount has no binding."

    CREDENTIAL_OK = "RW-CREDENTIAL-OK", "The credential is published and was not refused."
    CREDENTIAL_UNKNOWN = "RW-CREDENTIAL-UNKNOWN", "No refresher reports the state of the credential."
    CREDENTIAL_DISABLED = "RW-CREDENTIAL-DISABLED", "No pull secret is configured."
    CREDENTIAL_REFUSED = "RW-CREDENTIAL-REFUSED", "The registry refuses the credential."
    CREDENTIAL_EXPIRED = "RW-CREDENTIAL-EXPIRED", "The published credential has expired."
    CREDENTIAL_PROVIDER = "RW-CREDENTIAL-PROVIDER", "The credential provider fails."
    CREDENTIAL_SECRET_MISSING = "RW-CREDENTIAL-SECRET-MISSING", "The Secret with the credential does not exist."
    CREDENTIAL_SECRET_KEYS = "RW-CREDENTIAL-SECRET-KEYS", "The Secret with the credential lacks a key."
    CREDENTIAL_UNTRUSTED = "RW-CREDENTIAL-UNTRUSTED", "The refresher does not trust the registry's certificate."
    CREDENTIAL_UNCHECKED = "RW-CREDENTIAL-UNCHECKED", "The registry could not check the credential."
    CREDENTIAL_UNPUBLISHED = "RW-CREDENTIAL-UNPUBLISHED", "The credential cannot be published."
    CREDENTIAL_NOT_READY = "RW-CREDENTIAL-NOT-READY", "The refresher is not ready."
    CREDENTIAL_NONE = "RW-CREDENTIAL-NONE", "No credential is configured."
    SIDECAR_WARNING = "RW-SIDECAR-WARNING", "The refresher reports another problem."
    SIDECAR_OLDER = "RW-SIDECAR-OLDER", "A replica runs an older version, whose state cannot be read."

    SECRET_OK = "RW-SECRET-OK", "The pull secret exists, is managed by registry-webhook and is current."
    SECRET_UNKNOWN = "RW-SECRET-UNKNOWN", "Pull secrets could not be read."
    SECRET_MISSING = "RW-SECRET-MISSING", "A selected namespace has no pull secret."
    SECRET_FOREIGN = "RW-SECRET-FOREIGN", "A Secret with the pull secret's name is not managed by registry-webhook."
    SECRET_OTHER = "RW-SECRET-OTHER", "The pull secret belongs to another installation."
    SECRET_EXPIRED = "RW-SECRET-EXPIRED", "The credential in a pull secret has expired."
    SECRET_OUTDATED = "RW-SECRET-OUTDATED", "A pull secret differs from those of other namespaces."
    SECRET_MODIFIED = "RW-SECRET-MODIFIED", "The pull secret was changed by another client."
    SECRET_LEAVING = "RW-SECRET-LEAVING", "The namespace is no longer selected, so its pull secret will be deleted."
    SECRET_UNUSABLE = "RW-SECRET-UNUSABLE", "The kubelet cannot use the pull secret's content."
    SECRET_ENTRY = "RW-SECRET-ENTRY", "The pull secret has an entry for the image."
    SECRET_NO_ENTRY = "RW-SECRET-NO-ENTRY", "The pull secret has no entry for the image."

    PULL_OK = "RW-PULL-OK", "No container waits for its image, or the container has its image."
    PULL_UNKNOWN = "RW-PULL-UNKNOWN", "Pods could not be read, or no node reports on the Pod yet."
    PULL_WAITING = "RW-PULL-WAITING", "The container waits for another reason than its image."
    PULL_FAILED = "RW-PULL-FAILED", "An image cannot be pulled, for a cause of no other class."
    PULL_DNS = "RW-PULL-DNS", "A node cannot resolve the registry's host name."
    PULL_UNAVAILABLE = "RW-PULL-UNAVAILABLE", "A node cannot reach the registry, or the registry has an error."
    PULL_PROXY = "RW-PULL-PROXY", "A node's HTTP proxy refuses the connection to the registry or cannot be reached."
    PULL_PLAIN_HTTP = "RW-PULL-PLAIN-HTTP", "The registry does not use TLS, and the node expects HTTPS."
    PULL_UNTRUSTED = "RW-PULL-UNTRUSTED", "A node does not trust the registry's certificate."
    PULL_CERT_EXPIRED = "RW-PULL-CERT-EXPIRED", "The registry's certificate has expired or is not valid yet."
    PULL_CERT_NAME = "RW-PULL-CERT-NAME", "The registry's certificate is for another host name."
    PULL_REFUSED = "RW-PULL-REFUSED", "The registry does not accept the credential of a pull, or there is none (401)."
    PULL_DENIED = "RW-PULL-DENIED", "The registry denies access: the credential may not pull the image (403)."
    PULL_NOT_FOUND = "RW-PULL-NOT-FOUND", "The registry does not have the image."
    PULL_RATE_LIMITED = "RW-PULL-RATE-LIMITED", "The registry limits the rate of pulls (429)."
    PULL_PLATFORM = "RW-PULL-PLATFORM", "The image does not exist for the node's platform."
    PULL_DISK = "RW-PULL-DISK", "The node has no disk space for the image."
    PULL_NEVER = "RW-PULL-NEVER", "The image is not on the node, and the pull policy is Never."
    PULL_NAME = "RW-PULL-NAME", "The image's name is not valid."
    PULL_SIGNATURE = "RW-PULL-SIGNATURE", "The image's signature was not accepted."
    PULL_INSPECT = "RW-PULL-INSPECT", "The node cannot inspect the image that it has."

    DRYRUN_OK = "RW-DRYRUN-OK", "A dry run is rewritten."
    DRYRUN_UNKNOWN = "RW-DRYRUN-UNKNOWN", "There was no dry run, or it failed for another reason."
    DRYRUN_NO_NAMESPACE = "RW-DRYRUN-NO-NAMESPACE", "There was no dry run, because no namespace is selected."
    DRYRUN_UNCHANGED = "RW-DRYRUN-UNCHANGED", "A dry run is not rewritten."
    DRYRUN_NO_SECRET = "RW-DRYRUN-NO-SECRET", "A dry run is rewritten without the pull secret."
    DRYRUN_REFUSED = "RW-DRYRUN-REFUSED", "The API server refuses a dry run."

    NAMESPACE_OK = "RW-NAMESPACE-OK", "The namespace is selected."
    NAMESPACE_UNKNOWN = "RW-NAMESPACE-UNKNOWN", "The namespace could not be read."
    NAMESPACE_NEVER = (
        "RW-NAMESPACE-NEVER",
        "The namespace belongs to Kubernetes or the installation and is never selected.",
    )
    NAMESPACE_DENIED = "RW-NAMESPACE-DENIED", "The configuration denies or does not allow the namespace."
    NAMESPACE_NOT_SELECTED = "RW-NAMESPACE-NOT-SELECTED", "The namespace's labels do not select it."
    NAMESPACE_EXCLUDED = "RW-NAMESPACE-EXCLUDED", "The webhook configuration excludes the namespace by its name."

    POD_OK = "RW-POD-OK", "The Pod is as the configuration defines it, or can be."
    POD_UNKNOWN = "RW-POD-UNKNOWN", "The result for the Pod is not known."
    POD_OPTED_OUT = "RW-POD-OPTED-OUT", "The Pod's label opts it out now."
    POD_MIRROR = "RW-POD-MIRROR", "The Pod is the mirror of a static Pod."
    POD_LABELS = "RW-POD-LABELS", "The webhook configuration does not select the Pod's labels."
    POD_NO_IMAGE = "RW-POD-NO-IMAGE", "The Pod names no image."
    POD_OLDER = "RW-POD-OLDER", "The Pod is older than the webhook, the namespace's labels or the configuration."
    POD_MISSED = "RW-POD-MISSED", "Nothing explains now why the Pod was not changed when it was created."
    POD_SECRET_NAMED = "RW-POD-SECRET-NAMED", "The Pod names the pull secret."
    POD_SECRET_NOT_NAMED = "RW-POD-SECRET-NOT-NAMED", "The Pod does not name the pull secret."

    IMAGE_OK = "RW-IMAGE-OK", "The image is on the private registry."
    IMAGE_UNKNOWN = "RW-IMAGE-UNKNOWN", "It is not known whether the configuration rewrites the image."
    IMAGE_UNCHANGED = "RW-IMAGE-UNCHANGED", "The configuration does not rewrite the image."
    IMAGE_NOT_REWRITTEN = "RW-IMAGE-NOT-REWRITTEN", "The image was not rewritten and now would be."
    IMAGE_RECORD = "RW-IMAGE-RECORD", "The annotation with the original images contradicts the Pod and is ignored."
