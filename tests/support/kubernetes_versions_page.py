"""Generates docs/reference/kubernetes-versions.md: what works with which version of Kubernetes."""

from webhook.kubernetes_version import OLDEST, POLICY_GUARD, POLICY_MUTATE

from .markdown import table

#: The versions that `.ci/run` tests on: the oldest supported one, one in between, and the newest.
TESTED = (str(OLDEST), "1.34", "1.37")
#: The first version of what the cluster does by itself, which is not in the code.
_MATCH_LABEL_KEYS, _IMAGE_VOLUMES, _CAUSE_IN_STATUS = "1.31", "1.31", "1.32"
#: It contains kustomize 5.4, and 1.30 a build of 5.0: https://github.com/kubernetes-sigs/kustomize/pull/5170
_LABELS_OF_GENERATED = "1.31"

_HEAD = f"""\
# Kubernetes versions
registry-webhook supports Kubernetes {OLDEST} or newer. `kubectl version` prints the version of the API server. Each
change is tested on {", ".join(TESTED[:-1])} and {TESTED[-1]}: installation with kustomize and Helm, rewriting, a
changed password, a new certificate and removal. All other tests on a cluster run on {TESTED[-1]}.

This page is generated from the code.

"""

_OLDER = f"""
## On an older cluster
`policy guard` and `policy mutate` do not generate a policy that the cluster would reject. With `--from-cluster` they
read the cluster's version. Otherwise, name it:

```console
$ registry-webhook policy guard --kubernetes-version {OLDEST}
error: policy guard requires Kubernetes {POLICY_GUARD} or newer, not {OLDEST} (--kubernetes-version)
hint: use the component fail-closed, with which no Pod is created while the webhook does not answer
```

The Helm chart refuses the values `policies.guard` and `policies.mutate` in the same way. If you apply a policy that was
generated without a version, the API server rejects it:

| Policy | Response of an older API server |
| --- | --- |
| `policy guard` | `undeclared reference to 'transformList'`. Only the binding is created, which has no effect. |
| `policy mutate` | `no matches for kind "MutatingAdmissionPolicy" in version "admissionregistration.k8s.io/v1"` |

`doctor` reports `RW-KUBERNETES-TOO-OLD` on a cluster that is older than {OLDEST}, and with `RW-POLICY-MISSING` that the
component `policy-alone` switched the webhook off on a cluster that is too old for the policy.
"""


def page() -> str:
    """Return the page."""
    return _HEAD + table(("Feature", "Kubernetes", "With an older version"), _features()) + _OLDER


def _features() -> list[tuple[str, str, str]]:
    return [
        ("webhook, pull secrets, certificates, all components but the ones below", f"{OLDEST} or newer",
         "not supported: the policies that limit the refresher's ServiceAccount do not exist"),
        ("replicas spread over zones without counting Pods of the previous version", f"{_MATCH_LABEL_KEYS} or newer",
         "Pods of both versions are counted during a rollout"),
        ("recommended labels on the ConfigMap of `monitoring` and the Secret of the component `credential`",
         f"kubectl {_LABELS_OF_GENERATED} or newer (kustomize 5.1), with any cluster",
         "they have `app.kubernetes.io/name` only: kustomize ran components, which set the others, before generators"),
        ("images of image volumes", f"{_IMAGE_VOLUMES} or newer, if the cluster has the feature gate `ImageVolume` on",
         "Pods have no image volumes"),
        ("`explain` shows the cause of a failed pull from the Pod's status", f"{_CAUSE_IN_STATUS} or newer",
         "during back-off the cause is taken from Events, which the cluster keeps for an hour by default"),
        ("`policy guard`, component `policy-guard`", f"{POLICY_GUARD} or newer",
         "the command refuses; use `fail-closed`"),
        ("`policy mutate`, components `policy-mutate` and `policy-alone`", f"{POLICY_MUTATE} or newer",
         "the command refuses; use the webhook"),
    ]  # fmt: skip
