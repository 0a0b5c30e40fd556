"""The configuration that an installation goes by: its ConfigMap, and the variables of a container of its Deployment."""

from typing import NamedTuple

from webhook.adapters.cluster.reading import CONFIG_MAPS, DEPLOYMENTS, Reader
from webhook.config.load import Loaded, load
from webhook.errors import ConfigurationError
from webhook.inspection.objects import ConfigMap, Deployment
from webhook.inspection.snapshot import Unknown
from webhook.names import OWN_NAMESPACE, PROGRAM

KEY = "config.yaml"
ORIGIN = f"ConfigMap {OWN_NAMESPACE}/{PROGRAM}"
#: The containers of our Pods.
WEBHOOK, REFRESHER = "webhook", "refresher"


class Parts(NamedTuple):
    """What a configuration is put together of; a part that is None is not there."""

    config_map: ConfigMap | Unknown | None
    deployment: Deployment | Unknown | None


def read(reader: Reader) -> Parts:
    """Read the installation's ConfigMap and Deployment."""
    config_map = reader.get(CONFIG_MAPS, PROGRAM, OWN_NAMESPACE)
    deployment = reader.get(DEPLOYMENTS, PROGRAM, OWN_NAMESPACE)
    return Parts(config_map, deployment)


def loaded(parts: Parts, container: str = WEBHOOK) -> Loaded | Unknown:
    """Load the configuration as a container has it. What its variables take from elsewhere counts as not set."""
    try:
        return checked(parts, container)
    except ConfigurationError as error:
        more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
        return Unknown(f"the configuration is broken: {error.faults[0]}{more}")


def checked(parts: Parts, container: str = WEBHOOK) -> Loaded | Unknown:
    """Load it as `loaded` does. Raises `ConfigurationError` with every fault."""
    if isinstance(parts.config_map, Unknown):
        return parts.config_map
    if isinstance(parts.deployment, Unknown):
        return parts.deployment
    if parts.config_map is None:
        return Unknown(f"there is no {ORIGIN}: nothing is installed, or by another name (--config FILE takes a file)")
    text = parts.config_map.data.get(KEY)
    if text is None:
        return Unknown(f"{ORIGIN} has no {KEY}")
    return load(text.encode(), f"{ORIGIN}, {KEY}", variables(parts, container))


def variables(parts: Parts, container: str) -> dict[str, str]:
    """Give the variables that the Deployment sets in a container by their values."""
    if not isinstance(parts.deployment, Deployment):
        return {}
    processes = parts.deployment.spec.template.spec.containers
    return {
        variable.name: variable.value
        for process in processes
        if process.name == container
        for variable in process.env
        if variable.value is not None
    }
