"""One pass and no more: for a Job, or to see what would be written."""

import time
from collections.abc import Callable

from webhook.kube import manifests
from webhook.pull_secret import manifest as documents
from webhook.pull_secret.reconcile import ActionKind
from webhook.refresher.app import RefresherApp
from webhook.refresher.credential_refresh import SUCCESSFUL, Outcome, RefreshResult
from webhook.refresher.runtime.leader_election import LEASE_DURATION

#: Seconds that another replica may need to lose the Lease.
_LEASE = 2 * LEASE_DURATION
#: Seconds that all writes together may take, and those that failed to be tried again.
_WRITES, _RETRY_FOR = 600.0, 10.0
_PAUSE = 0.1


def run_once(app: RefresherApp, echo: Callable[[str], None]) -> int:
    """Make one pass, with its quick tries. Give the exit status: 0 if all went well, 1 if something did not.

    A registry that cannot be asked is only a warning where `webhook.verify` is `warn`: the credential is published.
    """
    app.start_leadership()
    try:
        if not _wait(app.leadership.leading, _LEASE):
            echo("nothing is written: another replica holds the Lease, or it cannot be written")
            return 1
        duties = app.controllers
        duties.start_workers()
        done = _refresh(app)
        publisher = duties.pull_secrets
        finished = publisher.wait_until_idle(_WRITES)
        finished = _wait(lambda: not publisher.failing and publisher.wait_until_idle(_WRITES), _RETRY_FOR) and finished
        wrong = publisher.failing | publisher.foreign
        served = publisher.selected_count()
        current = sum(publisher.is_current(name) for name in publisher.namespaces.names())
    finally:
        app.stop()
    for name, why in sorted(wrong.items()):
        echo(f"{name}: {why}")
    detail = f" ({done.detail})" if done.detail else ""
    echo(f"{done.outcome.value}{detail}: the pull secret is current in {current} of {served} served namespaces")
    return 0 if _is_successful(app, done) and not wrong and finished else 1


def dry_run(app: RefresherApp, echo: Callable[[str], None]) -> int:
    """Say what a pass would write, and write nothing. Give the exit status, as `run_once`."""
    duties = app.controllers
    app.leadership.read_refused_logins()
    done = duties.credentials.refresh()
    publisher = duties.pull_secrets
    if not publisher.synced:
        publisher.relist()
    detail = f": {done.detail}" if done.detail else ""
    echo(f"# {done.outcome.value}{detail}")
    if publisher.pull_secret is not None:
        name = app.configuration.webhook.pull_secret.name
        secret = documents.manifest(publisher.pull_secret, name, "NAMESPACE", unserved=None, uid=None)
        echo(manifests.dump(documents.redacted(secret)).rstrip())
    for namespace in sorted({*publisher.namespaces.names(), *publisher.secrets.names()}):
        step = publisher.plan(namespace)
        if step.kind is not ActionKind.NOTHING or step.foreign:
            echo(f"# {step.kind.value} in {namespace}: {step.why}")
    return 0 if _is_successful(app, done) else 1


def _is_successful(app: RefresherApp, result: RefreshResult) -> bool:
    unclear = result.outcome is Outcome.REGISTRY and app.configuration.webhook.verify == "warn"
    return result.outcome in SUCCESSFUL or unclear


def _refresh(app: RefresherApp) -> RefreshResult:
    """Make as many passes as the configuration has quick tries, until one goes well."""
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
    """Wait until something holds; tell whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
    return True
