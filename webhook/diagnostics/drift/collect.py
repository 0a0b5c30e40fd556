"""Read what a drift report needs: running Pods, their controllers, and what rewrites Pods."""

from collections.abc import Sequence

from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.diagnostics import namespaces
from webhook.diagnostics.drift.analysis import Observed
from webhook.diagnostics.running_pods import Pod, controller
from webhook.errors import NotReadable
from webhook.kube.objects import Owner
from webhook.kube.reader import JOBS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Reader, Resource

#: Pods with only the fields that are compared, because all Pods of a cluster are in memory at once.
_RUNNING = Resource(PODS.display_name, PODS.group, PODS.plural, Pod)
#: Kinds that control Pods and can be controlled themselves, with their usual controller.
_PARENTS = ((REPLICA_SETS, "Deployment"), (REPLICATION_CONTROLLERS, "DeploymentConfig"), (JOBS, "CronJob"))


def collect(  # noqa: PLR0913 - the last three are options
    reader: Reader,
    names: InstallationNames,
    settings: EffectiveConfig,
    namespace: str | None,
    selector: str = "",
    *,
    all_namespaces: bool,
) -> Observed:
    """Read the Pods of one namespace, of all, or of those that are selected. Raises `ClusterError`.

    `selector` selects Pods by their labels.
    """
    statuses, notes = namespaces.namespace_statuses(reader, settings, namespace)
    if namespace is None and not all_namespaces:
        statuses = {name: status for name, status in statuses.items() if status.selected}
    scopes = namespaces.scopes(statuses, whole=all_namespaces)
    pods = namespaces.list_all(reader, _RUNNING, scopes, selector)
    parents, unread = _parents(reader, scopes)
    rewriter = namespaces.find_rewriter(reader, names, settings, statuses)
    return Observed(pods, statuses, parents, rewriter, (*notes, *unread))


def _parents(reader: Reader, scopes: Sequence[str | None]) -> tuple[dict[str, Owner], list[str]]:
    """Return the controllers of Pods' controllers, by the uid of the controlled object, and what could not be read."""
    parents: dict[str, Owner] = {}
    notes = []
    for resource, above in _PARENTS:
        for scope in scopes:
            try:
                found = reader.list(resource, scope)
            except NotReadable as error:
                notes.append(f"{error}: what a {above} runs stands under its {resource.display_name}")
                break
            for one in found:
                owner = controller(one.metadata.owner_references)
                if owner is not None:
                    parents[one.metadata.uid] = owner
    return parents, notes
