"""Read what a drift report needs: running Pods, their controllers, and what rewrites Pods."""

from collections.abc import Sequence
from typing import NamedTuple

from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.diagnostics import namespaces
from webhook.diagnostics.drift.analysis import Observed
from webhook.diagnostics.namespaces import NamespacesNotReadable, NamespaceStatuses
from webhook.diagnostics.running_pods import Pod, controller
from webhook.errors import NotReadable
from webhook.kube.objects import Owner
from webhook.kube.reader import JOBS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Reader, Resource

#: Pods with only the fields that are compared, because all Pods of a cluster are in memory at once.
_RUNNING = Resource(PODS.display_name, PODS.group, PODS.plural, Pod)
#: Kinds that control Pods and can be controlled themselves, with their usual controller.
_PARENTS = ((REPLICA_SETS, "Deployment"), (REPLICATION_CONTROLLERS, "DeploymentConfig"), (JOBS, "CronJob"))


class Scope(NamedTuple):
    """The Pods to report on."""

    namespace: str | None
    """None for all selected namespaces."""
    fallback: str
    """The namespace to use instead of all, for users who may not list namespaces."""
    selector: str = ""
    """Selects Pods by their labels."""
    whole: bool = False
    """Whether namespaces that are not selected are included."""


def collect(reader: Reader, names: InstallationNames, settings: EffectiveConfig, scope: Scope) -> Observed:
    """Read the Pods of one namespace, of all, or of those that are selected. Raises `ClusterError`."""
    found = _statuses(reader, settings, scope)
    scopes = namespaces.scopes(found.by_name, whole=scope.whole)
    pods = namespaces.list_all(reader, _RUNNING, scopes, scope.selector)
    parents, unread, notes = _parents(reader, scopes)
    rewriter = namespaces.find_rewriter(reader, names, settings, found.by_name)
    return Observed(pods, found.by_name, parents, rewriter, (*found.notes, *notes), (*found.unread, *unread))


def _statuses(reader: Reader, settings: EffectiveConfig, scope: Scope) -> NamespaceStatuses:
    if scope.namespace is not None or scope.whole:
        return namespaces.namespace_statuses(reader, settings, scope.namespace)
    try:
        every = namespaces.namespace_statuses(reader, settings, None)
    except NamespacesNotReadable as error:
        found = namespaces.namespace_statuses(reader, settings, scope.fallback)
        note = f"only namespace {scope.fallback}, that of the kubeconfig context, is examined"
        return found._replace(unread=(error.cause, *found.unread), notes=(note, *found.notes))
    return every._replace(by_name={name: status for name, status in every.by_name.items() if status.selected})


def _parents(reader: Reader, scopes: Sequence[str | None]) -> tuple[dict[str, Owner], list[NotReadable], list[str]]:
    """Return the controllers of Pods' controllers, by the uid of the controlled object.

    Also return what could not be read, and the effect of that.
    """
    parents: dict[str, Owner] = {}
    unread, notes = [], []
    for resource, above in _PARENTS:
        for scope in scopes:
            try:
                found = reader.list(resource, scope)
            except NotReadable as error:
                unread.append(error)
                notes.append(f"Pods of a {above} are listed under its {resource.display_name}")
                break
            for one in found:
                owner = controller(one.metadata.owner_references)
                if owner is not None:
                    parents[one.metadata.uid] = owner
    return parents, unread, notes
