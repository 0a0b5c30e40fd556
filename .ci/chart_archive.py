"""Package the Helm chart for a release: chart_archive.py FOLDER.

The result is what `helm package` makes, with the same bytes each time. Its image is the released one, and links in its
README lead to the documentation of the version. `REPOSITORY` in the environment is as for packages.py.
"""

import fnmatch
import os
import sys
from pathlib import Path

import packages
from app import archive

_CHECKOUT = Path(__file__).parents[1]
_CHART = _CHECKOUT / "manifests" / "helm" / packages.PROGRAM


def files(version: str, repository: str) -> dict[str, bytes]:
    """Return the chart by names in the archive. Raises `ValueError` if a file has no place for a value."""
    # GitHub Packages has only lower-case names. release.yml pushes both.
    image = f"ghcr.io/{repository.lower()}"
    chart = f"oci://{image.rpartition('/')[0]}/charts/{packages.PROGRAM}"
    replaced = {
        "values.yaml": {f"  repository: {packages.PROGRAM}\n": f"  repository: {image}\n"},
        "Chart.yaml": {f"image: {packages.PROGRAM}:{version}\n": f"image: {image}:{version}\n"},
        "README.md": {
            f'`"{packages.PROGRAM}"`': f'`"{image}"`',
            "](../../../": f"](https://github.com/{repository}/blob/v{version}/",
            f"manifests/helm/{packages.PROGRAM}": f"{chart} --version {version}",
            # The released one is the default.
            " and the image that you built": "",
            f"     --set image.repository=registry.example.com/{packages.PROGRAM} \\\n": "",
        },
    }
    ignored = [line for line in (_CHART / ".helmignore").read_text().splitlines() if line and line[0] != "#"]
    found = {}
    for path in sorted(one for one in _CHART.rglob("*") if one.is_file()):
        name = path.relative_to(_CHART).as_posix()
        if any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored):
            continue
        text = path.read_text().replace("OWNER/REPOSITORY", repository)
        for old, new in replaced.get(name, {}).items():
            if old not in text:
                raise ValueError(f"{name} has no {old!r}")
            text = text.replace(old, new)
        found[f"{packages.PROGRAM}/{name}"] = text.encode()
    return found


def write(folder: Path) -> Path:
    """Write the archive and return its path."""
    version = packages.version(_CHECKOUT)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{packages.PROGRAM}-{version}.tgz"
    path.write_bytes(archive(files(version, os.environ.get("REPOSITORY", "OWNER/REPOSITORY"))))
    return path


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
