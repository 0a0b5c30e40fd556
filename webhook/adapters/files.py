"""Reading small files, bounded, with errors that a user can act on."""

import stat
from pathlib import Path

from webhook.errors import FileError

LIMIT = 1024 * 1024
BUILT_IN = "built-in defaults"


def configuration(path: Path | None) -> tuple[bytes, str]:
    """Read a configuration's bytes, and say what to call it; without a path there is none, and the defaults hold.

    Raises `FileError`.
    """
    return (b"", BUILT_IN) if path is None else (read(path), str(path))


def read(path: Path, limit: int = LIMIT) -> bytes:
    """Read a file of at most `limit` bytes.

    Raises `FileError`, in one line with the path, for one that is not there, not readable, no plain file or larger. A
    named pipe is refused before it is opened, for opening it could wait for ever.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileError(f"{path}: it is {'a directory' if path.is_dir() else 'no plain file'}")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FileError(f"{path}: {reason[:1].lower()}{reason[1:]}") from None
    if len(content) > limit:
        raise FileError(f"{path}: it is larger than {limit // 1024 // 1024} MiB")
    return content
