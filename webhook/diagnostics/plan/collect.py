"""Read workloads from the cluster, and ask registries for the images that they would have."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.constants import DOCS, InstallationNames
from webhook.credentials.factory import create_provider
from webhook.diagnostics import assumed_config, pull_errors
from webhook.diagnostics.assumed_config import InstalledConfig
from webhook.diagnostics.namespaces import namespace_statuses, scopes, unread_notes
from webhook.diagnostics.plan.analysis import (
    GROUPS,
    Plan,
    PlannedImage,
    Workload,
    most_urgent_first,
    namespaces,
    planned_images,
)
from webhook.errors import NotReadable, RegistryWebhookError
from webhook.images.prefix import canonical_host
from webhook.kube.reader import Reader, Resource
from webhook.output import progress
from webhook.pull_secret import keyring
from webhook.pull_secret.credential import Entry
from webhook.registry.image_lookup import ImageLookup, ImageStatus
from webhook.settings import Configuration

#: Concurrent requests to registries, and the seconds after which no more are sent.
_CONCURRENCY = 8
_TIMEOUT = 120.0
_NOT_ASKED = f"not asked, because no credential is configured. See {DOCS}/how-to/credentials.md"


def plan(reader: Reader, config: InstalledConfig, namespace: str | None, selector: str = "", *, ask: bool) -> Plan:
    """Plan for one namespace or, with None, for all of them; with `ask`, look up the images in registries.

    `selector` selects workloads by their labels.

    Raises `ClusterError`, and `FileError` if the registry's CA cannot be read.
    """
    settings = EffectiveConfig(config.configuration, config.origin)
    statuses = namespace_statuses(reader, settings, namespace)
    workloads, unread = _workloads(reader, scopes(statuses.by_name, whole=namespace is None), selector)
    found = namespaces(settings, statuses.by_name, workloads)
    images = planned_images(found)
    entries, asked = _credential(config.configuration) if ask else ((), "not asked, because of --no-ask")
    if entries:
        images = most_urgent_first(_check_images(images, config.configuration, entries))
    notes = (*config.notes, *statuses.notes, *unread_notes((*config.unread, *statuses.unread, *unread)))
    return Plan(settings.server, settings.origin, settings.digest, asked, notes, found, images)


def installed_configuration(reader: Reader, names: InstallationNames, own: Configuration) -> InstalledConfig:
    """Return the installation's configuration, with the credential replaced by the caller's.

    If it cannot be read, a configuration with the caller's registry is assumed. Raises `ClusterError`.
    """
    found = assumed_config.read(reader, names, own.registry.server)
    return found._replace(configuration=with_own_credential(found.configuration, own))


def with_own_credential(theirs: Configuration, own: Configuration) -> Configuration:
    """Return the cluster's configuration with the caller's credential and the caller's terms for sending it.

    A username and password are for the server that they are configured with: anyone who can write the cluster's
    ConfigMap must not be able to have them sent elsewhere. A docker config and a helper have one for each registry.
    """
    registry, credential = own.registry, own.webhook.credential
    login = {name: getattr(registry, name) for name in ("username", "password", "email")}
    if not _is_same_host(registry.server, theirs.registry.server):
        login = dict.fromkeys(login)
        credential = msgspec.structs.replace(credential, file=None, username_file=None)
    webhook = msgspec.structs.replace(
        theirs.webhook,
        credential=credential,
        verify_ca=own.webhook.verify_ca,
        verify_plain_http=own.webhook.verify_plain_http,
    )
    return msgspec.structs.replace(theirs, registry=msgspec.structs.replace(theirs.registry, **login), webhook=webhook)


def _is_same_host(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and canonical_host(one) == canonical_host(other)


def _workloads(
    reader: Reader, scopes: Sequence[str | None], selector: str
) -> tuple[list[tuple[str, Workload]], list[NotReadable]]:
    """Return workloads, each with its kind, and what could not be read. Raises `NotReadable` if nothing could."""
    workloads: list[tuple[str, Workload]] = []
    unread = []
    with progress.step("Reading workloads") as report:
        for number, (kind, group) in enumerate(GROUPS.items(), 1):
            path = f"/apis/{group}/v1" if group else "/api/v1"
            for scope in scopes:
                try:
                    found = reader.list(
                        Resource(f"{kind}s", path, f"{kind.lower()}s", Workload), scope, labels=selector
                    )
                except NotReadable as error:
                    unread.append(error)
                else:
                    workloads += [(kind, one) for one in found]
            report(number, len(GROUPS))
    if len(unread) == len(GROUPS) * len(scopes) > 0:
        raise unread[0]
    return workloads, unread


def _credential(configuration: Configuration) -> tuple[tuple[Entry, ...], str]:
    """Return the credential's entries, and in a clause whether registries are asked with it."""
    try:
        provider = create_provider(configuration, environment=os.environ)
        if provider is None:
            return (), _NOT_ASKED
        entries = provider.read().credential.entries
    except RegistryWebhookError as error:
        return (), f"not asked, because the credential could not be read: {error.one_line}"
    return entries, "asked with the credential that is configured here"


def _check_images(
    images: Sequence[PlannedImage], configuration: Configuration, entries: Sequence[Entry]
) -> Iterator[PlannedImage]:
    """Ask registries for images, each with the entry that the kubelet would try first."""
    verify_ca = configuration.webhook.verify_ca
    registries = ImageLookup(
        ca_file=Path(verify_ca) if verify_ca else None,
        plain_http_on_loopback=configuration.webhook.verify_plain_http == "loopback",
        environment=os.environ,
    )
    end = time.monotonic() + _TIMEOUT

    def check(one: PlannedImage) -> PlannedImage:
        if time.monotonic() >= end:
            detail = f"not asked within the limit of {_TIMEOUT:g} seconds for all images"
            return msgspec.structs.replace(one, status=ImageStatus.UNCLEAR, detail=detail)
        first = next(iter(keyring.lookup_own(entries, one.image)), None)
        found = registries.check(one.image, *((first.username, first.password) if first else ()))
        command = pull_errors.copy_command(one.written[0], one.image) if found.status is ImageStatus.MISSING else None
        return msgspec.structs.replace(
            one, status=found.status, detail=found.detail, hint=found.hint, copy_command=command
        )

    with progress.step("Asking the registry") as report, ThreadPoolExecutor(_CONCURRENCY) as pool:
        for number, checked in enumerate(pool.map(check, images), 1):
            yield checked
            report(number, len(images))
