"""All installation variants: the folders that can be applied, and components added to them."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from .kustomize import Files, Manifest, compose

CHECKOUT = Path(__file__).parents[2]
MANIFESTS = CHECKOUT / "manifests"
BASE = MANIFESTS / "base"
COMPONENTS = sorted(path.parent.name for path in MANIFESTS.glob("components/*/kustomization.yaml"))
CERTIFICATES = sorted(path.parent.name for path in CHECKOUT.glob("certs/*/kustomization.yaml"))
OVERLAYS = sorted(path.parent.name for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))

#: Components that cannot be combined, each with the one that it replaces.
ALTERNATIVES = {"port-10250": "host-network", "docker-config": "credential"}
#: The components that can all be combined, and the same with the alternatives.
COMBINED = [one for one in COMPONENTS if one not in ALTERNATIVES]
ALTERNATIVE = [one for one in COMPONENTS if one not in ALTERNATIVES.values()]

#: A user's credential.env, from credential.env.example.
CREDENTIAL = {"username": "myuser", "password": "kept-secret='\"#=end"}


class Variant(NamedTuple):
    """A folder in the checkout, with its kustomization if a user would write it."""

    folder: str
    text: str = ""

    def __str__(self) -> str:
        return self.folder

    def files(self, checkout: Path) -> Files:
        """Return the files that a user creates."""
        made = {MANIFESTS.relative_to(CHECKOUT) / "components" / "credential" / "credential.env": _credential()}
        if self.text:
            made[Path(self.folder) / "kustomization.yaml"] = self.text
        return {checkout / path: text for path, text in made.items()}


def _credential() -> str:
    return "# as it stands\n" + "".join(f"{key}={value}\n" for key, value in CREDENTIAL.items())


def combined(certificate: str, *components: str) -> Variant:
    """Combine folders and components as manifests/README.md describes."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "sortOptions": {"order": "fifo"},
        "resources": [f"../certs/{certificate}"],
        "components": [f"../manifests/components/{component}" for component in components],
    }
    chosen = {tuple(COMBINED): "all", tuple(ALTERNATIVE): "all-alternatives"}.get(components, "-".join(components))
    return Variant(f"{certificate}-with-{chosen}", yaml.safe_dump(kustomization))


FOLDERS = [
    Variant("manifests/base"),
    *(Variant(f"certs/{name}") for name in CERTIFICATES),
    *(Variant(f"manifests/overlays/{name}") for name in OVERLAYS),
]
EVERYTHING = [combined(certificate, *chosen) for certificate in CERTIFICATES for chosen in (COMBINED, ALTERNATIVE)]
VARIANTS = [*FOLDERS, *(combined("self-managed", component) for component in COMPONENTS), *EVERYTHING]


@cache
def composed(variant: Variant) -> tuple[Manifest, ...]:
    """Return a variant's objects, which are shared: do not change them."""
    return tuple(compose(CHECKOUT / variant.folder, variant.files(CHECKOUT)))


class Objects:
    """A variant's objects."""

    def __init__(self, variant: Variant) -> None:
        self.manifests = composed(variant)
        self.deployment = self.only("Deployment")
        self.pod: Manifest = self.deployment["spec"]["template"]["spec"]
        self.containers: dict[str, Manifest] = {one["name"]: one for one in self.pod["containers"]}
        self.volumes: dict[str, Manifest] = {one["name"]: one for one in self.pod["volumes"]}
        (self.webhook,) = self.only("MutatingWebhookConfiguration")["webhooks"]
        ((self.configuration_name, self.configuration),) = self.only("ConfigMap")["data"].items()

    def all_of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def only(self, kind: str) -> Manifest:
        """Return the only object of a kind."""
        (manifest,) = self.all_of(kind)
        return manifest

    def named(self, kind: str, name: str) -> Manifest:
        (manifest,) = (one for one in self.all_of(kind) if one["metadata"]["name"] == name)
        return manifest

    def mounts(self, container: str) -> dict[str, Manifest]:
        """Return a container's mounts by volume name."""
        return {mount["name"]: mount for mount in self.containers[container]["volumeMounts"]}

    def variables(self, container: str) -> dict[str, str]:
        """Return a container's environment variables, with values from the Pod's metadata resolved."""
        metadata = self.deployment["spec"]["template"]["metadata"]
        known = {"metadata.namespace": self.deployment["metadata"]["namespace"]}
        known |= {f"metadata.annotations['{key}']": value for key, value in metadata["annotations"].items()}
        return {
            one["name"]: one["value"] if "value" in one else known[one["valueFrom"]["fieldRef"]["fieldPath"]]
            for one in self.containers[container]["env"]
        }

    def options(self, container: str) -> dict[str, str]:
        """Return the options in a container's arguments."""
        _, *options = self.containers[container]["args"]
        return dict(option.removeprefix("--").split("=", 1) for option in options)

    def ports(self, container: str) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.containers[container]["ports"]}
