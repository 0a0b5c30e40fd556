"""`registry-webhook cleanup`."""

import time
from collections.abc import Callable
from pathlib import Path

import click

from webhook.cli.options import cluster_options, installation_option
from webhook.constants import PROGRAM, REFRESHER
from webhook.errors import ClusterError, Conflict, Expired, NotFound, RegistryWebhookError, Unreachable
from webhook.kube import client
from webhook.kube.api import HeldLease
from webhook.kube.uninstall import ManagedSecret, Uninstaller
from webhook.output import terminal

#: Seconds between two looks at the Lease, what it may be late beyond its duration, and its duration where it has none.
_POLL_INTERVAL, _MARGIN, _DURATION = 0.5, 2.0, 15.0
#: Within these a Lease that is free is taken by a sidecar that runs: they look every two.
_TAKEN = 5.0
#: The longest that the sidecars are waited for after they were told to stop, seconds: their grace period, and a Lease
#: that nobody gave up.
_STOPPING = 120.0
#: Seconds that API servers may go on by a policy that is deleted: they look at them once a second.
_SETTLE_TIME = 3.0
#: How often the Secrets are listed and deleted, and the seconds between: one that was changed meanwhile is read again.
_ROUNDS, _PAUSE = 5, 0.5


@click.command(
    "cleanup",
    epilog="""\b
Examples:
  registry-webhook cleanup --dry-run    # what would be deleted
  registry-webhook cleanup              # after the installation was removed
  registry-webhook cleanup --stop       # before that: stops it first
""",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@click.option(
    "--stop",
    is_flag=True,
    help="First delete the webhook configuration, so that Pods can be made at every moment, and stop the Deployment.",
)
@installation_option
@cluster_options
def command(
    dry_run: bool,  # noqa: FBT001
    stop: bool,  # noqa: FBT001
    installation_namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> int:
    """Delete the generated admission policies, and the pull secrets of all namespaces, whatever they are called.

    Containers that run go on; what a node has to pull from then on, it pulls without. Only metadata is read. Nothing is
    done while a sidecar runs, which would put them back. The exit status is 0 if all are gone, and 1 if one stayed.
    """
    uninstaller = Uninstaller(
        client.connect(kubeconfig, context, lambda _method, _status: None), installation_namespace
    )
    try:
        if not stop and not dry_run and (holder := holder_of(uninstaller.lease)):
            raise RegistryWebhookError(
                f"the sidecar {holder} is running and would put them back: "
                "remove the installation first (kubectl delete -k certs/self-managed), or use --stop"
            )
        # First: one that refuses what was not rewritten would refuse every Pod.
        _delete_policies(uninstaller, dry_run=dry_run, needed=stop)
        if stop:
            _stop(uninstaller, dry_run=dry_run)
        if dry_run:
            return _report(uninstaller.pull_secrets())
        status = _delete_all(uninstaller)
    finally:
        uninstaller.close()
    if stop:
        terminal.write(
            "the rest goes with: kubectl delete --ignore-not-found -k certs/self-managed, or whichever was applied"
        )
    return status


def holder_of(
    read: Callable[[], HeldLease],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Tell who holds the Lease; None where nobody does.

    A holder that is gone leaves its name behind, and one that gave the Lease up may have left others, who are about to
    take it. So it is looked at until it changes, or for a little longer than either takes: times of other machines'
    clocks are not compared. Raises `ClusterError`.
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
    """Delete the generated policies, and wait until no API server goes by them any more.

    Whoever may not list them is told so, and with `needed` gets no further: raises `ClusterError`.
    """
    try:
        policies = uninstaller.policies()
    except ClusterError as error:
        if needed:
            raise
        terminal.write(f"{PROGRAM}: generated admission policies are left as they are: {error}", err=True)
        return
    for policy in policies:
        if dry_run or uninstaller.delete_policy(policy):
            terminal.write(f"{policy}: {'would be ' if dry_run else ''}deleted")
    if policies and not dry_run:
        time.sleep(_SETTLE_TIME)


def _stop(uninstaller: Uninstaller, *, dry_run: bool) -> None:
    """Take the webhook out of every Pod's way, and then have no sidecar any more."""
    said = "would be " if dry_run else ""
    if uninstaller.delete_webhook(dry_run=dry_run):
        terminal.write(f"MutatingWebhookConfiguration {uninstaller.names.configuration}: {said}deleted")
    if uninstaller.scale_down(dry_run=dry_run):
        terminal.write(f"Deployment {uninstaller.names.namespace}/{uninstaller.names.deployment}: {said}scaled to 0")
    end = time.monotonic() + _STOPPING
    while not dry_run and (holder := holder_of(uninstaller.lease)):
        if time.monotonic() > end:
            raise RegistryWebhookError(
                f"the sidecar {holder} still holds the Lease {uninstaller.names.namespace}/{REFRESHER}: "
                "find out what runs it, stop it, and call this again"
            )


def _report(secrets: list[ManagedSecret]) -> int:
    for secret in secrets:
        terminal.write(f"{secret.namespace}: would delete {secret.name}")
    terminal.write(f"{_count(len(secrets))} would be deleted")
    return 0


def _delete_all(uninstaller: Uninstaller) -> int:
    """Delete until a list has none any more, or none that could yet be deleted; give the exit status."""
    deleted = 0
    why: dict[tuple[str, str], str] = {}
    left = _listed(uninstaller)
    for _ in range(_ROUNDS):
        again = False
        for secret in left:
            place = (secret.namespace, secret.name)
            try:
                if secret.deleting or not uninstaller.delete(secret):
                    why[place] = "it is deleted, and its finalizers hold it back"
                    continue
            except NotFound:
                continue
            except ClusterError as error:
                why[place] = str(error)
                again = again or isinstance(error, (Conflict, Unreachable))
            else:
                deleted += 1
                terminal.write(f"{secret.namespace}: deleted {secret.name}")
        left = _listed(uninstaller)
        again = again or any((secret.namespace, secret.name) not in why for secret in left)
        if not left or not again:
            break
        time.sleep(_PAUSE)
    for secret in left:
        reason = why.get((secret.namespace, secret.name), "somebody makes it again")
        terminal.write(f"{secret.namespace}: {secret.name} stays: {reason}")
    terminal.write(f"{_count(deleted)} deleted, {len(left) or 'none'} left")
    return 1 if left else 0


def _listed(uninstaller: Uninstaller) -> list[ManagedSecret]:
    """List them; a list of many pages that took too long is begun anew."""
    for _ in range(_ROUNDS - 1):
        try:
            return uninstaller.pull_secrets()
        except Expired:
            continue
    return uninstaller.pull_secrets()


def _count(number: int) -> str:
    return f"{number} pull secret{'' if number == 1 else 's'}"
