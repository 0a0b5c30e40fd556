"""Write the image's bill of materials as CycloneDX 1.6: sbom.py FOLDER.

It is generated from the image's lock file and is reproducible: it contains no address, time or random number. It has
the hashes of all files of a distribution, of which the builder installs one. The base image, including Python, is not
in it.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from locked import Locked, read
from packaging.markers import Marker
from slim import WHOLE

LOCK = "requirements.lock"

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


def write(folder: Path, bill: dict[str, Any]) -> Path:
    """Write it into a folder and return the file."""
    root = bill["metadata"]["component"]
    file = folder / f"{root['name']}-{root['version']}.cdx.json"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(bill, indent=2) + "\n")
    return file


def _project(checkout: Path) -> dict[str, Any]:
    """Return the project's component; its purl is generic, because it is not in a package index."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    version = re.search(r'^__version__ = "(.+)"$', (checkout / "webhook" / "__init__.py").read_text(), re.MULTILINE)
    if not version:
        raise ValueError("webhook/__init__.py says no version")
    purl = f"pkg:generic/{project['name']}@{version[1]}"
    return {
        "type": "application",
        "bom-ref": purl,
        "name": project["name"],
        "version": version[1],
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


if __name__ == "__main__":
    written = write(Path(sys.argv[1]), document(Path(__file__).parents[1]))
    if faults := _faults(written.read_text()):
        written.unlink()
        sys.exit("\n".join(["The bill of materials is no CycloneDX 1.6:", *faults]))
    print(written)
