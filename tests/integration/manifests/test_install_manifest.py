"""The release's `install.yaml` is the default installation with the released image, and `images.txt` lists it."""

from pathlib import Path

import pytest
import yaml

from tests.support import ci_scripts, kubernetes_schema
from tests.support.manifest_variants import Objects, Variant
from webhook import __version__

_SCRIPT = ci_scripts.load("install_manifest")
_IMAGE = f"ghcr.io/owner/registry-webhook:{__version__}@sha256:{'a1' * 32}"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    _SCRIPT.write(tmp_path / "dist", _IMAGE)
    return tmp_path / "dist"


def test_install_manifest_is_default_installation_without_config(written: Path) -> None:
    objects = list(yaml.safe_load_all((written / "install.yaml").read_text()))
    for one in objects:
        kubernetes_schema.check(one)
    (deployment,) = (one for one in objects if one["kind"] == "Deployment")
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        assert container["image"] == _IMAGE
        container["image"] = f"registry-webhook:{__version__}"
    expected = Objects(Variant("certs/self-managed")).manifests
    assert objects == [one for one in expected if one["kind"] != "ConfigMap"]


def test_install_manifest_lists_images_and_says_version(written: Path) -> None:
    assert (written / "images.txt").read_text() == f"{_IMAGE}\n"
    assert (written / "install.yaml").read_text().startswith(f"# registry-webhook {__version__}: ")


def test_install_manifest_reproducible(written: Path, tmp_path: Path) -> None:
    _SCRIPT.write(tmp_path / "again", _IMAGE)
    for name in ("install.yaml", "images.txt"):
        assert (written / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(
    "image",
    ["registry-webhook", "registry-webhook:0.1.0", f"registry-webhook@sha256:{'a1' * 32}", f"{_IMAGE}\nother"],
)
def test_install_manifest_image_without_tag_or_digest_refused(tmp_path: Path, image: str) -> None:
    with pytest.raises(ValueError, match="not NAME:TAG"):
        _SCRIPT.write(tmp_path, image)
    assert not list(tmp_path.iterdir())
