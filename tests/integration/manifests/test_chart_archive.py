"""The chart of a release: the same objects as the chart in the checkout, with the released image."""

import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.support import ci_scripts
from tests.support.chart import HELM, needs_helm, render
from tests.support.chart_values import CHART
from webhook import __version__

_SCRIPT = ci_scripts.load("chart_archive")
_IMAGE = "ghcr.io/example/thing"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPOSITORY", "Example/Thing")
    written: Path = _SCRIPT.write(tmp_path / "dist")
    return written


def _texts(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as opened:
        read = {member.name: opened.extractfile(member) for member in opened}
        return {name: file.read().decode() for name, file in read.items() if file}


def test_archive_reproducible_and_named_as_helm_does(archive: Path, tmp_path: Path) -> None:
    assert archive.name == f"registry-webhook-{__version__}.tgz"
    assert _SCRIPT.write(tmp_path / "again").read_bytes() == archive.read_bytes()


def test_archive_has_released_image_and_no_placeholder(archive: Path) -> None:
    texts = _texts(archive)
    values, chart = (yaml.safe_load(texts[f"registry-webhook/{name}.yaml"]) for name in ("values", "Chart"))
    assert values["image"]["repository"] == _IMAGE
    (image,) = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"{_IMAGE}:{__version__}"
    assert chart["sources"] == ["https://github.com/Example/Thing"]
    assert not [name for name, text in texts.items() if "OWNER" in text]


def test_archive_readme_is_for_its_readers(archive: Path) -> None:
    """They have neither a clone nor an image of their own."""
    readme = _texts(archive)["registry-webhook/README.md"]
    assert (
        f"helm install registry-webhook oci://ghcr.io/example/charts/registry-webhook --version {__version__} "
        in readme
    )
    assert "](.." not in readme
    assert "manifests/" not in readme
    assert "--set image" not in readme


def test_archive_without_place_for_value_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".helmignore").write_text("")
    (tmp_path / "values.yaml").write_text("image:\n  repository: other\n")
    monkeypatch.setattr(_SCRIPT, "_CHART", tmp_path)
    with pytest.raises(ValueError, match=r"values\.yaml has no '  repository: registry-webhook"):
        _SCRIPT.files(__version__, "Example/Thing")


@needs_helm
def test_archive_has_the_files_of_helm_package(archive: Path, tmp_path: Path) -> None:
    command = [HELM or "helm", "package", str(CHART), "--destination", str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    packaged = _texts(tmp_path / archive.name)
    assert _texts(archive).keys() == packaged.keys()


@needs_helm
def test_archive_renders_as_checkout(archive: Path) -> None:
    values = {"monitoring": {"enabled": True}, "reader": {"enabled": True}}
    from_checkout = render({**values, "image": {"repository": _IMAGE}})
    assert render(values, chart=archive) == from_checkout.replace("OWNER/REPOSITORY", "Example/Thing")
