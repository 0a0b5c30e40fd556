"""A subset of `kubectl kustomize`, without a cluster.

It is stricter: unknown features are rejected, and a patch must have a target. tests/e2e compares it with kubectl.
"""

import base64
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonpatch
import yaml

Manifest = dict[str, Any]

#: Files that do not exist, or have other content than on disk.
Files = Mapping[Path, str]

_NAME = "kustomization.yaml"
_KINDS = {"Kustomization": "kustomize.config.k8s.io/v1beta1", "Component": "kustomize.config.k8s.io/v1alpha1"}


class Refused(Exception):
    """A folder that cannot be built, or uses unknown features."""


class _Place(NamedTuple):
    """The location of a kustomization."""

    folder: Path
    files: Files
    above: tuple[Path, ...] = ()
    """The folders that include it."""

    def below(self, item: str) -> "_Place":
        return _Place((self.folder / item).resolve(), self.files, (*self.above, self.folder))

    def text(self, name: str) -> str:
        path = self.folder / name
        if path in self.files:
            return self.files[path]
        try:
            return path.read_text()
        except OSError as error:
            raise Refused(f"{path}: {error.strerror}") from error


def compose(folder: Path, files: Files) -> list[Manifest]:
    """Return the objects in the order in which they are applied. Raises `Refused`."""
    place = _Place(folder, files)
    outermost = _read(place)
    if outermost["kind"] != "Kustomization":
        raise Refused(f"{folder}: a component is nothing alone")
    # Only the outermost folder's sort order counts; by default kustomize puts the guard after the permissions.
    if outermost.get("sortOptions") != {"order": "fifo"}:
        raise Refused(f"{folder}: it does not say that the order stays")
    made: list[Manifest] = []
    _accumulate(place, made)
    return made


def identity(manifest: Manifest) -> tuple[str, str, str, str]:
    """Return what identifies an object."""
    group = manifest["apiVersion"].rpartition("/")[0]
    metadata = manifest["metadata"]
    return group, manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def _read(place: _Place) -> Manifest:
    (parsed,) = _documents(place.text(_NAME))
    if not isinstance(parsed, dict) or parsed.get("apiVersion") != _KINDS.get(parsed.get("kind", "")):
        raise Refused(f"{place.folder}: it is neither a Kustomization nor a Component")
    return parsed


def _documents(text: str) -> list[Any]:
    return deepcopy(_parse(text))


@cache
def _parse(text: str) -> list[Any]:
    """Parse a file once, as it is part of many variants."""
    return [document for document in yaml.safe_load_all(text) if document]


def _accumulate(place: _Place, made: list[Manifest]) -> None:
    """Apply the steps in kustomize's order, whatever the order in the file."""
    kustomization = _read(place)
    unknown = kustomization.keys() - _STEPS.keys() - {"apiVersion", "kind", "sortOptions"}
    if unknown:
        raise Refused(f"{place.folder}: {', '.join(sorted(unknown))}: not known here")
    for key, step in _STEPS.items():
        for item in kustomization.get(key, []):
            step(place, item, made)


def _add_resource(place: _Place, item: str, made: list[Manifest]) -> None:
    added: list[Manifest] = []
    if item.endswith(".yaml"):
        added = _documents(place.text(item))
    else:
        base = place.below(item)
        for above in base.above:
            if above.is_relative_to(base.folder):
                raise Refused(f"{above}: it lies in {base.folder}, of which it is made")
        if _read(base)["kind"] != "Kustomization":
            raise Refused(f"{place.folder}: {item} is no kustomization")
        _accumulate(base, added)
    for manifest in added:
        _add(made, manifest)


def _add(made: list[Manifest], manifest: Manifest) -> None:
    if identity(manifest) in map(identity, made):
        raise Refused(f"{identity(manifest)}: there are two")
    made.append(manifest)


def _add_component(place: _Place, item: str, made: list[Manifest]) -> None:
    component = place.below(item)
    if _read(component)["kind"] != "Component":
        raise Refused(f"{place.folder}: {item} is no component")
    _accumulate(component, made)


def _generator(kind: str) -> Callable[[_Place, Manifest, list[Manifest]], None]:
    def generate(place: _Place, item: Manifest, made: list[Manifest]) -> None:
        _expect_only(place, item, {"name", "namespace", "behavior", "files", "envs", "options"})
        options = item.get("options", {})
        _expect_only(place, options, {"disableNameSuffixHash", "labels"})
        if options.get("disableNameSuffixHash") is not True:
            raise Refused(f"{place.folder}: the name of {kind} {item['name']} would change with its content")
        data = {Path(name).name: place.text(name) for name in item.get("files", [])}
        for name in item.get("envs", []):
            data |= _variables(place.text(name))
        metadata = {"name": item["name"], "namespace": item["namespace"], "labels": options.get("labels", {})}
        manifest: Manifest = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}
        if kind == "Secret":
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
            manifest |= {"type": "Opaque", "data": encoded}
        _put(place, item.get("behavior", "create"), manifest, made)

    return generate


def _expect_only(place: _Place, item: Manifest, known: set[str]) -> None:
    if item.keys() - known:
        raise Refused(f"{place.folder}: {', '.join(sorted(item.keys() - known))}: not known here")


def _put(place: _Place, behavior: str, manifest: Manifest, made: list[Manifest]) -> None:
    if behavior == "create":
        _add(made, manifest)
        return
    replaced = [old for old in made if identity(old) == identity(manifest)]
    if behavior != "replace" or not replaced:
        raise Refused(f"{place.folder}: there is no {manifest['kind']} to replace")
    for old in replaced:
        old["data"] = manifest["data"]
        old["metadata"]["labels"] |= manifest["metadata"]["labels"]


def _variables(text: str) -> dict[str, str]:
    lines = [line.lstrip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {key: value for key, _, value in pairs}


def _patch(place: _Place, item: Manifest, made: list[Manifest]) -> None:
    if item.keys() != {"path", "target"} or item["target"].keys() != {"kind", "name"}:
        raise Refused(f"{place.folder}: a patch has a path and a target, a kind and a name")
    what = f"{place.folder / item['path']}"
    (operations,) = _documents(place.text(item["path"]))
    found = [one for one in made if {"kind": one["kind"], "name": one["metadata"]["name"]} == item["target"]]
    if len(found) != 1:
        raise Refused(f"{what}: it is for {len(found)} objects")
    _expect_tested(what, operations)
    try:
        patched = jsonpatch.apply_patch(found[0], operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise Refused(f"{what}: {error}") from error
    found[0].clear()
    found[0].update(deepcopy(patched))


def _expect_tested(what: str, operations: list[Manifest]) -> None:
    """Reject a patch that addresses a list item by index without testing that it is the right one."""
    tested: list[list[str]] = []
    for operation in operations:
        path = operation["path"].split("/")
        if operation["op"] == "test":
            tested.append(path)
            continue
        for depth, part in enumerate(path):
            item = path[: depth + 1]
            if part.isdecimal() and not any(one[: len(item)] == item for one in tested):
                raise Refused(f"{what}: {operation['path']}: nothing says what is at {'/'.join(item)}")


def _label(place: _Place, item: Manifest, made: list[Manifest]) -> None:
    if item.keys() != {"pairs", "includeTemplates"} or item["includeTemplates"] is not True:
        raise Refused(f"{place.folder}: labels have pairs, and are for templates too")
    for manifest in made:
        manifest["metadata"].setdefault("labels", {}).update(item["pairs"])
        template = manifest.get("spec", {}).get("template", {})
        if "metadata" in template:
            template["metadata"]["labels"] |= item["pairs"]


def _set_image(place: _Place, item: Manifest, made: list[Manifest]) -> None:
    _expect_only(place, item, {"name", "newName", "newTag"})
    for manifest in made:
        pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []):
            name, _, tag = container["image"].partition(":")
            if name == item["name"]:
                container["image"] = f"{item.get('newName', name)}:{item.get('newTag', tag)}"


def _note_references(place: _Place, item: str, _made: list[Manifest]) -> None:
    """Nothing is renamed here, so references to names do not matter."""
    (known,) = _documents(place.text(item))
    _expect_only(place, known, {"nameReference"})


#: Supported fields of a kustomization, in the order in which they are applied.
_STEPS: dict[str, Callable[[_Place, Any, list[Manifest]], None]] = {
    "configurations": _note_references,
    "resources": _add_resource,
    "configMapGenerator": _generator("ConfigMap"),
    "secretGenerator": _generator("Secret"),
    "components": _add_component,
    "patches": _patch,
    "labels": _label,
    "images": _set_image,
}
