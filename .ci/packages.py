"""Write checksums, a krew manifest and a Homebrew formula for the archives of app.py: packages.py FOLDER.

`REPOSITORY` in the environment is the GitHub repository of the release, by default OWNER/REPOSITORY as in RELEASING.md.
"""

import hashlib
import os
import re
import sys
import tomllib
from pathlib import Path

PROGRAM = "registry-webhook"
#: The Python of the formula.
PYTHON = "3.13"
_SUMMARY = "Explain which registry the images of Pods come from"
_DESCRIPTION = (
    "registry-webhook prefixes image names that do not specify a registry with yours, and adds the pull secret.",
    "This command explains why a Pod was or was not rewritten, checks an installation, shows what opting in a",
    "namespace would change, and resolves image names offline. It needs Python 3.11 to 3.14.",
)


def version(checkout: Path) -> str:
    """Return the version of the package."""
    found = re.search(r'^__version__ = "(.+)"$', (checkout / "webhook" / "__init__.py").read_text(), re.MULTILINE)
    if not found:
        raise ValueError("webhook/__init__.py has no version")
    return found[1]


def write(checkout: Path, folder: Path) -> None:
    """Write all files for the archives in a folder."""
    release = version(checkout)
    repository = os.environ.get("REPOSITORY", "OWNER/REPOSITORY")
    license_name = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["license"]
    digests = {
        path.name.removeprefix(f"{PROGRAM}-{release}-").removesuffix(".tar.gz"): _digest(path)
        for path in sorted(folder.glob(f"{PROGRAM}-{release}-*.tar.gz"))
    }
    urls = {
        platform: f"https://github.com/{repository}/releases/download/v{release}/{PROGRAM}-{release}-{platform}.tar.gz"
        for platform in digests
    }
    sums = (f"{digest}  {PROGRAM}-{release}-{platform}.tar.gz\n" for platform, digest in digests.items())
    (folder / f"{PROGRAM}-{release}.sha256").write_text("".join(sums))
    (folder / f"{PROGRAM}.yaml").write_text(_krew(release, repository, digests, urls))
    (folder / f"{PROGRAM}.rb").write_text(_formula(license_name, repository, release, digests, urls))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _krew(release: str, repository: str, digests: dict[str, str], urls: dict[str, str]) -> str:
    """Return the manifest: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest."""
    lines = [
        "apiVersion: krew.googlecontainertools.github.com/v1alpha2",
        "kind: Plugin",
        "metadata:",
        f"  name: {PROGRAM}",
        "spec:",
        f"  version: v{release}",
        f"  homepage: https://github.com/{repository}",
        f"  shortDescription: {_SUMMARY}",
        "  description: |",
        *(f"    {line}" for line in _DESCRIPTION),
        "  caveats: |",
        "    The plugin needs Python 3.11 to 3.14 on the PATH, as python3 or python3.N.",
        "    For the completion of kubectl 1.26 or newer, link the plugin to kubectl_complete-registry_webhook:",
        "    ln -s kubectl-registry_webhook ~/.krew/bin/kubectl_complete-registry_webhook",
        "  platforms:",
    ]
    for platform, digest in digests.items():
        system, machine = platform.split("-")
        lines += [
            "  - selector:",
            "      matchLabels:",
            f"        os: {system}",
            f"        arch: {machine}",
            f"    uri: {urls[platform]}",
            f"    sha256: {digest}",
            f"    bin: {PROGRAM}",
        ]
    return "\n".join(lines) + "\n"


def _formula(license_name: str, repository: str, release: str, digests: dict[str, str], urls: dict[str, str]) -> str:
    """Return the formula: https://docs.brew.sh/Formula-Cookbook.

    It installs wrappers, because Homebrew replaces the first line only of text files, and users may have a python3 on
    the PATH that is too old.
    """
    lines = [
        "class RegistryWebhook < Formula",
        f'  desc "{_SUMMARY}"',
        f'  homepage "https://github.com/{repository}"',
        f'  version "{release}"',
        f'  license "{license_name}"',
        "",
        f'  depends_on "python@{PYTHON}"',
        "",
    ]
    for system, name in (("darwin", "macos"), ("linux", "linux")):
        lines.append(f"  on_{name} do")
        if f"{system}-amd64" not in digests:
            lines.append("    depends_on arch: :arm64")
        for machine, block in (("arm64", "arm"), ("amd64", "intel")):
            platform = f"{system}-{machine}"
            if platform in digests:
                lines += [
                    f"    on_{block} do",
                    f'      url "{urls[platform]}"',
                    f'      sha256 "{digests[platform]}"',
                    "    end",
                ]
        lines.append("  end")
    lines += [
        "",
        "  def install",
        f'    python = Formula["python@{PYTHON}"].opt_bin/"python{PYTHON}"',
        f'    libexec.install "{PROGRAM}"',
        f"    %w[{PROGRAM} kubectl-registry_webhook kubectl_complete-registry_webhook].each do |name|",
        f'      libexec.install_symlink libexec/"{PROGRAM}" => name if name != "{PROGRAM}"',
        "      (bin/name).write <<~SH",
        "        #!/bin/sh",
        '        exec "#{python}" "#{libexec}/#{name}" "$@"',
        "      SH",
        "      (bin/name).chmod 0755",
        "    end",
        f'    generate_completions_from_executable(bin/"{PROGRAM}", "completion")',
        "  end",
        "",
        "  test do",
        '    ENV["REGISTRY__SERVER"] = "registry.example.com"',
        f'    assert_match "registry.example.com/nginx", shell_output("#{{bin}}/{PROGRAM} resolve nginx")',
        "  end",
        "end",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write(Path(__file__).parents[1], Path(sys.argv[1]))
