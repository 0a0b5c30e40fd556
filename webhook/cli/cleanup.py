"""`registry-webhook cleanup`."""

import os
import time
from collections.abc import Callable

import click

from webhook.cli.command import Command
from webhook.cli.option_types import LabelType
from webhook.cli.options import cluster_options, installation_option
from webhook.constants import CONFIGURATION_VARIABLE, REFRESHER, InstallationNames, installation_names
from webhook.errors import ClusterError, Conflict, Expired, NotFound, RegistryWebhookError, Unreachable
from webhook.kube import client
from webhook.kube.access import Access
from webhook.kube.api import HeldLease
from webhook.kube.uninstall import ManagedSecret, Uninstaller
from webhook.output import helm, invocation, progress, terminal
from webhook.output.phrases import counted

#: Seconds between two reads of the Lease, the delay allowed beyond its duration, and the default duration.
_POLL_INTERVAL, _MARGIN, _DURATION = 0.5, 2.0, 15.0
#: Seconds within which a running refresher acquires a free Lease: it tries every two seconds.
_TAKEN = 5.0
#: Seconds to wait for refreshers to stop: their termination grace period, and the expiry of a Lease not released.
_STOPPING = 120.0
#: Seconds during which API servers may still apply a deleted policy: they poll once a second.
_SETTLE_TIME = 3.0
#: Attempts to list and delete the Secrets, because one may change in between, and the seconds between two attempts.
_ROUNDS, _PAUSE = 5, 0.5


@click.command(
    "cleanup",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook cleanup --dry-run    # show what would be deleted
  registry-webhook cleanup --stop       # stop a running installation first
  registry-webhook cleanup              # after the installation was removed

Exit status: 0 if everything was deleted, 1 if a pull secret is left, 2 after an error.
""",
)
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing.")
@click.option(
    "--stop",
    is_flag=True,
    help="First delete the webhook configuration, so that Pods can always be created, and scale the Deployment to 0.",
)
@click.option(
    "--pull-secret",
    metavar="NAME",
    type=LabelType(),
    help="Delete only pull secrets with this name, and policies with the default names, so that permissions for these "
    "names are sufficient. Default: all of the installation.",
)
@click.option(
    "--certificate",
    "certificates",
    metavar="NAME",
    type=LabelType(),
    multiple=True,
    help="Also delete this Certificate of cert-manager in the installation's namespace, and its Secret, which "
    "cert-manager keeps. May be repeated.",
)
@click.option("--keep-pull-secrets", is_flag=True, help="Keep the pull secrets, because running Pods refer to them.")
@installation_option
@cluster_options
def command(
    dry_run: bool,  # noqa: FBT001
    stop: bool,  # noqa: FBT001
    pull_secret: str | None,
    certificates: tuple[str, ...],
    keep_pull_secrets: bool,  # noqa: FBT001
    installation_namespace: str | None,
    access: Access,
) -> int:
    """Delete what an installation created: generated policies, certificate, Lease, and pull secrets of any name.

    What belongs to another installation in the cluster is kept.

    Running containers are unaffected. Later pulls are unauthenticated. Only metadata is read. The command refuses to
    run while a refresher runs, which would restore the Secrets.
    """
    # Set in a Pod of the installation, which then needs no permission to search for it.
    names = installation_names(os.environ) if os.environ.get(CONFIGURATION_VARIABLE) else None
    connection = client.connect(access, lambda _method, _status: None)
    uninstaller = Uninstaller(connection, installation_namespace, names, pull_secret)
    try:
        if not stop and not dry_run:
            _refuse_running(uninstaller)
        # First, because a policy that refuses images that were not rewritten would then refuse every Pod.
        _delete_policies(uninstaller, dry_run=dry_run, needed=stop)
        if stop:
            _stop(uninstaller, dry_run=dry_run)
        # The Secrets are deleted later, when cert-manager has noticed.
        issued = [name for one in certificates if (name := _delete_certificate(uninstaller, one, dry_run=dry_run))]
        # Before anything else of the installation is gone, because without the permission nothing should be.
        secrets = [] if keep_pull_secrets else _listed(uninstaller)
        for what in uninstaller.delete_own(*issued, dry_run=dry_run):
            terminal.write(f"{what}: {'would be ' if dry_run else ''}deleted")
        status = 0
        if not keep_pull_secrets:
            status = _report(secrets) if dry_run else _delete_all(uninstaller, secrets)
        for other in sorted(uninstaller.others):
            terminal.write(f"pull secrets of the installation in namespace {other}: kept")
    finally:
        uninstaller.close()
    if stop and not dry_run and names is None:
        _show_next_step(uninstaller.names)
    return status


def _show_next_step(names: InstallationNames) -> None:
    if names.helm_release:
        terminal.write("To delete the other objects:")
        terminal.write(helm.uninstall(names))
    else:
        terminal.write("To delete the other objects, name the folder that was applied:")
        terminal.write("kubectl delete --ignore-not-found -k certs/self-managed")


def _refuse_running(uninstaller: Uninstaller) -> None:
    with progress.step("Checking whether a refresher runs"):
        holder = holder_of(uninstaller.lease)
    if holder:
        raise RegistryWebhookError(
            f"the refresher {holder} is running and would create the pull secrets again",
            hint=invocation.command("cleanup", "--stop"),
        )


def holder_of(
    read: Callable[[], HeldLease],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Return the holder of the Lease, None if no process holds it. Raises `ClusterError`.

    A killed holder leaves its name in the Lease, and another replica may acquire a released Lease. So it is polled
    until it changes, or for a little longer than either takes. Clocks of other machines are not used.
    """
    seen = read()
    began = clock()
    while seen.version is not None:
        patience = (seen.spec.lease_duration_seconds or _DURATION) + _MARGIN if seen.spec.holder_identity else _TAKEN
        if clock() - began > patience:
            return None
        sleep(_POLL_INTERVAL)
        before, seen = seen, read()
        if seen.version != before.version:
            if seen.spec.holder_identity:
                return seen.spec.holder_identity
            began = clock()
    return None


def _delete_policies(uninstaller: Uninstaller, *, dry_run: bool, needed: bool) -> None:
    """Delete the generated policies, and wait until no API server applies them.

    Without the permission to list them this prints a warning or, with `needed`, raises `ClusterError`.
    """
    try:
        policies = uninstaller.policies()
    except ClusterError as error:
        if needed:
            raise
        terminal.warning(f"generated admission policies are not deleted: {error}", error.hint)
        return
    found = [policy for policy in policies if uninstaller.delete_policy(policy, dry_run=dry_run)]
    for policy in found:
        terminal.write(f"{policy}: {'would be ' if dry_run else ''}deleted")
    if found and not dry_run:
        with progress.step("Waiting until no API server applies the policies"):
            time.sleep(_SETTLE_TIME)


def _stop(uninstaller: Uninstaller, *, dry_run: bool) -> None:
    """Delete the webhook configuration, then stop the Deployment and wait for its refreshers to end."""
    prefix = "would be " if dry_run else ""
    if uninstaller.delete_webhook(dry_run=dry_run):
        terminal.write(f"MutatingWebhookConfiguration {uninstaller.names.configuration}: {prefix}deleted")
    if uninstaller.scale_down(dry_run=dry_run):
        terminal.write(f"Deployment {uninstaller.names.namespace}/{uninstaller.names.deployment}: {prefix}scaled to 0")
    end = time.monotonic() + _STOPPING
    with progress.step("Waiting until the refreshers have stopped"):
        while not dry_run and (holder := holder_of(uninstaller.lease)):
            if time.monotonic() > end:
                raise RegistryWebhookError(
                    f"the refresher {holder} still holds Lease {uninstaller.names.namespace}/{REFRESHER}",
                    hint="stop the process, which the Deployment does not control, then run cleanup again",
                )


def _delete_certificate(uninstaller: Uninstaller, name: str, *, dry_run: bool) -> str | None:
    """Delete a Certificate of cert-manager, and return the name of its Secret."""
    secret = uninstaller.delete_certificate(name, dry_run=dry_run)
    if secret:
        what = f"Certificate {uninstaller.names.namespace}/{name}"
        terminal.write(f"{what}: {'would be ' if dry_run else ''}deleted")
    return secret


def _report(secrets: list[ManagedSecret]) -> int:
    for secret in secrets:
        terminal.write(f"{secret}: would be deleted")
    terminal.write(f"{counted(len(secrets), 'pull secret')} would be deleted")
    return 0


def _delete_all(uninstaller: Uninstaller, left: list[ManagedSecret]) -> int:
    """Delete every pull secret that can be deleted, and return the exit status."""
    deleted = 0
    why: dict[tuple[str, str], str] = {}
    for _ in range(_ROUNDS):
        again = False
        for secret in left:
            place = (secret.namespace, secret.name)
            try:
                if secret.deleting or not uninstaller.delete(secret):
                    why[place] = "waiting for its finalizers"
                    continue
            except NotFound:
                continue
            except ClusterError as error:
                why[place] = str(error)
                again = again or isinstance(error, (Conflict, Unreachable))
            else:
                deleted += 1
                terminal.write(f"{secret}: deleted")
        left = _listed(uninstaller)
        again = again or any((secret.namespace, secret.name) not in why for secret in left)
        if not left or not again:
            break
        time.sleep(_PAUSE)
    for secret in left:
        reason = why.get((secret.namespace, secret.name), "another client keeps creating it")
        terminal.write(f"{secret}: not deleted: {reason}")
    terminal.write(f"{counted(deleted, 'pull secret')} deleted, {len(left)} left")
    return 1 if left else 0


def _listed(uninstaller: Uninstaller) -> list[ManagedSecret]:
    """List the Secrets, and again if a list of many pages took longer than the API server keeps it."""
    with progress.step("Reading Secrets"):
        for _ in range(_ROUNDS - 1):
            try:
                return uninstaller.pull_secrets()
            except Expired:
                continue
        return uninstaller.pull_secrets()
