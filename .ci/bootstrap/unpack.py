"""Unpack the packages of the single file, into the user's cache or, where that is not safe or possible, for one run."""

import atexit
import os
import shutil
import stat
import sys
import tempfile
import time
import zipfile

PACKAGES = "packages.zip"
#: Versions that have not been used for so long are deleted when another one is unpacked.
_UNUSED_SECONDS = 30 * 24 * 3600


def unpack(archive: str, folder: str) -> str:
    """Unpack the packages, and return their folder.

    The cache is used if no other user can write to it. It is written to another name and renamed, so that an
    interrupted run leaves nothing that a later one would use.
    """
    cache = os.path.dirname(folder)
    if not os.path.isabs(cache):
        return _unpack_for_one_run(archive)
    try:
        os.makedirs(cache, mode=0o700, exist_ok=True)
        if not _is_private(cache):
            return _unpack_for_one_run(archive)
        written = tempfile.mkdtemp(dir=cache, prefix=".new-")
        try:
            _extract(archive, written)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(written, folder)
        except OSError:
            shutil.rmtree(written, ignore_errors=True)
            if not os.path.isdir(folder) or not _is_private(folder):  # another process was not faster
                raise
        _delete_unused(cache)
    except OSError:
        return _unpack_for_one_run(archive)
    return folder


def _unpack_for_one_run(archive: str) -> str:
    folder = tempfile.mkdtemp(prefix="registry-webhook-")
    process = os.getpid()
    atexit.register(lambda: os.getpid() != process or shutil.rmtree(folder, ignore_errors=True))
    sys.dont_write_bytecode = True
    try:
        _extract(archive, folder)
    except OSError as error:
        sys.exit(f"error: cannot unpack into {folder}: {error.strerror}\nhint: set TMPDIR to a folder with 60 MB")
    return folder


def _is_private(folder: str) -> bool:
    """Return whether only this user or root can replace the folder's content, through the folders above too."""
    path = os.path.realpath(folder)
    found = os.stat(path)
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        return False
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        found = os.stat(path)
        # Others may write to /tmp, but not rename what is in it.
        open_to_others = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if open_to_others or found.st_uid not in {0, os.geteuid()}:
            return False
    return True


def _extract(archive: str, folder: str) -> None:
    """Extract the files that this Python can load."""
    with zipfile.ZipFile(archive) as outer, outer.open(PACKAGES) as packed, zipfile.ZipFile(packed) as inner:
        for name in inner.namelist():
            if ".cpython-" not in name or f".{sys.implementation.cache_tag}-" in name:
                inner.extract(name, folder)


def _delete_unused(cache: str) -> None:
    """Delete other versions that have not been started for a month, and what interrupted runs left."""
    oldest = time.time() - _UNUSED_SECONDS
    for entry in os.scandir(cache):
        if entry.stat(follow_symlinks=False).st_mtime < oldest:
            shutil.rmtree(entry.path, ignore_errors=True)
