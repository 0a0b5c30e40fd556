"""Assemble the root file system of the image: image_root.py BASE ENVIRONMENT ROOT.

It has the virtual environment, the interpreter, the shared libraries that these load, the part of Python's library that
the program can use, CA certificates, and a few files of /etc. It has no shell, no package manager, no other program.

Nothing of BASE is executed, so its architecture may differ from this machine's. Its Python must have the same minor
version, because the bytecode is compiled here.
"""

import compileall
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from py_compile import PycInvalidationMode
from typing import NamedTuple

from slim import THEN

#: Names in Python's library that are left out, without their suffixes: development tools, user interfaces, databases,
#: protocols of mail and news, and tests. tests/integration/test_image.py checks that the program works without them.
LEFT_OUT = (
    *(
        "__pycache__",
        "*-packages",
        "lib-dynload",
        "config-*",
        "LICENSE",
        "EXTERNALLY-MANAGED",
        "sitecustomize",
        "test*",
    ),
    *("_bootsubprocess", "_crypt", "_ctypes_test", "_curses*", "_dbm", "_elementtree", "_gdbm", "_lsprof", "_sqlite3"),
    *("_test*", "_tkinter", "_xx*", "aifc", "antigravity", "asynchat", "asyncore", "audioop", "bdb", "cProfile", "cgi"),
    *("cgitb", "chunk", "cmd", "compileall", "crypt", "curses", "dbm", "distutils", "doctest", "ensurepip", "ftplib"),
    *("filecmp", "fileinput", "graphlib", "idlelib", "imaplib", "imghdr", "lib2to3", "mailbox", "mailcap"),
    *("modulefinder", "msilib", "nis", "nntplib", "ossaudiodev", "pdb", "pickletools", "pipes", "plistlib", "poplib"),
    *("profile", "pstats", "pty", "py_compile", "pyclbr", "pydoc_data", "pyexpat", "readline", "rlcompleter"),
    *("sched", "shelve", "smtpd", "smtplib", "sndhdr", "spwd", "sqlite3", "sunau", "symtable", "tabnanny", "telnetlib"),
    *("this", "tkinter", "trace", "turtle", "turtledemo", "unittest", "uu", "venv", "wave", "webbrowser", "xdrlib"),
    *("xml", "xmlrpc", "xxlimited*", "xxsubtype", "zipapp"),
)

#: Other files of the base: for TLS, and for scanners, which recognize the distribution by them.
_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/etc/os-release", "/etc/debian_version")
#: Symbolic links at which Debian's OpenSSL expects the former.
_OPENSSL = ("cert.pem", "certs", "openssl.cnf")

_ETC = {
    "passwd": "root:x:0:0:root:/:/nonexistent\nnonroot:x:65532:65532:nonroot:/:/nonexistent\n",
    "group": "root:x:0:\nnonroot:x:65532:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}

#: Where Debian's dynamic linker searches. The image has no ld.so.cache.
_LIBRARIES = ("/lib", "/usr/lib")

#: Loaded by name: glibc's `pthread_exit` aborts the process without it.
_LOADED = ("libgcc_s.so.1",)

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # types of segments
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29  # tags of the dynamic section

#: Every module that the program may load.
_IMPORTS = """
import importlib, pkgutil, ssl, webhook, uvloop
for module in pkgutil.walk_packages(webhook.__path__, "webhook."): importlib.import_module(module.name)
assert ssl.create_default_context().get_ca_certs()
"""


class Linked(NamedTuple):
    """What a program or shared library wants from the dynamic linker."""

    machine: int  #: as in the ELF header: 62 is x86-64, 183 is AArch64
    interpreter: str  #: the dynamic linker; empty for a library
    needed: tuple[str, ...]
    paths: tuple[str, ...]  #: its own search path, which may begin with $ORIGIN


def linked(content: bytes) -> Linked | None:
    """Parse a 64-bit little-endian ELF file; None for any other content.

    https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
    """
    if not content.startswith(b"\x7fELF\2\1"):
        return None
    machine, table = struct.unpack_from("<18xH12xQ", content)
    size, count = struct.unpack_from("<HH", content, 54)
    segments = [struct.unpack_from("<I4xQQ8xQ", content, table + number * size) for number in range(count)]

    def text(start: int) -> str:
        return content[start : content.index(b"\0", start)].decode()

    interpreter = "".join(text(offset) for kind, offset, _, _ in segments if kind == _INTERPRETER)
    entries: list[tuple[int, ...]] = []
    for kind, offset, _, length in segments:
        if kind == _DYNAMIC:
            entries += struct.iter_unpack("<QQ", content[offset : offset + length // 16 * 16])
    # The string table is given by its address in memory.
    strings = [
        offset + value - start
        for tag, value in entries
        for kind, offset, start, length in segments
        if tag == _STRINGS and kind == _LOAD and start <= value < start + length
    ]
    found = [(tag, text(strings[0] + value)) for tag, value in entries if tag in {_NEEDED, _RPATH, _RUNPATH}]
    needed = tuple(value for tag, value in found if tag == _NEEDED)
    paths = tuple(path for tag, value in found if tag != _NEEDED for path in value.split(":"))
    return Linked(machine, interpreter, needed, paths)


class Root:
    """The image's files so far, and those of the base that can be added."""

    def __init__(self, base: Path, folder: Path) -> None:
        self._base = base
        self._folder = folder
        self._linked: set[str] = set()
        self._added: set[str] = set()
        self.machine = 0  #: of all programs and libraries

    def add(self, path: str) -> str:
        """Copy a file, or create a folder, and the symbolic links on the way to it; return its path without links.

        Raises `FileNotFoundError` if the base does not have it.
        """
        real, parts = PurePosixPath("/"), list(PurePosixPath(path).parts[1:])
        while parts:
            here = real / parts.pop(0)
            source, copy = self._base / str(here)[1:], self._folder / str(here)[1:]
            if here.name == "..":
                real = real.parent
            elif source.is_symlink():
                target = PurePosixPath(os.readlink(source))  # noqa: PTH115 - a path in the base
                if not copy.is_symlink():
                    copy.symlink_to(target)
                real = PurePosixPath("/") if target.is_absolute() else real
                parts[:0] = target.parts[1:] if target.is_absolute() else target.parts
            else:
                real = here
                if source.is_dir():
                    copy.mkdir(exist_ok=True)
                elif not copy.exists():
                    shutil.copyfile(source, copy)
                    copy.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
                    self._added.add(str(real))
        return str(real)

    def add_below(self, path: str, left_out: tuple[str, ...] = ()) -> None:
        """Copy a folder without the names that match a pattern."""
        folder = self.add(path)
        for entry in sorted((self._base / folder[1:]).iterdir()):
            if any(fnmatchcase(entry.name.partition(".")[0], pattern) for pattern in left_out):
                continue
            if entry.is_dir() and not entry.is_symlink():
                self.add_below(f"{folder}/{entry.name}", ("__pycache__", "test", "tests"))
            else:
                self.add(f"{folder}/{entry.name}")

    def add_libraries(self) -> None:
        """Copy the shared libraries that the files need, and those that these need.

        Raises `FileNotFoundError` if the dynamic linker would not find one, `ValueError` if one is for another machine.
        """
        while new := self._files() - self._linked:
            for path in sorted(new):
                wanted = linked((self._folder / path[1:]).read_bytes())
                if wanted is None:
                    continue
                self.machine = self.machine or wanted.machine
                if wanted.machine != self.machine:
                    raise ValueError(f"{path} is for machine {wanted.machine}, and others are for {self.machine}")
                if wanted.interpreter:
                    self.add(wanted.interpreter)
                origin = str(PurePosixPath(path).parent)
                own = [os.path.normpath(folder.replace("$ORIGIN", origin)) for folder in wanted.paths]
                for name in wanted.needed:
                    # A wheel may have its own library.
                    if not any((self._folder / folder[1:] / name).exists() for folder in own):
                        self.add_library(name, own)
            self._linked |= new

    def add_library(self, name: str, own: Sequence[str] = ()) -> None:
        """Copy a library from a program's own search path or the default one."""
        triplets = sorted({found.name for found in self._base.glob("usr/lib/*-linux-gnu")})
        folders = [*own, *(f"{folder}/{each}" for folder in _LIBRARIES for each in triplets), *_LIBRARIES]
        for folder in folders:
            try:
                self.add(f"{folder}/{name}")
            except FileNotFoundError:
                continue
            return
        raise FileNotFoundError(f"{name} is in none of {', '.join(folders)}")

    def add_package_records(self) -> None:
        """Record the Debian packages of the files, as distroless images do, so that scanners find vulnerable ones."""
        database = self._base / "var" / "lib" / "dpkg"
        if not (database / "status").exists():
            return
        # Packages may list /lib/x for /usr/lib/x.
        added = {path.removeprefix("/usr") for path in self._added}
        stanzas = {}
        for stanza in (database / "status").read_text().split("\n\n"):
            name = re.search(r"^Package: (\S+)$", stanza, re.MULTILINE)
            architecture = re.search(r"^Architecture: (\S+)$", stanza, re.MULTILINE)
            if name and architecture:
                stanzas[name[1]] = stanzas[f"{name[1]}:{architecture[1]}"] = (name[1], stanza)
        records = self._folder / "var" / "lib" / "dpkg" / "status.d"
        records.mkdir(parents=True)
        for listed in sorted((database / "info").glob("*.list")):
            if not added.isdisjoint(line.removeprefix("/usr") for line in listed.read_text().splitlines()):
                name, stanza = stanzas[listed.stem]
                (records / name).write_text(stanza.strip() + "\n")
                if (self._base / "usr" / "share" / "doc" / name / "copyright").exists():
                    self.add(f"/usr/share/doc/{name}/copyright")

    def _files(self) -> set[str]:
        files = (path for path in self._folder.rglob("*") if path.is_file() and not path.is_symlink())
        return {f"/{path.relative_to(self._folder)}" for path in files}


def assemble(base: Path, environment: Path, folder: Path) -> None:
    """Write the image's files into an empty folder."""
    root = Root(base, folder)
    shutil.copytree(environment, folder / str(environment)[1:], symlinks=True)
    program = environment / "bin" / "python"
    while program.is_relative_to(environment):
        program = program.parent / program.readlink()
    interpreter = root.add(str(program))
    library = f"{PurePosixPath(interpreter).parents[1]}/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    for folder_of_modules in (library, f"{library}/lib-dynload"):
        root.add_below(folder_of_modules, LEFT_OUT)
    root.add_libraries()
    for name in _LOADED:
        root.add_library(name)
    for file in _FILES:
        root.add(file)
    for name in _OPENSSL:
        if (base / "usr" / "lib" / "ssl" / name).is_symlink():
            root.add(f"/usr/lib/ssl/{name}")
    for name, content in _ETC.items():
        (folder / "etc" / name).write_text(content)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    root.add_package_records()
    compileall.compile_dir(
        folder / library[1:],
        quiet=1,
        stripdir=str(folder),
        prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if root.machine == _machine():
        subprocess.run(["chroot", folder, environment / "bin" / "python", "-BIc", _IMPORTS], check=True)  # noqa: S607
    else:
        print(f"Not run here: the image is for machine {root.machine}, and this is {_machine()}")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (THEN, THEN), follow_symlinks=False)


def _machine() -> int:
    this = linked(Path(sys.executable).read_bytes())
    return this.machine if this else 0


if __name__ == "__main__":
    assemble(*(Path(argument) for argument in sys.argv[1:]))
