"""The single file of the command, built here from the installed packages instead of downloaded ones."""

import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import yaml

from tests.support import ci_scripts

_CHECKOUT = Path(__file__).parents[2]

_ALL_MODULES = """
import importlib, pkgutil, sys, webhook
for module in pkgutil.walk_packages(webhook.__path__, "webhook."):
    importlib.import_module(module.name)
print(webhook.__file__)
"""


class App(NamedTuple):
    """The file, and a home of its own."""

    file: Path
    home: Path

    def run(self, *words: str, name: str = "", python: str = sys.executable, **variables: str) -> tuple[int, str, str]:
        """Run it without other packages, by another name if given, and return status, output and errors."""
        file = self.file
        if name:
            file = file.with_name(name)
            file.symlink_to(self.file)
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **variables}
        done = subprocess.run(
            [python, "-S", str(file), *words], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "registry-webhook"

    @property
    def unpacked(self) -> list[Path]:
        return sorted(self.cache.iterdir()) if self.cache.exists() else []


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    return ci_scripts.load("app")


@pytest.fixture(scope="module")
def files(builder: ModuleType) -> dict[str, bytes]:
    found: dict[str, bytes] = builder.own_files(_CHECKOUT)
    for one in builder.read(_CHECKOUT / builder.LOCK):
        for file in () if one.name in builder.LEFT_OUT else metadata.files(one.name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts and not file.name.endswith(".pyc"):
                found.setdefault(str(file), Path(str(file.locate())).read_bytes())
    patterns = builder.patterns_of("kubernetes")
    return {name: content for name, content in found.items() if not builder.goes(name, patterns)}


def _platform() -> str:
    uname = os.uname()
    machine = {"aarch64": "arm64", "x86_64": "amd64"}.get(uname.machine, uname.machine)
    return f"{uname.sysname.lower()}-{machine}"


@pytest.fixture(scope="module")
def content(builder: ModuleType, files: dict[str, bytes]) -> bytes:
    app: bytes = builder.single_file(files, _platform())
    return app


@pytest.fixture
def app(tmp_path: Path, content: bytes) -> App:
    folder = tmp_path / "a folder"
    folder.mkdir()
    home = tmp_path / "the home"
    home.mkdir(mode=0o700)
    file = folder / "registry-webhook"
    file.write_bytes(content)
    file.chmod(0o755)
    return App(file, home)


def _resolve(app: App, **variables: str) -> None:
    status, output, errors = app.run("resolve", "nginx", REGISTRY__SERVER="registry.example.com", **variables)
    assert (status, errors) == (0, "")
    assert output.startswith("nginx -> registry.example.com/nginx ")


def test_build_file_order_and_time_same_bytes(builder: ModuleType, files: dict[str, bytes], content: bytes) -> None:
    again = builder.single_file(dict(reversed(files.items())), _platform())
    assert again == content
    first, second = (builder.archive({"registry-webhook": one, "LICENSE": b"x"}) for one in (content, again))
    assert first == second


def test_add_file_that_differs_between_pythons_refused(builder: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"x\.py differs"):
        builder.add({"x.py": b"1"}, builder.Wheel("x", {"x.py": b"2"}))


def test_file_has_all_that_the_command_imports(app: App) -> None:
    _resolve(app)
    (folder,) = app.unpacked
    done = subprocess.run(
        [sys.executable, "-S", "-c", _ALL_MODULES],
        env={"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(str(folder))


def test_second_run_reads_cache_only_user_can_write(app: App) -> None:
    _resolve(app, PYTHONDONTWRITEBYTECODE="1")
    (folder,) = app.unpacked
    assert {stat.S_IMODE(one.stat().st_mode) for one in (app.cache, folder)} == {0o700}
    libraries = [one for one in folder.rglob("*.so") if "cpython" in one.name]
    assert libraries
    assert all(f".{sys.implementation.cache_tag}-" in one.name for one in libraries)
    assert list(folder.glob("webhook/cli/__pycache__/resolve.*.pyc"))
    before = folder.stat().st_ino
    _resolve(app)
    assert [one.stat().st_ino for one in app.unpacked] == [before]


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_cache_that_others_can_write_not_used(app: App, tmp_path: Path, mode: int) -> None:
    _resolve(app)
    (folder,) = app.unpacked
    (folder / "webhook" / "__init__.py").write_text("raise SystemExit('code of others')")
    folder.chmod(mode)
    app.cache.chmod(mode)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    _resolve(app, TMPDIR=str(temporary))
    assert not list(temporary.iterdir())


def test_cache_of_changed_mode_unpacked_again(app: App) -> None:
    _resolve(app)
    (folder,) = app.unpacked
    (folder / "webhook" / "__init__.py").write_text("raise SystemExit('code of others')")
    folder.chmod(0o777)
    _resolve(app)


@pytest.mark.parametrize("home", ["", "/dev/null", "relative"])
def test_home_that_cannot_be_written_unpacked_for_one_run(app: App, tmp_path: Path, home: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    cache = {"XDG_CACHE_HOME": "/dev/null"} if not home else {}
    _resolve(app, HOME=home, TMPDIR=str(temporary), **cache)
    assert not list(temporary.iterdir())
    assert not Path("relative").exists()


def test_interrupted_unpacking_leaves_nothing_used(app: App) -> None:
    _resolve(app)
    (folder,) = app.unpacked
    shutil.rmtree(folder / "webhook")
    folder.rename(app.cache / ".new-interrupted")
    _resolve(app)
    old = app.cache / ".new-interrupted"
    os.utime(old, (0, 0))
    shutil.rmtree(folder)
    _resolve(app)
    assert app.unpacked == [folder]


@pytest.mark.parametrize(
    ("name", "first"),
    [("kubectl-registry_webhook", "Usage: kubectl registry-webhook "), ("any-name", "Usage: registry-webhook ")],
)
def test_usage_has_name_of_link(app: App, name: str, first: str) -> None:
    status, output, _ = app.run("--help", name=name)
    assert status == 0
    assert output.startswith(first)


def test_completion_link_answers_kubectl(app: App) -> None:
    status, output, _ = app.run("expl", name="kubectl_complete-registry_webhook")
    assert status == 0
    assert output.startswith("explain\t")


def test_version_and_completion_script(app: App) -> None:
    assert app.run("--version")[1].startswith("registry-webhook ")
    assert "_REGISTRY_WEBHOOK_COMPLETE" in app.run("completion", "bash")[1]


def test_demo_starts_server_from_file(app: App) -> None:
    status, output, errors = app.run("demo")
    assert (status, errors) == (0, "")
    assert "registry.example.com/" in output


def test_legacy_auth_provider_not_in_file(app: App, tmp_path: Path) -> None:
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"auth-provider": {"name": "oidc"}}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    status, _, errors = app.run("doctor", KUBECONFIG=str(tmp_path / "config"))
    assert status == 2
    assert "auth-provider oidc is not supported by the single file" in errors


def test_other_platform_one_error(builder: ModuleType, app: App) -> None:
    app.file.write_bytes(builder.single_file({}, "darwin-none"))
    status, _, errors = app.run("version")
    assert status == 2
    assert errors.startswith("error: this file is for darwin-none, and this is ")
    assert "pipx" in errors
    assert len(errors.splitlines()) == 2


def test_bootstrap_other_python_one_error_or_next_python(app: App, tmp_path: Path) -> None:
    with zipfile.ZipFile(app.file) as archive:
        main = archive.read("__main__.py").decode()
    changed = tmp_path / "main.py"
    changed.write_text(main.replace("OLDEST, NEWEST = (3, 11), (3, 14)", "OLDEST, NEWEST = (3, 97), (3, 99)"))
    done = subprocess.run(
        [sys.executable, str(changed)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"error: Python 3\.97 to 3\.99 is needed, and this is Python \S+\nhint: install .*\n", done.stderr
    )
    other = tmp_path / "python3.98"
    other.write_text('#!/bin/sh\necho "$@" "$_REGISTRY_WEBHOOK_PYTHON"\n')
    other.chmod(0o755)
    output = subprocess.check_output([sys.executable, str(changed), "a word"], env={"PATH": f"{tmp_path}:/bin"})
    assert output.decode() == f"{changed} a word python3.97\n"


def _old_python() -> str | None:
    for name in ("python2", "python3.8", "python3.9", "python3.10", "python3"):
        code = "import sys; print(sys.executable if sys.version_info < (3, 11) else '')"
        with suppress(OSError):
            found = subprocess.run([name, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
            if found:
                return found
    return None


def test_old_python_one_error(app: App) -> None:
    python = _old_python()
    if python is None:
        pytest.skip("no old Python is installed")
    status, _, errors = app.run("version", python=python, PATH="/nowhere")
    assert status == 2
    assert errors.startswith("error: Python 3.11 to 3.14 is needed, and this is Python ")


def _sums(text: str) -> dict[str, str]:
    return {name: digest for digest, name in (line.split("  ") for line in text.splitlines())}


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.setenv("REPOSITORY", "example/registry-webhook")
    packages = ci_scripts.load("packages")
    release = packages.version(_CHECKOUT)
    for platform in ("linux-amd64", "linux-arm64", "darwin-arm64"):
        (tmp_path / f"registry-webhook-{release}-{platform}.tar.gz").write_text(platform)
    packages.write(_CHECKOUT, tmp_path)
    return lambda name: (tmp_path / name.format(release)).read_text()


def test_krew_manifest_format_of_krew(generated: Callable[[str], str]) -> None:
    """The rules of krew's internal/index/validation/validate.go."""
    manifest = yaml.safe_load(generated("registry-webhook.yaml"))
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "registry-webhook")
    spec = manifest["spec"]
    assert re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+", spec["version"])
    assert len(spec["shortDescription"]) <= 50 or "\n" not in spec["shortDescription"]
    sums = _sums(generated("registry-webhook-{}.sha256"))
    for platform in spec["platforms"]:
        assert platform["uri"].startswith("https://github.com/example/registry-webhook/releases/download/v")
        assert platform["sha256"] == sums[platform["uri"].rpartition("/")[2]]
        assert platform["bin"] == "registry-webhook"
    selected = {tuple(platform["selector"]["matchLabels"].values()) for platform in spec["platforms"]}
    assert selected == {("linux", "amd64"), ("linux", "arm64"), ("darwin", "arm64")}


def test_formula_has_every_archive_and_completion(generated: Callable[[str], str]) -> None:
    formula = generated("registry-webhook.rb")
    sums = _sums(generated("registry-webhook-{}.sha256"))
    pairs = re.findall(r'url "(\S+)"\n +sha256 "([0-9a-f]{64})"', formula)
    assert {url.rpartition("/")[2]: digest for url, digest in pairs} == sums
    # Without it, brew on an Intel Mac says only that the formula has no URL.
    assert "  on_macos do\n    depends_on arch: :arm64\n" in formula
    assert formula.count("depends_on arch") == 1
    assert 'generate_completions_from_executable(bin/"registry-webhook", "completion")' in formula
    assert len(re.findall(r"\b(?:do|def|class)\b", formula)) == len(re.findall(r"(?m)^ *end$", formula))
