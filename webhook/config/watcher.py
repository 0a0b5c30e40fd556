"""Reloads the configuration when its file changes, and keeps the last valid one while the file is invalid."""

import logging
import mmap
from collections.abc import Mapping
from itertools import starmap
from pathlib import Path

from webhook import log
from webhook.config import files
from webhook.config.load import Loaded, load
from webhook.errors import ConfigurationError, FileError, one_line

_log = logging.getLogger("webhook.configuration")


class ConfigWatcher:
    """The configuration in use, and the error in the current file if there is one."""

    def __init__(self, path: Path | None, environment: Mapping[str, str]) -> None:
        """Load the YAML file, or the defaults without a path. Raises `ConfigurationError` or `FileError`."""
        self._path = path
        self.environment = environment
        content = self._read()
        self._found: bytes | str = content
        self._shared = _Shared()
        self.loaded: Loaded = self._load(content)
        """The configuration in use."""
        self._accept(content)
        self.errors: tuple[str, ...] = ()
        """Why the current file is not used: a line for each error."""

    @property
    def error(self) -> str | None:
        """The first of `errors`."""
        return self.errors[0] if self.errors else None

    def poll(self) -> bool:
        """Read the file; return whether the configuration in use has been replaced."""
        try:
            found: bytes | str = self._read()
        except FileError as error:
            found = str(error)
        if found == self._found:
            return False
        self._found = found
        try:
            if isinstance(found, str):
                self._reject((found, ""))
                return self._recall()
            self.loaded = self._load(found)
        except ConfigurationError as error:
            self._reject(*((str(issue), issue.hint) for issue in error.issues))
            return self._recall()
        self.errors = ()
        self._accept(found)
        return True

    def _accept(self, content: bytes) -> None:
        self._content = content
        self._shared.write(content)
        log.set_level(self.loaded.configuration.webhook.log_level)

    def _recall(self) -> bool:
        """Use the last valid configuration, which may be that of a process that this one replaced.

        Return whether the configuration in use has been replaced.
        """
        content = self._shared.read()
        if content == self._content:
            return False
        try:
            self.loaded = self._load(content)
        except ConfigurationError:
            return False  # that process died while writing it
        self._accept(content)
        return True

    def _reject(self, *errors: tuple[str, str]) -> None:
        """Log and keep errors, each with its hint."""
        self.errors = tuple(starmap(one_line, errors))
        for error, hint in errors:
            _log.error(
                log.event("configuration reload failed, keeping previous configuration", error=error, hint=hint or None)
            )

    def _read(self) -> bytes:
        return files.configuration(self._path)[0]

    def _load(self, text: bytes) -> Loaded:
        return load(text, str(self._path or files.BUILT_IN), self.environment)


class _Shared:
    """The last valid content, in memory that forked processes share."""

    _SIZE = 8

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._SIZE + files.LIMIT)

    def write(self, content: bytes) -> None:
        self._memory[: self._SIZE + len(content)] = len(content).to_bytes(self._SIZE, "big") + content

    def read(self) -> bytes:
        size = int.from_bytes(self._memory[: self._SIZE], "big")
        return self._memory[self._SIZE : self._SIZE + size]
