"""Write `install.yaml`, the default installation with a released image, and `images.txt`, the images in it.

    PYTHONPATH=. python .ci/install_manifest.py FOLDER NAME:TAG@sha256:DIGEST

`images.txt` has one image a line. The output depends on the arguments and the manifests only.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.kustomize import compose

_CHECKOUT = Path(__file__).parents[1]
_FOLDER = _CHECKOUT / "certs" / "self-managed"
#: A tag for people, and the digest for nodes, which ignore the tag next to it.
_IMAGE = re.compile(r"[a-z0-9][a-z0-9.:/_-]*:[A-Za-z0-9_][A-Za-z0-9_.-]*@sha256:[0-9a-f]{64}")
_HEAD = """\
# registry-webhook {version}: the kustomization certs/self-managed with the released image.
#
# The ConfigMap with the configuration is not included, so that applying a newer version does not replace yours. Pods
# start when it exists:
#
#   kubectl -n registry-webhook create configmap registry-webhook --from-file=config.yaml
"""


def manifests(image: str) -> list[dict[str, Any]]:
    """Return the objects in the order in which they are applied."""
    objects = [one for one in compose(_FOLDER, {}) if one["kind"] != "ConfigMap"]
    for container in _containers(objects):
        container["image"] = image
    return objects


def images(objects: list[dict[str, Any]]) -> list[str]:
    """Return the images of all containers, each once."""
    return sorted({container["image"] for container in _containers(objects)})


def _containers(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in objects:
        pod = one.get("spec", {}).get("template", {}).get("spec", {})
        yield from (*pod.get("initContainers", ()), *pod.get("containers", ()))


def write(folder: Path, image: str) -> None:
    """Write both files. Raises `ValueError` if the image has no tag or no digest."""
    if not _IMAGE.fullmatch(image):
        raise ValueError(f"{image}: not NAME:TAG@sha256:DIGEST")
    objects = manifests(image)
    version = objects[0]["metadata"]["labels"]["app.kubernetes.io/version"]
    documents = yaml.safe_dump_all(objects, sort_keys=False, width=120, explicit_start=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "install.yaml").write_text(_HEAD.format(version=version) + documents)
    (folder / "images.txt").write_text("".join(f"{one}\n" for one in images(objects)))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
