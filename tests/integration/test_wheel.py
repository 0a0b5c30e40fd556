"""The contents of a clone and a wheel that commands need."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import webhook
from webhook.constants import PROGRAM

CHECKOUT = Path(__file__).parents[2]
LOCKS = sorted(CHECKOUT.glob("*.lock"))
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pinned(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((CHECKOUT / lock).read_text()))


def requirements(group: str) -> set[str]:
    """Give the names that a list of pyproject.toml asks for, as lock files write them."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    lists = {
        "runtime": project["project"]["dependencies"],
        **project["dependency-groups"],
    }
    texts = [text for text in lists[group] if isinstance(text, str)]
    return {re.split(r"[^A-Za-z0-9._-]", text)[0].lower().replace("_", "-") for text in texts}


def test_code_under_test_is_intended_checkout() -> None:
    meant = os.environ.get("CODE_UNDER_TEST")
    if meant is None:
        pytest.skip("`make test` says what is meant")
    show = "import webhook; print(webhook.__file__)"
    started = subprocess.run([sys.executable, "-c", show], check=True, capture_output=True, text=True)
    assert Path(webhook.__file__).is_relative_to(meant)
    assert Path(started.stdout.strip()) == Path(webhook.__file__)
    if meant != str(CHECKOUT):
        assert str(CHECKOUT) not in sys.path


def test_examples_shipped_in_package() -> None:
    shipped = {path.name for path in resources.files("webhook").joinpath("examples").iterdir()}
    assert shipped == {path.name for path in (CHECKOUT / "webhook" / "examples").iterdir()}
    assert "config.yaml" in shipped


def test_package_files_all_shipped() -> None:
    def files(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert files(Path(webhook.__file__).parent) == files(CHECKOUT / "webhook")


def test_version_option_prints_version() -> None:
    said = subprocess.run([sys.executable, "-m", "webhook", "--version"], check=True, capture_output=True, text=True)
    assert said.stdout.split()[0].rstrip(",") == PROGRAM
    assert webhook.__version__ in said.stdout


def test_changelog_has_version() -> None:
    assert f"## {webhook.__version__}" in (CHECKOUT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_file_without_urls_or_paths(lock: Path) -> None:
    text = lock.read_text()
    for word in ("://", "--index", "--extra-index", "--find-links", "--trusted-host", "file:", " @ ", "/root", "/home"):
        assert word not in text


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_file_entries_hashed(lock: Path) -> None:
    entries = re.split(r"^(?=[a-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert PINNED.match(entry)
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize(
    ("lock", "groups"),
    [
        ("requirements.lock", ["runtime"]),
        ("requirements-dev.lock", ["runtime", "dev", "build", "test"]),
        ("requirements-build.lock", ["build"]),
        ("requirements-docs.lock", ["docs"]),
        ("requirements-oldest.lock", ["test"]),
        ("requirements-supply.lock", ["supply"]),
    ],
)
def test_lock_file_contains_requirements(lock: str, groups: list[str]) -> None:
    for group in groups:
        assert requirements(group) <= pinned(lock).keys()


def test_development_lock_has_runtime_versions() -> None:
    assert pinned("requirements.lock").items() <= pinned("requirements-dev.lock").items()


def test_repository_top_level_expected_entries() -> None:
    git = shutil.which("git")
    if not git or not (CHECKOUT / ".git").exists():
        pytest.skip("git knows what belongs there")
    tracked = subprocess.run([git, "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    top = {path.partition("/")[0] for path in tracked.stdout.split("\0") if path}
    expected = {"pyproject.toml", "webhook", "manifests", "certs", "tests", "Dockerfile", "README.md", "Makefile"}
    expected |= {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md", "mkdocs.yml"}
    expected |= {"docs"}
    expected |= {lock.name for lock in LOCKS}
    assert {name for name in top if not name.startswith(".")} <= expected
