"""Generates docs/reference/components.md from the comments at the top of the kustomizations."""

from collections.abc import Iterator
from pathlib import Path

from .chart import COMPONENT_VALUES, Values
from .manifest_variants import BASE, CERTIFICATES, CHECKOUT, COMPONENTS, MANIFESTS, OVERLAYS
from .markdown import table

_HEAD = """\
# Components
An installation is one folder that `kubectl apply -k FOLDER` applies, and components that a kustomization of your own
adds. [Install](../how-to/install.md) shows both.

With [Helm](../how-to/helm.md), set the values that are named below each component, and `certificates.mode` and
`monitoring.enabled` for the folders.

This page is generated from the first comment of each `kustomization.yaml`.
"""

_USE = """
## Components
List components under `components` in a `kustomization.yaml` of your own, next to the folder `manifests`. They can be
combined in any number and order. A patch that does not fit the object that it changes fails.

```yaml
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
sortOptions:
  order: fifo
resources:
  - ../certs/self-managed
components:
  - ../manifests/components/COMPONENT
```
"""


def page() -> str:
    """Return the page."""
    certificates = [CHECKOUT / "certs" / name for name in CERTIFICATES]
    overlays = [MANIFESTS / "overlays" / name for name in OVERLAYS]
    components = [MANIFESTS / "components" / name for name in COMPONENTS]
    others = [BASE, MANIFESTS / "monitoring"]
    return (
        _HEAD
        + "\n## Folders to apply\nApply one of them. Each is a whole installation, and replaces the one before.\n\n"
        + _table([*certificates, *overlays])
        + "\n## Base and monitoring\n"
        + _table(others)
        + _USE
        + "".join(map(_section, components))
    )


def _section(component: Path) -> str:
    chosen = ", ".join(f"`{value}`" for value in _assignments(COMPONENT_VALUES[component.name]))
    return f"\n### {component.name}\n{_comment(component)}\n\nHelm: {chosen}\n"


def _assignments(values: Values, path: str = "") -> Iterator[str]:
    """Return values as helm's option --set has them; those that a user writes without the example's text."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _assignments(value, f"{path}{key}.")
        elif path.startswith("credentials.") or "\n" in str(value):
            yield f"{path}{key}"
        else:
            yield f"{path}{key}={str(value).lower()}"


def _table(folders: list[Path]) -> str:
    return table(("Folder", "Purpose"), [(f"`{folder.relative_to(CHECKOUT)}`", _comment(folder)) for folder in folders])


def _comment(folder: Path) -> str:
    """Return the comment at the top of a kustomization; its paragraphs become one. Raises `ValueError`."""
    lines = (folder / "kustomization.yaml").read_text().splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    if not comment:
        raise ValueError(f"{folder}/kustomization.yaml does not begin with a comment that says what the folder does")
    return " ".join(" ".join(comment).split())
