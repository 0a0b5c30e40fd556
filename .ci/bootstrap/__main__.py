"""Start the command from its single file.

The file is a zip with this module, `unpack.py` and one inner zip with all packages. These cannot be imported from a
zip, because some are shared libraries, so the first run unpacks them into the user's cache. All other runs import
nothing here but `os` and `sys`, and open no inner zip.

This module must be valid in every Python, so that an old one gets an error instead of a traceback.
"""

import os
import sys

ARCHIVE = os.path.dirname(__file__)
PLATFORM, DIGEST = "@PLATFORM@", "@DIGEST@"
OLDEST, NEWEST = (3, 11), (3, 14)
#: The next Python to try, if none was suitable so far.
TRIED = "_REGISTRY_WEBHOOK_PYTHON"


def _fail(message, hint):
    sys.stderr.write("error: %s\nhint: %s\n" % (message, hint))
    sys.exit(2)


def _check_python():
    """Continue with a Python that the file has libraries for, from the PATH if this one is not."""
    tried = os.environ.pop(TRIED, "python3.%d" % NEWEST[1])
    # Free-threaded and debug builds have flags, and need other libraries.
    if OLDEST <= sys.version_info[:2] <= NEWEST and sys.implementation.name == "cpython" and not sys.abiflags:
        return
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        python = "python3.%d" % minor
        if tried < python:
            continue
        try:
            os.environ[TRIED] = "python3.%d" % (minor - 1)
            os.execvp(python, [python] + sys.argv)
        except OSError:
            pass
    _fail(
        "Python 3.%d to 3.%d is needed, and this is Python %s" % (OLDEST[1], NEWEST[1], sys.version.split()[0]),
        "install Python 3.%d, or put it on the PATH" % NEWEST[1],
    )


def _check_platform():
    uname = os.uname()
    machine = {"aarch64": "arm64", "x86_64": "amd64"}.get(uname.machine, uname.machine)
    here = "%s-%s" % (uname.sysname.lower(), machine)
    if here != PLATFORM:
        _fail(
            "this file is for %s, and this is %s" % (PLATFORM, here),
            "download the file for %s, or use pipx if there is none" % here,
        )
    if here.startswith("linux"):
        try:
            os.confstr("CS_GNU_LIBC_VERSION")
        except (OSError, ValueError):
            _fail("this file needs glibc, and this system has another C library", "use pipx, or the image")


def _packages():
    """Return the folder with the packages, which is unpacked if it is missing."""
    name = "%s-%s" % (DIGEST, sys.implementation.cache_tag)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "registry-webhook", name)
    try:
        found = os.lstat(folder)
        # Only this user can have written it: others could otherwise run code as this user.
        if found.st_uid == os.geteuid() and not found.st_mode & 0o022 and os.path.isabs(folder):
            os.utime(folder)
            return folder
    except OSError:
        pass
    _check_platform()
    import unpack

    return unpack.unpack(ARCHIVE, folder)


def _main():
    _check_python()
    # The cache is this program's own, and without bytecode each run would compile. `unpack` forbids it for one run.
    sys.dont_write_bytecode = False
    sys.path[:] = [_packages()] + [one for one in sys.path if one != ARCHIVE]
    if os.path.basename(sys.argv[0]).startswith("kubectl_complete-"):
        from webhook.cli.completion import complete_for_kubectl as run
    else:
        from webhook.cli import main as run
    run()


if __name__ == "__main__":
    _main()
