"""Read and write small files, with errors that a user can act on."""

import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from webhook.errors import FileError

LIMIT = 1024 * 1024
#: The names of what is not a file, for messages.
BUILT_IN, STANDARD_INPUT = "built-in defaults", "standard input"


def configuration(path: Path | None) -> tuple[bytes, str]:
    """Return a configuration's bytes, empty without a path, and its name for messages. Raises `FileError`."""
    return (b"", BUILT_IN) if path is None else (read(path), str(path))


def read(path: Path, limit: int = LIMIT, *, pipes: bool = False) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises `FileError` for one that is missing, unreadable, not a regular file or larger. Without `pipes`, which is for
    what a user passes to a command, a named pipe is refused before it is opened, because that could block forever.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError("is a directory", where=str(path))
        if not (stat.S_ISREG(mode) or (pipes and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)))):
            raise FileError("not a regular file", where=str(path))
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(f"{reason[:1].lower()}{reason[1:]}", where=str(path)) from None
    if len(content) > limit:
        raise FileError(f"larger than {limit // 1024 // 1024} MiB", where=str(path))
    return content


def write_all(folder: Path, contents: Mapping[str, bytes], private: frozenset[str]) -> None:
    """Write all files into a directory, which is created if it is missing, or none of them.

    Existing files are replaced when all are written. Those in `private` are never readable by others. Raises
    `FileError`.
    """
    fresh: dict[Path, Path] = {}
    path = folder
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "not a directory")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in contents.items():
            path = folder / name
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a directory")
            fresh[path] = folder / f".{name}.{os.urandom(4).hex()}"
            mode = 0o600 if name in private else 0o644
            with os.fdopen(os.open(fresh[path], os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path, written in fresh.items():
            written.replace(path)
    except FileExistsError:
        raise FileError("cannot write: not a directory", where=str(folder)) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"cannot write: {reason[:1].lower()}{reason[1:]}", where=str(path)) from None
    finally:
        for written in fresh.values():
            with suppress(OSError):
                written.unlink(missing_ok=True)
