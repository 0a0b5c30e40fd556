"""Connection, configuration and output of the commands that read a cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from webhook.cli.options import config_name, load_options
from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.kube import client, installed_config
from webhook.kube.access import Access
from webhook.kube.installed_config import InstalledObjects
from webhook.kube.reader import Reader
from webhook.output import progress, table, terminal
from webhook.output.table import Form
from webhook.output.terminal import Screen

_T = TypeVar("_T")

#: Exit statuses: nothing or nothing wrong was found, something was found, the command failed.
EXIT_OK, EXIT_FOUND, EXIT_ERROR = 0, 1, 2


@contextmanager
def connected_reader(access: Access) -> Iterator[Reader]:
    """Connect to the cluster, check that it answers, and show the progress of reading it. Raises `ClusterError`."""
    reader = Reader(client.connect(access, lambda _method, _status: None))
    try:
        with progress.step("Reading the cluster"):
            reader.version()
            yield reader
    finally:
        reader.close()


def effective_config(
    reader: Reader, config: Path | None, names: InstallationNames, objects: InstalledObjects | None = None
) -> EffectiveConfig:
    """Return the configuration of a file or, without one, of the installation, whose `objects` may be read already.

    Raises `ConfigurationError` or `FileError` for the file, and `NotReadable` for the installation.
    """
    if config is not None:
        return EffectiveConfig(load_options(config).configuration.at(names), config_name(config))
    objects = objects or installed_config.read_objects(reader, names)
    return EffectiveConfig(installed_config.load_valid_config(objects).configuration, objects.origin)


def show(found: _T, lines: Callable[[_T, Screen], Iterable[str]], form: Form) -> None:
    """Print a result: its lines for a terminal, or a document for programs."""
    if form == "table":
        terminal.write_all(lines(found, terminal.screen()))
    else:
        terminal.write_document(table.structured(found, form), form)
