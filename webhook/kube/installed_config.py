"""Where an installation is, and the configuration that it goes by.

That is its ConfigMap, and the variables of a container of its Deployment.
"""

from collections.abc import Iterable
from typing import NamedTuple

from webhook.config.load import Loaded, load
from webhook.constants import (
    CONFIGURATION_ANNOTATION,
    DEFAULT_NAMESPACE,
    NAMESPACE_VARIABLE,
    PROGRAM,
    SERVICE_ANNOTATION,
    WEBHOOK_NAME,
    InstallationNames,
)
from webhook.errors import ConfigurationError
from webhook.kube.objects import ConfigMap, Deployment, WebhookConfiguration
from webhook.kube.reader import CONFIG_MAPS, DEPLOYMENTS, WEBHOOKS, Reader
from webhook.kube.unknown import Unknown

CONFIG_KEY = "config.yaml"
#: The containers of our Pods, and the volume with the configuration.
WEBHOOK, REFRESHER = "webhook", "refresher"
_VOLUME = "config"
_LABELLED = f"app.kubernetes.io/name={PROGRAM}"


class InstalledObjects(NamedTuple):
    """What a configuration is put together of; a part that is None is not there."""

    names: InstallationNames
    config_map: ConfigMap | Unknown | None
    deployment: Deployment | Unknown | None

    @property
    def origin(self) -> str:
        """Say where the configuration stands."""
        return f"ConfigMap {self.names.namespace}/{self.names.config_map}"


def find_installation(reader: Reader, namespace: str | None = None) -> InstallationNames:
    """Find an installation: the one in `namespace`, or with None the one that there is.

    Its Deployment says what its objects are called. It is looked for where the manifests have it, then where the API
    server calls the webhook, and by its label. What cannot be found or read is called as the manifests have it.
    """
    supposed = InstallationNames(namespace=namespace or DEFAULT_NAMESPACE)
    there = reader.get(DEPLOYMENTS, supposed.deployment, supposed.namespace)
    if isinstance(there, Unknown):
        return supposed
    if there is not None and _is_ours(there):
        return _names(there)
    called = [one for one in _called_installations(reader) if namespace in {None, one.namespace}]
    places: list[str | None] = [namespace] if namespace else [*(one.namespace for one in called), None]
    for place in places:
        found = reader.list(DEPLOYMENTS, place, labels="" if place else _LABELLED)
        ours = () if isinstance(found, Unknown) else [one for one in found if _is_ours(one)]
        if ours:
            return _names(ours[0])
    return called[0] if called else supposed


def _is_ours(deployment: Deployment) -> bool:
    containers = {one.name for one in deployment.spec.template.spec.containers}
    return {WEBHOOK, REFRESHER} <= containers


def _names(deployment: Deployment) -> InstallationNames:
    template = deployment.spec.template
    annotations = template.metadata.annotations
    maps = (one.config_map.name for one in template.spec.volumes if one.name == _VOLUME and one.config_map)
    return InstallationNames(
        namespace=deployment.metadata.namespace,
        service=annotations.get(SERVICE_ANNOTATION, PROGRAM),
        configuration=annotations.get(CONFIGURATION_ANNOTATION, PROGRAM),
        deployment=deployment.metadata.name,
        config_map=next(maps, PROGRAM),
        service_account=template.spec.service_account_name or PROGRAM,
    )


def _called_installations(reader: Reader) -> Iterable[InstallationNames]:
    """Give the installations that the API server calls, by the one name that no kustomization changes."""
    configurations: tuple[WebhookConfiguration, ...] | Unknown = reader.list(WEBHOOKS)
    if isinstance(configurations, Unknown):
        return
    for configuration in configurations:
        for webhook in configuration.webhooks:
            service = webhook.client_config.service
            if webhook.name == WEBHOOK_NAME and service is not None:
                yield InstallationNames(
                    namespace=service.namespace, service=service.name, configuration=configuration.metadata.name
                )


def read_objects(reader: Reader, names: InstallationNames) -> InstalledObjects:
    """Read an installation's ConfigMap and Deployment."""
    config_map = reader.get(CONFIG_MAPS, names.config_map, names.namespace)
    deployment = reader.get(DEPLOYMENTS, names.deployment, names.namespace)
    return InstalledObjects(names, config_map, deployment)


def load_or_unknown(objects: InstalledObjects, container: str = WEBHOOK) -> Loaded | Unknown:
    """Load the configuration as a container has it. What its variables take from elsewhere counts as not set."""
    try:
        return load_config(objects, container)
    except ConfigurationError as error:
        more = f" (and {len(error.issues) - 1} more)" if len(error.issues) > 1 else ""
        return Unknown(f"the configuration is broken: {error.issues[0]}{more}")


def load_config(objects: InstalledObjects, container: str = WEBHOOK) -> Loaded | Unknown:
    """Load it as `load_or_unknown` does. Raises `ConfigurationError` with every fault."""
    if isinstance(objects.config_map, Unknown):
        return objects.config_map
    if isinstance(objects.deployment, Unknown):
        return objects.deployment
    if objects.config_map is None:
        hint = "--installation-namespace says where, and --config FILE takes a file"
        return Unknown(f"there is no {objects.origin}: nothing is installed, or elsewhere ({hint})")
    text = objects.config_map.data.get(CONFIG_KEY)
    if text is None:
        return Unknown(f"{objects.origin} has no {CONFIG_KEY}")
    return load(text.encode(), f"{objects.origin}, {CONFIG_KEY}", environment_of(objects, container))


def environment_of(objects: InstalledObjects, container: str) -> dict[str, str]:
    """Give the variables that the Deployment sets in a container by their values, and the namespace that it is in."""
    found = {NAMESPACE_VARIABLE: objects.names.namespace}
    if not isinstance(objects.deployment, Deployment):
        return found
    processes = objects.deployment.spec.template.spec.containers
    return found | {
        variable.name: variable.value
        for process in processes
        if process.name == container
        for variable in process.env
        if variable.value is not None
    }
