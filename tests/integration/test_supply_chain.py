"""Lock files, the search for vulnerabilities, the bill of materials, and signatures."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from datetime import date
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import webhook
from tests.support import ci_scripts, workflows

_CHECKOUT = Path(__file__).parents[2]
_OLDEST = _CHECKOUT / "requirements-oldest.lock"
_LOCKS = sorted(set(_CHECKOUT.glob("*.lock")) - {_OLDEST})

#: Each line of a lock file: the first, a version, a hash, and who wants it.
_LINES = (
    r"# Made by make lock\. Not for editing\.",
    r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; [a-zA-Z0-9_.'=<>! ]+)? \\",
    r"    --hash=sha256:[0-9a-f]{64}( \\)?",
    r"    # via",
    r"    (# via|#  ) (-c [a-z-]+\.lock|[a-zA-Z0-9-]+( \(pyproject\.toml(:[a-z]+)?\))?)",
)

#: In pip-audit's place: it answers for all that it is asked about, with what stands beside it.
_PIP_AUDIT = """
import json, pathlib, sys

(requirements,) = [word.partition("=")[2] for word in sys.argv if word.startswith("--requirement=")]
answers = []
for line in pathlib.Path(requirements).read_text().splitlines():
    name, version = line.split("==")
    answers.append({"name": name, "version": version, "vulns": []})
exec(pathlib.Path(__file__).with_name("change.py").read_text())
print(json.dumps({"dependencies": answers, "fixes": []}))
sys.exit(any(answer.get("vulns") for answer in answers))
"""

_KNOWN = {"id": "GHSA-1", "aliases": ["CVE-1"], "fix_versions": ["99.0"], "description": "Something is wrong."}


@pytest.fixture(scope="module")
def programs() -> dict[str, ModuleType]:
    """What `make audit` and `make sbom` run; they are no part of the package."""
    return {name: ci_scripts.load(name) for name in ("audit", "sbom")}


@pytest.fixture
def bill(programs: dict[str, ModuleType]) -> dict[str, Any]:
    made: dict[str, Any] = programs["sbom"].document(_CHECKOUT)
    return made


def _audit(folder: Path, change: str) -> "subprocess.CompletedProcess[str]":
    """Run what `make audit` runs, with pip-audit's answer changed."""
    (folder / "pip_audit.py").write_text(_PIP_AUDIT)
    (folder / "change.py").write_text(change)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, str(_CHECKOUT / ".ci" / "audit.py")]
    variables["PYTHONPATH"] = str(folder)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=variables)


def _locked(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (_CHECKOUT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", [*_LOCKS, _OLDEST], ids=lambda lock: lock.name)
def test_lock_file_lines_have_known_form(lock: Path) -> None:
    for line in lock.read_text().splitlines():
        assert any(re.fullmatch(pattern, line) for pattern in _LINES), line


def test_lock_files_same_versions() -> None:
    versions: dict[str, set[str]] = {}
    for lock in _LOCKS:
        for name, version in _locked(lock.name).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_oldest_lock_has_lower_bounds() -> None:
    project = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text())
    oldest = _locked(_OLDEST.name)
    for text in (*project["project"]["dependencies"], *project["dependency-groups"]["test"]):
        wanted = Requirement(text)
        lower = [Version(each.version) for each in wanted.specifier if each.operator == ">="]
        assert wanted.name == "uvloop" or lower == [Version(oldest[wanted.name])], text
    assert "uvloop" not in oldest


def test_audit_covers_all_locked_packages(programs: dict[str, ModuleType]) -> None:
    expected = {entry for lock in _LOCKS for entry in _locked(lock.name).items()}
    assert programs["audit"].packages(_CHECKOUT).keys() == expected
    assert {*programs["audit"].LOCKS} == {lock.name for lock in _LOCKS}


def test_audit_nothing_found_reports_counts(tmp_path: Path) -> None:
    done = _audit(tmp_path, "")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(_locked('requirements.lock'))} packages of requirements.lock" in done.stdout
    assert f"{len({name for lock in _LOCKS for name in _locked(lock.name)})} in all" in done.stdout
    assert done.stdout.endswith("\nFound: 0\n")


def test_audit_known_vulnerability_fails(tmp_path: Path) -> None:
    done = _audit(tmp_path, f"[one] = [one for one in answers if one['name'] == 'flask']\none['vulns'] = [{_KNOWN}]")
    assert done.returncode == 1
    version = _locked("requirements.lock")["flask"]
    line = f"flask {version} (requirements.lock, requirements-dev.lock): GHSA-1, CVE-1, fixed in 99.0"
    assert f"\n{line}: Something is wrong.\nFound: 1\n" in done.stdout


@pytest.mark.parametrize(
    "change",
    [
        "del answers[0]",
        "answers[0] = {'name': answers[0]['name'], 'skip_reason': 'not there'}",
        "answers[0]['version'] = '0'",
    ],
)
def test_audit_package_not_queried_reported(tmp_path: Path, change: str) -> None:
    done = _audit(tmp_path, change)
    assert done.returncode == 1
    assert re.search(r"^\S+ \S+ \(.*\.lock\): was not looked for\nFound: 1\n", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("class ConnectionError(Exception): pass\nraise ConnectionError('no route')", 75),
        ("class ServiceError(Exception): pass\nraise ServiceError", 75),
        ("sys.exit('ERROR:pip_audit._cli:Could not connect to the feed')", 75),
        ("raise ValueError('something else')", 2),
        ("sys.exit('usage: pip-audit')", 2),
    ],
)
def test_audit_service_unavailable_exit_75(tmp_path: Path, change: str, status: int) -> None:
    done = _audit(tmp_path, change)
    assert done.returncode == status
    assert ("NOTHING WAS LOOKED FOR" in done.stdout) == (status == 75)
    assert "Found" not in done.stdout
    assert bool(done.stderr) == (status == 2)


@pytest.mark.parametrize(("today", "counts"), [(date(2026, 5, 31), True), (date(2026, 6, 1), False)])
@pytest.mark.parametrize("advisory", ["GHSA-1", "CVE-1", "CVE-2"])
def test_audit_accepted_by_alias_until_date(
    programs: dict[str, ModuleType], advisory: str, today: date, *, counts: bool
) -> None:
    audit = programs["audit"]
    known = audit.accepted(f'[[accepted]]\nadvisory = "{advisory}"\nreason = "Not called."\nuntil = 2026-05-31\n')
    answers = [{"name": "flask", "version": "1.0", "vulns": [_KNOWN]}]
    found = list(audit.faults({("flask", "1.0"): ["a.lock"]}, answers, known, today))
    assert (found == []) == (counts and advisory != "CVE-2")
    (remark,) = audit.remarks(answers, known, today)
    assert ("any more" in remark) == (advisory == "CVE-2")
    assert ("Not called." in remark) == (found == [])


@pytest.mark.parametrize(
    "entry",
    [
        'advisory = "GHSA-1"\nuntil = 2026-05-31',
        'advisory = "GHSA-1"\nreason = ""\nuntil = 2026-05-31',
        'advisory = "GHSA-1"\nreason = "Not called."',
        'advisory = "GHSA-1"\nreason = "Not called."\nuntil = "for ever"',
    ],
)
def test_audit_accepted_without_reason_or_end_refused(programs: dict[str, ModuleType], entry: str) -> None:
    audit = programs["audit"]
    with pytest.raises(audit.BrokenError, match="GHSA-1"):
        audit.accepted(f"[[accepted]]\n{entry}\n")


def test_audit_accepted_file_valid(programs: dict[str, ModuleType]) -> None:
    audit = programs["audit"]
    assert isinstance(audit.accepted((_CHECKOUT / ".ci" / "accepted.toml").read_text()), list)


def test_bom_root_component_identified(bill: dict[str, Any]) -> None:
    root = bill["metadata"]["component"]
    assert (root["name"], root["version"]) == ("registry-webhook", webhook.__version__)
    assert root["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert root["purl"].endswith(f"/registry-webhook@{webhook.__version__}")


def test_bom_contains_locked_packages_and_hashes(bill: dict[str, Any]) -> None:
    entries = re.split(r"^(?=[a-z])", (_CHECKOUT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]
    expected = {
        f"pkg:pypi/{entry.partition(' ')[0].replace('==', '@')}": set(re.findall(r"sha256:(\w+)", entry))
        for entry in entries
    }
    assert len(expected) > 40
    components = bill["components"]
    assert all(one["purl"] == one["bom-ref"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in components)
    found = {one["purl"]: {each["content"] for each in one["externalReferences"][0]["hashes"]} for one in components}
    assert found == expected


def test_bom_other_platform_packages_omitted(programs: dict[str, ModuleType], tmp_path: Path) -> None:
    (tmp_path / "webhook").mkdir()
    for file in ("pyproject.toml", "webhook/__init__.py"):
        (tmp_path / file).write_text((_CHECKOUT / file).read_text())
    markers = {"everywhere": "", "here": " ; python_full_version < '3.12'", "elsewhere": " ; sys_platform == 'win32'"}
    entries = [
        f"{name}==1.0{marker} \\\n    --hash=sha256:{'0' * 64}\n    # via everywhere\n"
        for name, marker in markers.items()
    ]
    (tmp_path / "requirements.lock").write_text("".join(entries))
    bill = programs["sbom"].document(tmp_path)
    assert [one["name"] for one in bill["components"]] == ["everywhere", "here"]
    edges = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert edges["pkg:pypi/everywhere@1.0"] == ["pkg:pypi/everywhere@1.0", "pkg:pypi/here@1.0"]


def test_bom_python_version_matches_image(programs: dict[str, ModuleType]) -> None:
    bases = re.findall(r"^ARG (BASE|BUILDER)=python:([0-9.]+)", (_CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for name, _ in bases} == {"BASE", "BUILDER"}
    assert {version for _, version in bases} == {programs["sbom"].IMAGE["python_version"]}


def test_bom_same_packages_on_all_architectures(programs: dict[str, ModuleType]) -> None:
    """So that one list of packages is right for each image of the index."""
    sbom, machines = programs["sbom"], ci_scripts.load("wheels").MACHINES.values()
    assert sbom.IMAGE["platform_machine"] in machines
    for one in sbom.read(_CHECKOUT / sbom.LOCK):
        if one.marker:
            assert (
                len({Marker(one.marker).evaluate({**sbom.IMAGE, "platform_machine": each}) for each in machines}) == 1
            )


def _wheel(folder: Path, name: str, tag: str) -> str:
    """Write an empty wheel and return its hash."""
    info = f"{name}-1.0.dist-info"
    file = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _check_wheels(lock: Path, hashes: dict[str, list[str]], **variables: str) -> "subprocess.CompletedProcess[str]":
    entries = (
        f"{name}==1.0 \\\n" + " \\\n".join(f"    --hash=sha256:{each}" for each in each_of) + "\n    # via click\n"
        for name, each_of in hashes.items()
    )
    lock.write_text("# Made by make lock. Not for editing.\n" + "".join(entries))
    command = [sys.executable, str(_CHECKOUT / ".ci" / "wheels.py"), "check", str(lock), "3.12"]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment = {**inherited, "PIP_CONFIG_FILE": os.devnull, **variables}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)


def test_wheels_missing_for_an_architecture_reported(tmp_path: Path) -> None:
    x86, arm = "manylinux_2_17_x86_64", "manylinux_2_34_aarch64"
    hashes = {
        "anywhere": [_wheel(tmp_path, "anywhere", "py3-none-any")],
        "both": [_wheel(tmp_path, "both", f"cp311-abi3-{x86}"), _wheel(tmp_path, "both", f"cp311-abi3-{arm}")],
        "unlocked": [_wheel(tmp_path, "unlocked", f"cp311-abi3-{x86}")],
        "old": [_wheel(tmp_path, "old", f"cp311-cp311-{x86}"), _wheel(tmp_path, "old", f"cp311-cp311-{arm}")],
        "x86": [_wheel(tmp_path, "x86", f"cp311-abi3-{x86}")],
    }
    _wheel(tmp_path, "unlocked", f"cp311-abi3-{arm}")
    done = _check_wheels(tmp_path / "a.lock", hashes, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "Python 3.12 on amd64: no locked wheel of old 1.0",
        "Python 3.12 on arm64: no locked wheel of unlocked 1.0, old 1.0, x86 1.0",
        "Found: 4",
    ]


def test_wheels_index_unreachable_exit_75(tmp_path: Path) -> None:
    unreachable = {"PIP_INDEX_URL": "https://127.0.0.1:1/simple", "PIP_FIND_LINKS": "", "PIP_RETRIES": "1"}
    done = _check_wheels(tmp_path / "a.lock", {"anywhere": ["0" * 64]}, **unreachable)
    assert done.returncode == 75
    assert "NOTHING WAS CHECKED" in done.stdout


def test_wheels_supported_pythons_are_those_tested() -> None:
    matrix = workflows.jobs()["ci/test"]["strategy"]["matrix"]["python"]
    assert ci_scripts.load("wheels").supported() == matrix


def _archive(file: Path, files: dict[str, dict[str, bytes]]) -> None:
    """Write an OCI archive with an index, as buildx does, from each architecture's files."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes) -> dict[str, str]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}"}

    base = {"name": "docker.io/library/python:3.11-slim", "digest": f"sha256:{'1' * 64}"}
    labels = {f"org.opencontainers.image.base.{key}": value for key, value in base.items()}
    manifests = []
    for architecture, contents in files.items():
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w:gz") as tar:
            _fill(tar, contents)
        config = blob(json.dumps({"os": "linux", "architecture": architecture, "config": {"Labels": labels}}).encode())
        manifests.append(blob(json.dumps({"config": config, "layers": [blob(layer.getvalue())]}).encode()))
    index = blob(json.dumps({"manifests": manifests}).encode())
    with tarfile.open(file, "w") as tar:
        _fill(tar, {**blobs, "index.json": json.dumps({"manifests": [index]}).encode()})


def _fill(tar: tarfile.TarFile, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def test_bom_of_platform_has_base_packages(
    programs: dict[str, ModuleType], bill: dict[str, Any], tmp_path: Path
) -> None:
    record = b"Package: libssl3\nSource: openssl\nArchitecture: %s\nVersion: 3.0.20-1~deb12u2\n"
    python = {"usr/local/lib/libpython3.11.so.1.0": b"\x7fELF\0003.11.14\0", "usr/bin/other": b"\0003.11.1\0"}
    debian = {"var/lib/dpkg/status.d/python3.11-minimal": record.replace(b"libssl3", b"python3.11-minimal") % b"arm64"}
    records = "var/lib/dpkg/status.d/libssl3"
    _archive(
        tmp_path / "image.tar",
        {"amd64": {records: record % b"amd64", **python}, "arm64": {f"./{records}": record % b"arm64", **debian}},
    )
    sbom = programs["sbom"]
    bills = {image.platform: sbom.add_base(bill, image) for image in sbom.images(tmp_path / "image.tar")}
    base = f"pkg:oci/python@sha256%3A{'1' * 64}?repository_url=docker.io/library/python&tag=3.11-slim"
    added = {
        name: [one["purl"] for one in each["components"][len(bill["components"]) :]] for name, each in bills.items()
    }
    assert added == {
        "linux-amd64": [
            "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=amd64",
            base,
            "pkg:generic/python@3.11.14",
        ],
        "linux-arm64": [
            "pkg:deb/debian/libssl3@3.0.20-1~deb12u2?arch=arm64",
            "pkg:deb/debian/python3.11-minimal@3.0.20-1~deb12u2?arch=arm64",
            base,
        ],
    }
    assert bills["linux-amd64"]["components"][-1]["version"] == "3.11.14"
    written = sbom.write(tmp_path, bills["linux-arm64"], "linux-arm64")
    assert written.name == f"registry-webhook-{webhook.__version__}-linux-arm64.cdx.json"


def test_bom_left_out_packages_excluded(bill: dict[str, Any]) -> None:
    left_out = {one["name"] for one in bill["components"] if one["scope"] == "excluded"}
    assert "aiohttp" in left_out
    assert not {"flask", "gunicorn", "kubernetes", "uvloop"} & left_out


def test_bom_edges_match_distribution_metadata(bill: dict[str, Any]) -> None:
    edges = {
        one["ref"].rpartition("/")[2].partition("@")[0]: {each[9:].partition("@")[0] for each in one["dependsOn"]}
        for one in bill["dependencies"]
    }
    names = {one["name"] for one in bill["components"]}
    installed = {canonicalize_name(one.metadata["Name"]): one.requires or [] for one in metadata.distributions()}
    looked_at = names & installed.keys()
    assert len(looked_at) > 40
    for name in looked_at:
        wanted = [Requirement(text) for text in installed[canonicalize_name(name)]]
        assert edges[name] <= {canonicalize_name(one.name) for one in wanted}
        always = {canonicalize_name(one.name) for one in wanted if not one.marker}
        assert always <= edges[name]
    assert {"click", "gunicorn", "httptools", "uvloop"} <= edges["registry-webhook"]


def test_bom_built_again_identical(programs: dict[str, ModuleType], bill: dict[str, Any], tmp_path: Path) -> None:
    written = programs["sbom"].write(tmp_path / "dist", bill)
    assert written.name == f"registry-webhook-{webhook.__version__}.cdx.json"
    other = programs["sbom"].write(tmp_path / "other", programs["sbom"].document(_CHECKOUT))
    assert written.read_bytes() == other.read_bytes()
    assert json.loads(written.read_text()) == bill
    assert not {"serialNumber", "timestamp"} & {*bill, *bill["metadata"]}
    for word in ("://", str(_CHECKOUT), "/home", "/root"):
        assert word not in written.read_text()


def test_workflows_read_only_unless_a_job_says_more() -> None:
    for workflow in workflows.parsed().values():
        assert workflow["permissions"] == {"contents": "read"}
    permissions = {name: job.get("permissions", {}) for name, job in workflows.jobs().items()}
    writing = {
        name: {scope for scope, access in each.items() if access == "write"} for name, each in permissions.items()
    }
    assert {name: scopes for name, scopes in writing.items() if scopes} == {
        "codeql/analyze": {"security-events"},
        "scorecard/analyze": {"id-token", "security-events"},
        "release/publish": {"attestations", "contents", "id-token", "packages"},
    }


def test_release_published_by_protected_job_without_checkout() -> None:
    publish = workflows.jobs()["release/publish"]
    assert publish["environment"] == "release"
    assert not any("checkout" in step.get("uses", "") for step in publish["steps"])


def test_checkouts_keep_no_credentials() -> None:
    checkouts = [step for step in workflows.steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) > 5
    for step in checkouts:
        assert step.get("with", {}).get("persist-credentials") is False


def test_workflows_no_expressions_in_scripts() -> None:
    """A branch or tag may be named like a command; environment variables are not parsed."""
    for step in workflows.steps():
        assert "${{" not in step.get("run", "")


def test_actions_pinned_to_commit_with_version() -> None:
    used = [line.strip() for path in workflows.WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert len(used) > 5
    for line in used:
        assert re.fullmatch(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    assert len(used) == len([step for step in workflows.steps() if "uses" in step])


def test_renovate_finds_base_images_of_release() -> None:
    settings = json.loads((_CHECKOUT / ".github" / "renovate.json").read_text())
    (manager,) = settings["customManagers"]
    # JavaScript names groups without the P.
    pattern = manager["matchStrings"][0].replace("(?<", "(?P<")
    found = re.findall(pattern, (_CHECKOUT / ".github" / "workflows" / "release.yml").read_text())
    dockerfile = (_CHECKOUT / "Dockerfile").read_text()
    assert [tag for tag, _ in found] == re.findall(r"^ARG (?:BUILDER|BASE)=python:(\S+)$", dockerfile, re.MULTILINE)
    assert {"github-actions", "custom.regex"} == set(settings["enabledManagers"])
