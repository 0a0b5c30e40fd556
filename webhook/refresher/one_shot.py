"""One pass and no more: for a Job, or to see what would be written."""

import time
from collections.abc import Callable

from webhook.kube import manifests
from webhook.pull_secret import manifest as documents
from webhook.pull_secret.reconcile import Kind
from webhook.refresher.app import Process
from webhook.refresher.credential_refresh import WELL, Outcome, Pass
from webhook.refresher.runtime.leader_election import DURATION

#: Seconds that another replica may need to lose the Lease.
_LEASE = 2 * DURATION
#: Seconds that all writes together may take, and those that failed to be tried again.
_WRITES, _AGAIN = 600.0, 10.0
_PAUSE = 0.1


def once(process: Process, say: Callable[[str], None]) -> int:
    """Make one pass, with its quick tries. Give the exit status: 0 if all went well, 1 if something did not.

    A registry that cannot be asked is only a warning where `webhook.verify` is `warn`: the credential is published.
    """
    process.start_leadership()
    try:
        if not _wait(process.leadership.leading, _LEASE):
            say("nothing is written: another replica holds the Lease, or it cannot be written")
            return 1
        duties = process.duties
        duties.start_workers()
        done = _tries(process)
        publisher = duties.publisher
        finished = publisher.wait_until_idle(_WRITES)
        finished = _wait(lambda: not publisher.failing and publisher.wait_until_idle(_WRITES), _AGAIN) and finished
        wrong = publisher.failing | publisher.foreign
        served = publisher.served()
        current = sum(publisher.is_current(name) for name in publisher.namespaces.names())
    finally:
        process.stop()
    for name, why in sorted(wrong.items()):
        say(f"{name}: {why}")
    detail = f" ({done.detail})" if done.detail else ""
    say(f"{done.outcome.value}{detail}: the pull secret is current in {current} of {served} served namespaces")
    return 0 if _is_well(process, done) and not wrong and finished else 1


def dry_run(process: Process, say: Callable[[str], None]) -> int:
    """Say what a pass would write, and write nothing. Give the exit status, as `once`."""
    duties = process.duties
    process.leadership.read_refused_logins()
    done = duties.credentials.make_pass()
    publisher = duties.publisher
    if not publisher.listed:
        publisher.relist()
    detail = f": {done.detail}" if done.detail else ""
    say(f"# {done.outcome.value}{detail}")
    if publisher.document is not None:
        name = process.configuration.webhook.pull_secret.name
        secret = documents.manifest(publisher.document, name, "NAMESPACE", unserved=None, uid=None)
        say(manifests.dump(documents.masked(secret)).rstrip())
    for namespace in sorted({*publisher.namespaces.names(), *publisher.secrets.names()}):
        step = publisher.plan(namespace)
        if step.kind is not Kind.NOTHING or step.foreign:
            say(f"# {step.kind.value} in {namespace}: {step.why}")
    return 0 if _is_well(process, done) else 1


def _is_well(process: Process, done: Pass) -> bool:
    unclear = done.outcome is Outcome.REGISTRY and process.configuration.webhook.verify == "warn"
    return done.outcome in WELL or unclear


def _tries(process: Process) -> Pass:
    """Make as many passes as the configuration has quick tries, until one goes well."""
    settings = process.configuration.registry
    credentials = process.duties.credentials
    done = credentials.make_pass()
    for _ in range(settings.retry_attempts - 1):
        if done.outcome in WELL or done.outcome is Outcome.REFUSED:
            break
        time.sleep(settings.retry_delay)
        done = credentials.make_pass()
    return done


def _wait(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds; tell whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)
    return True
