"""Write the image's bill of materials as CycloneDX 1.6: sbom.py FOLDER [ARCHIVE].

It is generated from the image's lock file and is reproducible: it contains no address, time or random number. It has
the hashes of all files of a distribution, of which the builder installs one.

With an OCI archive of the image, there is one for each platform, which also has Python and Debian's packages.
"""

import io
import json
import re
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import packages
from locked import Locked, read
from packaging.markers import Marker
from slim import WHOLE

LOCK = "requirements.lock"

_RECORDS = "var/lib/dpkg/status.d/"
#: Files that name what the base image has: packages' records, and the file with Python's version.
_NAMING = re.compile(r"^(\./)?(var/lib/dpkg/status\.d/.|usr/(local/)?(bin/python3\.11|lib/libpython3\.11\.so\.1\.0)$)")
_VERSION = re.compile(rb"\0(3\.11\.[0-9]+)\0")

#: One of the image's platforms, as a PEP 508 environment: both have the same packages.
IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def document(checkout: Path) -> dict[str, Any]:
    """Return the bill of materials; it has an edge if any supported Python has it."""
    root = _project(checkout)
    locked = [one for one in read(checkout / LOCK) if not one.marker or Marker(one.marker).evaluate(IMAGE)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "build"}], "component": root},
        "components": [_component(one) for one in locked],
        "dependencies": [
            _edges(root["bom-ref"], root["name"], locked),
            *(_edges(_purl(one), one.name, locked) for one in locked),
        ],
    }


class Image(NamedTuple):
    """One platform's image."""

    platform: str  #: as linux-arm64
    labels: dict[str, str]
    files: dict[str, bytes]  #: those that name what the base image has


def images(archive: Path) -> Iterator[Image]:
    """Return the images of an OCI archive.

    https://github.com/opencontainers/image-spec/blob/main/image-layout.md
    """
    with tarfile.open(archive) as layout:

        def blob(descriptor: dict[str, Any]) -> bytes:
            return _content(layout, f"blobs/{descriptor['digest'].replace(':', '/')}")

        manifests = json.loads(_content(layout, "index.json"))["manifests"]
        while manifests:
            manifest = json.loads(blob(manifests.pop(0)))
            if "manifests" in manifest:
                manifests += manifest["manifests"]
                continue
            config = json.loads(blob(manifest["config"]))
            files: dict[str, bytes] = {}
            for descriptor in manifest["layers"]:
                with tarfile.open(fileobj=io.BytesIO(blob(descriptor))) as layer:
                    names = [one.name for one in layer.getmembers() if one.isfile() and _NAMING.search(one.name)]
                    files |= {name.removeprefix("./"): _content(layer, name) for name in names}
            yield Image(f"{config['os']}-{config['architecture']}", config["config"].get("Labels", {}), files)


def add_base(bill: dict[str, Any], image: Image) -> dict[str, Any]:
    """Return a bill of materials with the base image, Python, and Debian's packages as well."""
    stanzas = [content.decode() for name, content in sorted(image.files.items()) if name.startswith(_RECORDS)]
    records = [dict(re.findall(r"^(Package|Version|Architecture): (\S+)$", text, re.MULTILINE)) for text in stanzas]
    purls = {
        record[
            "Package"
        ]: f"pkg:deb/debian/{record['Package']}@{quote(record['Version'])}?arch={record['Architecture']}"
        for record in records
    }
    name, digest = (image.labels.get(f"org.opencontainers.image.base.{key}", "") for key in ("name", "digest"))
    if digest.startswith("sha256:"):
        repository, _, tag = name.rpartition(":")
        purls["base image"] = (
            f"pkg:oci/{repository.rpartition('/')[2]}@{quote(digest)}?repository_url={repository}&tag={tag}"
        )
    # The official image's Python is not a Debian package.
    if "python3.11-minimal" not in purls:
        (version,) = {version.decode() for content in image.files.values() for version in _VERSION.findall(content)}
        purls["python"] = f"pkg:generic/python@{version}"
    added = [
        {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": unquote(purl.partition("@")[2].partition("?")[0]),
            "scope": "required",
            "purl": purl,
        }
        for name, purl in purls.items()
    ]
    return bill | {"components": [*bill["components"], *added]}


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file")
    return file.read()


def write(folder: Path, bill: dict[str, Any], platform: str = "") -> Path:
    """Write it into a folder and return the file."""
    root = bill["metadata"]["component"]
    file = folder / f"{'-'.join(filter(None, (root['name'], root['version'], platform)))}.cdx.json"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill, indent=2) + "\n")
    return file


def _project(checkout: Path) -> dict[str, Any]:
    """Return the project's component; its purl is generic, because it is not in a package index."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    version = packages.version(checkout)
    purl = f"pkg:generic/{project['name']}@{version}"
    return {
        "type": "application",
        "bom-ref": purl,
        "name": project["name"],
        "version": version,
        "description": project["description"],
        "licenses": [{"license": {"id": project["license"]}}],
        "purl": purl,
    }


def _component(one: Locked) -> dict[str, Any]:
    """Return a distribution's component; the hashes are of its files, not of the installed ones."""
    hashes = [{"alg": "SHA-256", "content": content} for content in one.hashes]
    left_out = {"description": "The locked set has it, and the image leaves it out: nothing there loads it."}
    return {
        "type": "library",
        "bom-ref": _purl(one),
        "name": one.name,
        "version": one.version,
        **(left_out if one.name in WHOLE else {}),
        "scope": "excluded" if one.name in WHOLE else "required",
        "purl": _purl(one),
        "externalReferences": [{"type": "distribution", "url": _purl(one), "hashes": hashes}],
    }


def _edges(ref: str, name: str, locked: list[Locked]) -> dict[str, Any]:
    return {"ref": ref, "dependsOn": [_purl(one) for one in locked if name in one.wanted_by]}


def _purl(one: Locked) -> str:
    return f"pkg:pypi/{one.name}@{one.version}"


def _faults(text: str) -> list[str]:
    """Validate it against the schema and return a line for each error."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return [str(fault) for fault in JsonStrictValidator(SchemaVersion.V1_6).validate_str(text, all_errors=True) or ()]


def main(folder: Path, *archives: Path) -> None:
    """Write all of them, or none that is not valid."""
    bill = document(Path(__file__).parents[1])
    written = [write(folder, bill)]
    for archive in archives:
        written += [write(folder, add_base(bill, image), image.platform) for image in images(archive)]
    for file in written:
        if faults := _faults(file.read_text()):
            file.unlink()
            sys.exit("\n".join(["The bill of materials is not valid CycloneDX 1.6:", *faults]))
        print(file)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
