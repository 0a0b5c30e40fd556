"""The names that this system and a cluster agree on: labels, annotations, namespaces, the webhook.

They are the contract's and no setting changes them.
"""

PROGRAM = "registry-webhook"

#: The namespace that the webhook itself runs in. It is never served: a Pod that serves must not depend on itself.
OWN_NAMESPACE = "registry-webhook"

#: Namespaces of Kubernetes itself, never served.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})

#: On a namespace, "true" opts it in. On a Pod, "false" opts that Pod out.
ENABLED_LABEL = "registry-webhook/enabled"

#: On a rewritten Pod: a JSON object from container or volume name to the image as it was written.
ORIGINALS_ANNOTATION = "registry-webhook/original-images"

#: On a mirror Pod, the kubelet's copy of a static one; its presence is enough.
#: https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
