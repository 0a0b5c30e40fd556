"""The installation's configuration or, for a user who may not read it, an assumed one."""

from typing import NamedTuple

from msgspec import structs

from webhook.constants import InstallationNames
from webhook.errors import NotReadable
from webhook.kube import installed_config
from webhook.kube.reader import Reader
from webhook.settings import Configuration

#: Stands for the registry if the server is not known. The domain never exists: RFC 2606.
UNKNOWN_SERVER = "registry.invalid"


class InstalledConfig(NamedTuple):
    """A configuration and where it was read."""

    configuration: Configuration
    origin: str
    unread: tuple[NotReadable, ...] = ()
    """What could not be read, if the configuration is assumed."""
    notes: tuple[str, ...] = ()
    """What is assumed, in one line."""


def read(reader: Reader, names: InstallationNames, server: str | None = None) -> InstalledConfig:
    """Read the installation's configuration, or assume one that has a registry and no rules.

    `server` is the registry to assume, if it is known. Raises `NotReadable` if there is no valid configuration.
    """
    found = installed_config.read_objects(reader, names)
    unread = tuple(part for part in (found.config_map, found.deployment) if isinstance(part, NotReadable))
    if not unread:
        return InstalledConfig(installed_config.load_valid_config(found).configuration, found.origin)
    configuration = Configuration()
    registry = structs.replace(configuration.registry, server=server or UNKNOWN_SERVER)
    assumed = f"registry {server}" if server else f"{UNKNOWN_SERVER} as the name of the registry"
    note = (
        f"the configuration could not be read. The result assumes {assumed}, and no rules or exclusions. "
        "Use --config FILE to name the configuration"
    )
    return InstalledConfig(
        structs.replace(configuration, registry=registry).at(names), "assumed configuration", unread, (note,)
    )
