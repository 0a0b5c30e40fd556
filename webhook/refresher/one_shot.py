"""A single refresh, for a Job, and its dry run."""

import time
from collections.abc import Callable

from webhook.kube import manifests
from webhook.pull_secret import manifest
from webhook.pull_secret.reconcile import ActionKind
from webhook.refresher.app import RefresherApp
from webhook.refresher.credential_refresh import SUCCESSFUL, Outcome, RefreshResult
from webhook.refresher.runtime.leader_election import LEASE_DURATION

#: Seconds to wait for the Lease, which another replica may still hold.
_LEASE = 2 * LEASE_DURATION
#: Seconds for all writes together, and for retries of those that failed.
_WRITES, _RETRY_FOR = 600.0, 10.0
_POLL_INTERVAL = 0.1
_FAILURES = {
    Outcome.NONE: "nothing to publish",
    Outcome.PROVIDER: "credential provider failed",
    Outcome.REGISTRY: "credential could not be checked",
    Outcome.REFUSED: "credential refused",
    Outcome.CLUSTER: "pull secrets could not be listed",
    Outcome.STANDBY: "no longer the leader",
}


def run_once(app: RefresherApp, echo: Callable[[str], None]) -> int:
    """Refresh once, with the configured retries. Return the exit status: 0 if everything succeeded, else 1.

    If `webhook.verify` is `warn`, a registry that cannot be asked is not a failure: the credential is published.
    """
    app.start_leadership()
    try:
        if not _wait(app.leadership.leading, _LEASE):
            holder = app.leadership.holder or "another replica"
            echo(f"nothing written: {app.leadership.error or f'Lease held by {holder}'}")
            return 1
        controllers = app.controllers
        controllers.start_workers()
        done = _refresh(app)
        pull_secrets = controllers.pull_secrets
        finished = pull_secrets.wait_until_idle(_WRITES)
        retried = _wait(lambda: not pull_secrets.failing and pull_secrets.wait_until_idle(_WRITES), _RETRY_FOR)
        wrong = pull_secrets.failing | pull_secrets.foreign
        selected = pull_secrets.selected_count()
        current = sum(pull_secrets.is_current(name) for name in pull_secrets.namespaces.names())
    finally:
        app.stop()
    for name, why in sorted(wrong.items()):
        echo(f"{name}: {why}")
    echo(_summary(done, "credential published"))
    echo(f"pull secret current in {current} of {selected} selected namespaces")
    return 0 if _is_successful(app, done) and not wrong and finished and retried else 1


def dry_run(app: RefresherApp, echo: Callable[[str], None]) -> int:
    """Print what a refresh would write, and write nothing. Return the exit status like `run_once`."""
    app.leadership.read_refused_logins()
    done = app.controllers.credentials.refresh()
    pull_secrets = app.controllers.pull_secrets
    if not pull_secrets.synced:
        pull_secrets.relist()
    echo(f"# {_summary(done, 'credential can be published')}")
    if pull_secrets.pull_secret is not None:
        secret = manifest.to_manifest(
            pull_secrets.pull_secret,
            name=app.configuration.webhook.pull_secret.name,
            namespace="NAMESPACE",
            installation=app.configuration.installation.namespace,
        )
        echo(manifests.dump(manifest.redacted(secret)).rstrip())
    for namespace in sorted({*pull_secrets.namespaces.names(), *pull_secrets.secrets.names()}):
        action = pull_secrets.plan(namespace)
        if action.kind is not ActionKind.NOTHING or action.foreign:
            subject = f"Secret {app.configuration.webhook.pull_secret.name} " if action.foreign else ""
            echo(f"# {action.kind.value} in {namespace}: {subject}{action.why}")
    return 0 if _is_successful(app, done) else 1


def _summary(done: RefreshResult, success: str) -> str:
    return f"{_FAILURES.get(done.outcome, success)}{f': {done.detail}' if done.detail else ''}"


def _is_successful(app: RefresherApp, done: RefreshResult) -> bool:
    unclear = done.outcome is Outcome.REGISTRY and app.configuration.webhook.verify == "warn"
    return done.outcome in SUCCESSFUL or unclear


def _refresh(app: RefresherApp) -> RefreshResult:
    """Refresh up to `retry_attempts` times, until the credential is published or refused."""
    settings = app.configuration.registry
    credentials = app.controllers.credentials
    done = credentials.refresh()
    for _ in range(settings.retry_attempts - 1):
        if done.outcome in SUCCESSFUL or done.outcome is Outcome.REFUSED:
            break
        time.sleep(settings.retry_delay)
        done = credentials.refresh()
    return done


def _wait(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, at most `seconds`; return whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_INTERVAL)
    return True
