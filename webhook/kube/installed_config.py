"""Find an installation and its configuration: the ConfigMap, and the variables of the Deployment's containers."""

from collections.abc import Iterable
from typing import NamedTuple

from webhook.config.load import Loaded, load
from webhook.constants import (
    CONFIGURATION_ANNOTATION,
    DEFAULT_NAMESPACE,
    MANAGED_BY_LABEL,
    NAMESPACE_VARIABLE,
    PROGRAM,
    READER_ROLE,
    SERVICE_ANNOTATION,
    WEBHOOK_NAME,
    InstallationNames,
)
from webhook.errors import ConfigurationError, NotPermitted, NotReadable
from webhook.kube.object_names import is_namespace, is_release
from webhook.kube.objects import ConfigMap, Deployment, Metadata
from webhook.kube.partial import attempt, known, known_or
from webhook.kube.reader import CONFIG_MAPS, DEPLOYMENTS, WEBHOOKS, Reader

CONFIG_KEY = "config.yaml"
#: The containers of our Pods, and the volume with the configuration.
WEBHOOK, REFRESHER = "webhook", "refresher"
_VOLUME = "config"
#: helm adds it to every object of a release.
_RELEASE_ANNOTATION = "meta.helm.sh/release-name"
_LABELLED = f"app.kubernetes.io/name={PROGRAM}"


class InstalledObjects(NamedTuple):
    """The objects that make up a configuration; None if one does not exist."""

    names: InstallationNames
    config_map: ConfigMap | NotReadable | None
    deployment: Deployment | NotReadable | None

    @property
    def origin(self) -> str:
        return f"ConfigMap {self.names.namespace}/{self.names.config_map}"


def find_installation(reader: Reader, namespace: str | None = None) -> InstallationNames:
    """Find the names of an installation's objects, in one namespace or in all of them.

    The Deployment has the names. It is searched for by its default name, then in the namespace of the Service that the
    API server calls, then by its label. Names that cannot be found or read are the default ones.
    """
    default = InstallationNames(namespace=namespace or DEFAULT_NAMESPACE)
    try:
        deployment = reader.get(DEPLOYMENTS, default.deployment, default.namespace)
    except NotReadable:
        return default
    if deployment is not None and _is_ours(deployment):
        return _names(deployment)
    candidates = [one for one in _called_installations(reader) if namespace in {None, one.namespace}]
    namespaces: list[str | None] = [namespace] if namespace else [*(one.namespace for one in candidates), None]
    for searched in namespaces:
        found = known_or(attempt(reader.list, DEPLOYMENTS, searched, labels="" if searched else _LABELLED), ())
        ours = next(filter(_is_ours, found), None)
        if ours is not None:
            return _names(ours)
    return candidates[0] if candidates else default


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
        helm_release=release_of(deployment.metadata),
    )


def release_of(metadata: Metadata) -> str:
    """Return the Helm release, or empty: what `helm template` prints has the label too, without a release."""
    name = metadata.annotations.get(_RELEASE_ANNOTATION, "")
    return name if metadata.labels.get(MANAGED_BY_LABEL) == "Helm" and is_release(name) else ""


def _called_installations(reader: Reader) -> Iterable[InstallationNames]:
    """Yield the installations that the API server calls, by the webhook's name, which no kustomization changes."""
    for configuration in known_or(attempt(reader.list, WEBHOOKS), ()):
        for webhook in configuration.webhooks:
            service = webhook.client_config.service
            # The API server does not check that this is the name of a namespace.
            if webhook.name == WEBHOOK_NAME and service is not None and is_namespace(service.namespace):
                yield InstallationNames(
                    namespace=service.namespace, service=service.name, configuration=configuration.metadata.name
                )


def read_objects(reader: Reader, names: InstallationNames) -> InstalledObjects:
    """Read an installation's ConfigMap and Deployment, each `NotReadable` if it cannot be read."""
    config_map = attempt(reader.get, CONFIG_MAPS, names.config_map, names.namespace)
    deployment = attempt(reader.get, DEPLOYMENTS, names.deployment, names.namespace)
    return InstalledObjects(names, config_map, deployment)


def reader_role(names: InstallationNames) -> str:
    """Describe the role that lets users debug their own namespaces. A user without it may not see a Helm release."""
    return f"the role {names.renamed(READER_ROLE)}, which the component reader or the Helm value reader.enabled adds"


def load_valid_config(objects: InstalledObjects) -> Loaded:
    """Load the configuration of the webhook container. Raises `NotReadable`, also for an invalid configuration."""
    try:
        return load_config(objects)
    except ConfigurationError as error:
        more = f" (and {len(error.issues) - 1} more)" if len(error.issues) > 1 else ""
        raise NotReadable(f"the configuration is invalid: {error.issues[0].one_line}{more}") from None


def load_config(objects: InstalledObjects, container: str = WEBHOOK) -> Loaded:
    """Load the configuration of a container. Variables of the container that use `valueFrom` count as not set.

    Raises `ConfigurationError` with all issues, and `NotReadable`.
    """
    for part in (objects.config_map, objects.deployment):
        if isinstance(part, NotPermitted):
            hint = (
                f"ask an administrator for {reader_role(objects.names)}, or pass the configuration with --config FILE"
            )
            raise NotPermitted(part.action, hint=hint)
    config_map = known(objects.config_map)
    known(objects.deployment)
    if config_map is None:
        hint = "name the namespace with --installation-namespace, or pass the configuration with --config FILE"
        raise NotReadable(f"{PROGRAM} is not installed, or elsewhere: {objects.origin} does not exist", hint=hint)
    text = config_map.data.get(CONFIG_KEY)
    if text is None:
        hint = "apply the installation's folder again, or pass the configuration with --config FILE"
        raise NotReadable(f"{objects.origin} has no {CONFIG_KEY}", hint=hint)
    return load(text.encode(), f"{objects.origin}, {CONFIG_KEY}", environment_of(objects, container))


def environment_of(objects: InstalledObjects, container: str) -> dict[str, str]:
    """Return the variables that the Deployment sets in a container by value, and the one for the namespace."""
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
