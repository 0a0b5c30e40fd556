"""The configuration that a process goes by, read again when its file changes: the last good one stays."""

import logging
import mmap
from collections.abc import Mapping
from pathlib import Path

from webhook import log
from webhook.config import files
from webhook.config.load import Loaded, load
from webhook.errors import ConfigurationError, FileError

_log = logging.getLogger("webhook.configuration")


class ConfigWatcher:
    """What is in force, and what is wrong with the file as it is now."""

    def __init__(self, path: Path | None, environment: Mapping[str, str]) -> None:
        """Load the YAML file, or with None the built-in defaults; variables are as they are now.

        Raises `ConfigurationError` or `FileError` for a configuration that cannot be used.
        """
        self._path = path
        self.environment = environment
        content = self._read()
        self._found: bytes | str = content
        self._shared = _Shared()
        self.loaded: Loaded = self._load(content)
        """What is in force."""
        self._accept(content)
        self.error: str | None = None
        """Why the file as it is now is not in force, in one line."""

    def poll(self) -> bool:
        """Look at the file; tell whether what it holds is new and in force from now on."""
        try:
            found: bytes | str = self._read()
        except FileError as error:
            found = str(error)
        if found == self._found:
            return False
        self._found = found
        try:
            if isinstance(found, str):
                self._store(found)
                return self._recall()
            self.loaded = self._load(found)
        except ConfigurationError as error:
            self._store(*map(str, error.issues))
            return self._recall()
        self.error = None
        self._accept(found)
        return True

    def _accept(self, content: bytes) -> None:
        self._content = content
        self._shared.write(content)
        log.set_level(self.loaded.configuration.webhook.log_level)

    def _recall(self) -> bool:
        """Go by what a process in whose place this one is went by; tell whether that is another configuration."""
        content = self._shared.read()
        if content == self._content:
            return False
        try:
            self.loaded = self._load(content)
        except ConfigurationError:
            return False  # it died while it wrote that down
        self._accept(content)
        return True

    def _store(self, *faults: str) -> None:
        self.error = faults[0]
        for fault in faults:
            _log.error("the configuration is broken, the last good one stays: %s", fault)

    def _read(self) -> bytes:
        return files.configuration(self._path)[0]

    def _load(self, text: bytes) -> Loaded:
        return load(text, str(self._path or files.BUILT_IN), self.environment)


class _Shared:
    """The content that was in force last, in memory that processes share which are forked from one another."""

    _SIZE = 8

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._SIZE + files.LIMIT)

    def write(self, content: bytes) -> None:
        self._memory[: self._SIZE + len(content)] = len(content).to_bytes(self._SIZE, "big") + content

    def read(self) -> bytes:
        size = int.from_bytes(self._memory[: self._SIZE], "big")
        return self._memory[self._SIZE : self._SIZE + size]
