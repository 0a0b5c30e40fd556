"""The webhook and the generated policy with one configuration, each in its own namespace."""

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from webhook.admission_policy import mutate
from webhook.admission_policy.model import Generated
from webhook.config.load import load
from webhook.constants import ENABLED_LABEL
from webhook.errors import ClusterError
from webhook.kube.client import APPLY, Client, Request
from webhook.settings import Configuration

from .cluster import Cluster, Manifest, eventually
from .installation import Installation
from .pods import NOWHERE, images

#: On a namespace: which run's policy is in force there.
POLICY_LABEL = "registry-webhook-e2e-policy"
#: Each configuration rewrites this in a way of its own: so it is seen to be in force.
_PROBE = "in-force.example.net"
#: Seconds for a request: a Pod with thousands of volumes takes an API server with other work that long.
_PATIENCE = 60.0
#: What differs between two Pods that were made alike.
_OWN = ("uid", "creationTimestamp", "namespace", "managedFields", "resourceVersion", "generation")


class Wanted(NamedTuple):
    """A configuration by the keys that tests set."""

    server: str | None = "registry.example.com"
    rules: Sequence[tuple[str, str]] = ()
    webhook: Sequence[tuple[str, Any]] = ()
    """Further keys under `webhook`."""

    def written(self, number: int) -> bytes:
        """Write it as a file, which JSON is too, with the rule that tells it from others."""
        rules = [*self.rules, (_PROBE, f"n{number}.example.net")]
        webhook = {"rules": [{"from": source, "to": target} for source, target in rules], **dict(self.webhook)}
        return json.dumps({"opencti": {"daemon": {"registry": {"server": self.server}}}, "webhook": webhook}).encode()

    def loaded(self, number: int = 0) -> Configuration:
        """Load it."""
        return load(self.written(number), "e2e", {}).configuration


class Engines:
    """Both engines, and the namespaces in which they are in force."""

    def __init__(self, installation: Installation, folder: Path, client: Client) -> None:
        """Take the webhook, whose configuration stands in `folder`."""
        self.cluster = installation.cluster
        self._installation = installation
        self._folder = folder
        self._client = client
        self._run = secrets.token_hex(4)
        self.number = 0
        """How many configurations were put in force."""
        self.by_webhook = installation.namespace(labelled=False)
        self.by_policy = self.cluster.make_namespace({POLICY_LABEL: self._run})

    def label(self) -> None:
        """Opt both namespaces in."""
        for namespace in (self.by_webhook, self.by_policy):
            self.cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")

    def configure(self, wanted: Wanted) -> Configuration:
        """Put a configuration in force in both, and wait until it is."""
        self.number += 1
        configuration = wanted.loaded(self.number)
        (self._folder / "config.yaml").write_bytes(wanted.written(self.number))
        self.apply(mutate.policy(configuration), "mutate")
        for namespace in (self.by_webhook, self.by_policy):
            which = "the policy's" if namespace == self.by_policy else "the webhook's"
            eventually(f"{wanted} is in force in {which} namespace", lambda: self._in_force(namespace))  # noqa: B023
        return configuration

    def _in_force(self, namespace: str) -> bool:
        probed = images(self.dry(namespace, pod_of(probe=f"{_PROBE}/x")))
        return probed == {"probe": f"n{self.number}.example.net/x"}

    def apply(self, made: Generated, name: str) -> None:
        """Put a policy in place of the one of this name, in force in this run's namespaces alone."""
        put(self._client, made, self.name(name), self._run)

    def name(self, name: str) -> str:
        """Give the name under which a policy of this run is in the cluster."""
        return f"registry-webhook-e2e-{self._run}-{name}"

    def remove(self) -> None:
        """Take every policy of this run away."""
        take_away(self.cluster, *map(self.name, ("mutate", "guard")))

    def dry(self, namespace: str, pod: Manifest) -> Manifest:
        """Make a Pod as a dry run, and give it as it would be stored."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        request = Request("make a Pod", "POST", path, (("dryRun", "All"),), pod, timeout=_PATIENCE)
        return dict(json.loads(self._client.call(request)))

    def dry_update(self, namespace: str, pod: Manifest, below: str = "") -> Manifest:
        """Change a Pod as a dry run."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}{below}"
        request = Request("change a Pod", "PUT", path, (("dryRun", "All"),), pod, timeout=_PATIENCE)
        return dict(json.loads(self._client.call(request)))

    def both(self, pod: Manifest) -> tuple[Manifest | str, Manifest | str]:
        """Make a Pod in both as a dry run; give what each makes of it, or what it is refused with."""
        return self._outcome(self.by_webhook, pod), self._outcome(self.by_policy, pod)

    def _outcome(self, namespace: str, pod: Manifest) -> Manifest | str:
        try:
            return comparable(self.dry(namespace, pod))
        except ClusterError as error:
            return str(error)


def put(client: Client, made: Generated, name: str, run: str) -> None:
    """Put a policy under this name in place of the one that is there, in force in this run's namespaces alone."""
    policy, binding = json.loads(json.dumps([made.policy, made.binding]))
    binding["spec"]["policyName"] = name
    ours = {"key": POLICY_LABEL, "operator": "In", "values": [run]}
    binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"].append(ours)
    for manifest in (policy, binding):
        manifest["metadata"]["name"] = name
        path = f"/apis/admissionregistration.k8s.io/v1/{_plural(manifest)}/{name}"
        query = (("fieldManager", "e2e"), ("force", "true"))
        client.call(Request("apply", "PATCH", path, query, manifest, APPLY))


def take_away(cluster: Cluster, *names: str) -> None:
    """Delete the policies and bindings of these names, of either kind."""
    for kind in ("mutating", "validating"):
        for what in ("policybinding", "policy"):
            cluster.kubectl("delete", f"{kind}admission{what}", "--ignore-not-found", *names)


def _plural(manifest: Manifest) -> str:
    """Give the resource's name of a policy or a binding."""
    kind = str(manifest["kind"]).lower()
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def comparable(pod: Manifest) -> Manifest:
    """Leave out what differs between two Pods that were made alike."""
    metadata = {key: value for key, value in pod["metadata"].items() if key not in _OWN}
    return {"metadata": metadata, "spec": pod["spec"]}


def pod_of(*listed: str, **named: str) -> Manifest:
    """Make a Pod with these images that has nothing made up at random."""
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(listed)]
    containers += [{"name": name, "image": image} for name, image in named.items()]
    spec = {"nodeSelector": NOWHERE, "automountServiceAccountToken": False, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


@contextmanager
def side_by_side(installation: Installation, folder: Path, client: Client) -> Iterator[Engines]:
    """Have both engines in force."""
    engines = Engines(installation, folder, client)
    try:
        yield engines
    finally:
        engines.remove()
