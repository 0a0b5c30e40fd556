"""Review bodies for benchmarks: what an API server sends for small, usual and large Pods."""

import hashlib
import json
from typing import Any

from webhook.admission import review
from webhook.constants import ORIGINALS_ANNOTATION

SERVER = "registry.example.com"
SECRET = "registry-webhook-pull"  # noqa: S105 - its name

#: More bodies than any cache has decisions or images of, so that one that is sent again is new again.
UNCACHEABLE = 3_000

#: Images as people write them: what a cluster runs is a few hundred of them at most, again and again.
_IMAGES = (
    "nginx:1.29",
    "opencti/connector-example:1.0.0",
    "redis:8-alpine",
    "team/api@sha256:" + "5f" * 32,
    "team/api:2026.11.24",
    "envoyproxy/envoy:v1.36.0",
    "postgres:17",
    "team/jobs/nightly:7",
    "busybox",
    "fluent/fluent-bit:4.1",
    "rabbitmq:4-management",
    "team/web/front-end:main-3f2c1ab",
)


def small(number: int) -> bytes:
    """One container and little else, as `kubectl run` makes it."""
    pod = _pod(number, ["app"], volumes=0)
    del pod["metadata"]["annotations"], pod["metadata"]["ownerReferences"]
    return _review(number, pod)


def usual(number: int) -> bytes:
    """Three containers, as a Deployment's ReplicaSet makes them: 5 KB."""
    return _review(number, _pod(number, ["app", "proxy", "logs"]))


def known(number: int) -> bytes:
    """A usual one of a new workload: other containers of images that are known, so that no decision on it is cached."""
    pod = _pod(number, [f"{name}-{number}" for name in ("app", "proxy", "logs")])
    for at, container in enumerate(pod["spec"]["containers"]):
        container["image"] = _IMAGES[number // len(_IMAGES) ** at % len(_IMAGES)]
    return _review(number, pod)


def unseen(number: int) -> bytes:
    """A usual one whose images no other names: no cache can know them."""
    pod = _pod(number, ["app", "proxy", "logs"])
    for container in pod["spec"]["containers"]:
        digest = hashlib.sha256(f"{number}/{container['name']}".encode()).hexdigest()
        container["image"] = f"team/{digest[:8]}/{container['name']}:{digest[8:16]}"
    return _review(number, pod)


def big(number: int) -> bytes:
    """A usual one with annotations and managed fields of 300 KB, none of which is read."""
    pod = _pod(number, ["app", "proxy", "logs"])
    filling = "".join(hashlib.sha256(f"{number}/{part}".encode()).hexdigest() for part in range(1_000))
    for part in range(3):
        manifest = json.dumps({"apiVersion": "v1", "kind": "Pod", "note": filling})
        pod["metadata"]["annotations"][f"example.com/last-applied-{part}"] = manifest
    fields: dict[str, Any] = {
        f"f:field-{at}": {".": {}, "f:value": {}, f'k:{{"name":"entry-{at}"}}': {}} for at in range(1_300)
    }
    pod["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:more"] = fields
    return _review(number, pod)


def nothing(number: int) -> bytes:
    """A usual one that was rewritten before: nothing is left to do."""
    pod = _rewritten(_pod(number, ["app", "proxy", "logs"]))
    return _review(number, pod)


def update(number: int) -> bytes:
    """An UPDATE of a rewritten Pod, with the old object: somebody set another image."""
    old = _rewritten(_pod(number, ["app", "proxy", "logs"]))
    new = json.loads(json.dumps(old))
    new["spec"]["containers"][0]["image"] = _IMAGES[(number + 5) % len(_IMAGES)]
    new["metadata"]["annotations"].pop(ORIGINALS_ANNOTATION)
    old["metadata"]["annotations"].pop(ORIGINALS_ANNOTATION)
    return _review(number, new, "UPDATE", oldObject=old)


def containers(number: int, count: int) -> bytes:
    """A Pod of so many containers."""
    return _review(number, _pod(number, [f"c{at}" for at in range(count)], bare=True))


def _review(number: int, pod: dict[str, Any], operation: str = "CREATE", **request: Any) -> bytes:
    fields = {
        "uid": f"{number:08x}-5d0f-4c0e-9a2f-1f2e3d4c5b6a",
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "uid": "2b1a6c1e-8f64-4b52-9a55-f1f9c36f5d0a",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=cf0a6d0c-31d1-4d2a-a50f-0b9d5d2e7a11"]},
        },
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        "dryRun": False,
        **request,
    }
    return review.encode_review(pod, operation, **fields)


def _pod(number: int, names: list[str], *, volumes: int = 2, bare: bool = False) -> dict[str, Any]:
    # API servers add it to each Pod, with a random name, before they call webhooks.
    token = f"kube-api-access-{hashlib.sha256(str(number).encode()).hexdigest()[:5]}"
    mount = {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"front-6c9f7d8b5c-{number:05d}",
            "generateName": "front-6c9f7d8b5c-",
            "namespace": "team-a",
            "uid": f"{number:08x}-77aa-4f7e-8a1e-0123456789ab",
            "creationTimestamp": "2026-11-24T08:15:30Z",
            "labels": {"app": "front", "pod-template-hash": "6c9f7d8b5c", "app.kubernetes.io/part-of": "shop"},
            "annotations": {
                "prometheus.io/scrape": "true",
                "kubectl.kubernetes.io/restartedAt": "2026-11-24T08:00:00Z",
            },
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "front-6c9f7d8b5c",
                    "uid": "b3c1f0de-1111-4222-8333-444455556666",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            "managedFields": [
                {
                    "manager": "kube-controller-manager",
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": "2026-11-24T08:15:30Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {}}},
                }
            ],
        },
        "spec": {
            "volumes": [
                {
                    "name": token,
                    "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
                },
                *({"name": f"scratch-{at}", "emptyDir": {"sizeLimit": "1Gi"}} for at in range(volumes)),
            ],
            "containers": [_container(number + at, name, mount, bare) for at, name in enumerate(names)],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {
                    "key": f"node.kubernetes.io/{what}",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
                for what in ("not-ready", "unreachable")
            ],
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    }


def _container(at: int, name: str, mount: dict[str, Any], bare: bool) -> dict[str, Any]:
    container = {"name": name, "image": _IMAGES[at % len(_IMAGES)]}
    if bare:
        return container
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10}
    return {
        **container,
        "args": ["--listen=:8080", "--log-format=json"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            *({"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(5)),
        ],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [mount, {"name": "scratch-0", "mountPath": "/tmp"}],  # noqa: S108 - in a container
        "livenessProbe": {**probe, "failureThreshold": 3, "successThreshold": 1},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _rewritten(pod: dict[str, Any]) -> dict[str, Any]:
    originals: dict[str, str] = {}
    for container in pod["spec"]["containers"]:
        originals[container["name"]] = container["image"]
        container["image"] = f"{SERVER}/{container['image']}"
    pod["metadata"]["annotations"][ORIGINALS_ANNOTATION] = json.dumps(originals)
    pod["spec"]["imagePullSecrets"] = [{"name": SECRET}]
    return pod
