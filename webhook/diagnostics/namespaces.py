"""Selected namespaces, their objects and their rewriter, for the features that read many namespaces."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.constants import CONFIGURATION_HASH_ANNOTATION, InstallationNames
from webhook.diagnostics import sample_pod, webhook_match
from webhook.diagnostics.evaluate import NamespaceStatus, Rewriter, namespace_status
from webhook.diagnostics.generated_policies import generated
from webhook.errors import NO_PERMISSION, ClusterError, NotPermitted, NotReadable
from webhook.kube.objects import WebhookConfiguration
from webhook.kube.partial import attempt, known_or
from webhook.kube.reader import MUTATING_POLICIES, NAMESPACES, WEBHOOKS, Reader, Resource
from webhook.output import progress

#: Limit of namespaces whose objects are listed one by one; for more, the whole cluster is listed.
_FEW = 20

_T = TypeVar("_T")


class NamespacesNotReadable(ClusterError):
    """Namespaces cannot be listed, so one has to be named."""

    def __init__(self, cause: NotReadable) -> None:
        super().__init__(cause.reason, hint="name one namespace with --namespace")
        self.cause = cause


class NamespaceStatuses(NamedTuple):
    """The status of namespaces."""

    by_name: dict[str, NamespaceStatus]
    unread: tuple[NotReadable, ...] = ()
    """What could not be read."""
    notes: tuple[str, ...] = ()
    """What is assumed instead, a line each."""


def namespace_statuses(reader: Reader, settings: EffectiveConfig, namespace: str | None) -> NamespaceStatuses:
    """Return the status of each namespace, or of the named one.

    Raises `ClusterError` if the named one does not exist, and `NamespacesNotReadable`.
    """
    if namespace is None:
        try:
            every = reader.list(NAMESPACES)
        except NotReadable as error:
            raise NamespacesNotReadable(error) from None
        there = [one.metadata for one in every if one.metadata.deletion_timestamp is None]
        return NamespaceStatuses({one.name: namespace_status(settings, one.name, one.labels) for one in there})
    try:
        found = reader.get(NAMESPACES, namespace)
    except NotReadable as error:
        why = "assumed to be opted in"
        assumed = NamespaceStatus(selected=True, selectable=True, why=why)
        return NamespaceStatuses({namespace: assumed}, (error,), (f"namespace {namespace} is {why}",))
    if found is None:
        raise ClusterError(f"namespace {namespace} not found")
    return NamespaceStatuses({namespace: namespace_status(settings, namespace, found.metadata.labels)})


def unread_notes(errors: Iterable[NotReadable]) -> list[str]:
    """Return what could not be read: one line for all missing permissions, and a line for each other reason."""
    every = list(errors)
    denied = dict.fromkeys(error.action for error in every if isinstance(error, NotPermitted))
    others = dict.fromkeys(error.reason for error in every if not isinstance(error, NotPermitted))
    return [*([f"{NO_PERMISSION} {', '.join(denied)}"] if denied else []), *others]


def scopes(found: Collection[str], *, whole: bool) -> Sequence[str | None]:
    """Return the namespaces to list one by one, or None alone for the whole cluster."""
    return (None,) if whole or len(found) > _FEW else tuple(found)


def list_all(reader: Reader, resource: Resource[_T], scopes: Sequence[str | None], labels: str = "") -> list[_T]:
    """List objects, with its progress. Raises `ClusterError`."""
    every: list[_T] = []
    with progress.step(f"Reading {resource.display_name}") as report:
        for number, scope in enumerate(scopes, 1):
            every += reader.list(resource, scope, labels=labels, progress=report if len(scopes) == 1 else None)
            if len(scopes) > 1:
                report(number, len(scopes))
    return every


def find_rewriter(
    reader: Reader, names: InstallationNames, settings: EffectiveConfig, found: Mapping[str, NamespaceStatus]
) -> Rewriter:
    """Find the configured rewriter of Pods; if the API shows none, by a dry run."""
    webhook = attempt(reader.get, WEBHOOKS, names.configuration)
    policies = attempt(reader.list, MUTATING_POLICIES)
    ours = [one.metadata for one in generated(known_or(policies, ()), names.namespace)]
    there = [*ours, *([webhook.metadata] if isinstance(webhook, WebhookConfiguration) else [])]
    called = webhook_match.find_webhook(webhook)
    shown = Rewriter(
        webhook=webhook
        if isinstance(webhook, NotReadable)
        else called is not None and not webhook_match.is_never_called(called),
        policy=policies if isinstance(policies, NotReadable) else bool(ours),
        policy_hash=ours[0].annotations[CONFIGURATION_HASH_ANNOTATION] if ours else None,
        since=min((one.creation_timestamp for one in there if one.creation_timestamp), default=None),
        has_bundle=called is None or bool(called.client_config.ca_bundle),
    )
    if shown.webhook is False and shown.policy is False:
        return msgspec.structs.replace(shown, hidden=_is_rewritten(reader, settings, found))
    return shown


def _is_rewritten(reader: Reader, settings: EffectiveConfig, found: Mapping[str, NamespaceStatus]) -> bool:
    """Return whether a dry run in the first selected namespace is rewritten."""
    image = sample_pod.image(settings)
    namespace = min((name for name, status in found.items() if status.selected), default=None)
    if image is None or namespace is None:
        return False
    tried = known_or(attempt(reader.dry_run_create, sample_pod.manifest(image), namespace), None)
    return tried is not None and sample_pod.image_of(tried) == settings.mutator.resolver.resolve(image).image
