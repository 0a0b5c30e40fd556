"""The configuration that a process goes by, read again when its file changes: the last good one stays."""

import logging
from collections.abc import Mapping
from pathlib import Path

from webhook import log
from webhook.adapters import files
from webhook.config.load import Loaded, load
from webhook.errors import ConfigurationError, FileError

_log = logging.getLogger("webhook.configuration")


class WatchedConfiguration:
    """What is in force, and what is wrong with the file as it is now."""

    def __init__(self, path: Path | None, environment: Mapping[str, str]) -> None:
        """Load the YAML file, or with None the built-in defaults; variables are as they are now.

        Raises `ConfigurationError` or `FileError` for a configuration that cannot be used.
        """
        self._path = path
        self.environment = environment
        self._found: bytes | str = self._read()
        self.loaded: Loaded = self._load(self._found)
        log.follow(self.loaded.configuration.webhook.log_level)
        """What is in force."""
        self.fault: str | None = None
        """Why the file as it is now is not in force, in one line."""

    def look(self) -> bool:
        """Look at the file; tell whether what it holds is new and in force from now on."""
        try:
            found: bytes | str = self._read()
        except FileError as error:
            found = str(error)
        if found == self._found:
            return False
        self._found = found
        if isinstance(found, str):
            self._keep(found)
            return False
        try:
            self.loaded = self._load(found)
        except ConfigurationError as error:
            self._keep(*map(str, error.faults))
            return False
        self.fault = None
        log.follow(self.loaded.configuration.webhook.log_level)
        return True

    def _keep(self, *faults: str) -> None:
        self.fault = faults[0]
        for fault in faults:
            _log.error("the configuration is broken, the last good one stays: %s", fault)

    def _read(self) -> bytes:
        return files.configuration(self._path)[0]

    def _load(self, text: bytes) -> Loaded:
        return load(text, str(self._path or files.BUILT_IN), self.environment)
