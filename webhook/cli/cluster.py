"""What the commands share that look at a cluster: how it is read, what is decided by, and where findings are shown."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webhook.cli.options import load_options
from webhook.config import assemble
from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.kube import client, installed_config
from webhook.kube.installed_config import InstalledObjects
from webhook.kube.reader import Reader
from webhook.kube.unknown import Unknown
from webhook.output.terminal import Screen

#: Exit statuses: all is right or nothing was found, something was found, and it could not be done.
EXIT_OK, EXIT_FOUND, EXIT_ERROR = 0, 1, 2


@contextmanager
def connected_reader(kubeconfig: Path | None, context: str | None) -> Iterator[Reader]:
    """Connect to the cluster that a command was told of, and see that it is there. Raises `ClusterError`."""
    reader = Reader(client.connect(kubeconfig, context, lambda _method, _status: None))
    try:
        reader.version()
        yield reader
    finally:
        reader.close()


def effective_config(
    reader: Reader, config: Path | None, names: InstallationNames, objects: InstalledObjects | None = None
) -> EffectiveConfig | Unknown:
    """Give what is decided by: the file that a command was told of, or the installation's configuration.

    `objects` of that are what was read already. Raises `ConfigurationError` or `FileError` for the file.
    """
    if config is not None:
        return assemble.settings(assemble.placed(load_options(config).configuration, names), str(config))
    objects = objects or installed_config.read_objects(reader, names)
    found = installed_config.load_or_unknown(objects)
    if isinstance(found, Unknown):
        return found
    return assemble.settings(found.configuration, objects.origin)


def screen() -> Screen:
    """Say how standard output shows text: on a terminal with an end to its lines, and with colours unless NO_COLOR."""
    if not sys.stdout.isatty():
        return Screen()
    return Screen(shutil.get_terminal_size().columns, "NO_COLOR" not in os.environ)
