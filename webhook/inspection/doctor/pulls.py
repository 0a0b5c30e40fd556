"""What nodes say of pulls from the registry: whether they trust it, and whether it takes the credential."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from webhook.inspection.codes import Code
from webhook.inspection.doctor import wording
from webhook.inspection.doctor.calling import served
from webhook.inspection.doctor.seen import Seen
from webhook.inspection.findings import Finding
from webhook.inspection.objects import Event
from webhook.inspection.snapshot import Settings, Unknown

_WHAT = "pulls by nodes"
#: kubelet tries again every five minutes at the latest, and says so each time.
_LATELY = timedelta(minutes=10)
_SHOWN = 160
_UNTRUSTED = re.compile(r"x509|certificate")
_REFUSED = re.compile(r"\b40[13]\b|unauthorized|authorization failed|denied|no basic auth", re.IGNORECASE)
_FAILED = re.compile(r'Failed to pull image "(?P<image>[^"]*)": (?P<why>.*)', re.DOTALL)
_TRUST = (
    "it is the nodes that pull: their container runtime has to trust the registry's authority "
    "(containerd: /etc/containerd/certs.d/HOST)"
)


def pulled(seen: Seen) -> Iterator[Finding]:
    """Look at the Events of failed pulls, of which one a cause is told."""
    if isinstance(seen.failed_pulls, Unknown):
        yield wording.unknown(Code.PULL_UNKNOWN, _WHAT, seen.failed_pulls)
        return
    server = seen.configuration.server if isinstance(seen.configuration, Settings) else None
    if server is None:
        return
    lately = [(event, why) for event in seen.failed_pulls if (why := _why(event, server)) and _is_lately(seen, event)]
    untrusted = [one for one in lately if _UNTRUSTED.search(one[1])]
    # What a Pod elsewhere gets without a pull secret is its owner's business; whom its node trusts is not.
    failed = [one for one in lately if one in untrusted or _is_served(seen, one[0].involved_object.namespace)]
    refused = [one for one in failed if one not in untrusted and _REFUSED.search(one[1])]
    others = [one for one in failed if one not in untrusted and one not in refused]
    if untrusted:
        yield wording.failure(Code.PULL_UNTRUSTED, _WHAT, f"nodes do not trust {server}: {_example(untrusted)}", _TRUST)
    if refused:
        remedy = "see credential and pull secrets; a Pod that was made before names no secret: make it anew"
        yield wording.failure(Code.PULL_REFUSED, _WHAT, f"{server} refuses nodes: {_example(refused)}", remedy)
    if others:
        remedy = "see that the image is in the registry, and that nodes reach it"
        yield wording.warning(Code.PULL_FAILED, _WHAT, f"pulls from {server} fail: {_example(others)}", remedy)
    if not failed:
        minutes = int(_LATELY.total_seconds() // 60)
        yield wording.ok(
            Code.PULL_OK, _WHAT, f"no Event of the last {minutes} minutes says that one from {server} failed"
        )


def _why(event: Event, server: str) -> str:
    """Give why a pull from the server failed; nothing for what is no such Event."""
    found = _FAILED.match(event.message)
    return found["why"] if found and found["image"].startswith(f"{server}/") else ""


def _is_served(seen: Seen, name: str) -> bool:
    return isinstance(seen.namespaces, Unknown) or name in {one.metadata.name for one in served(seen)}


def _is_lately(seen: Seen, event: Event) -> bool:
    try:
        last = datetime.fromisoformat(event.last)
    except ValueError:
        return False
    return seen.now - (last if last.tzinfo else last.replace(tzinfo=UTC)) < _LATELY


def _example(failed: list[tuple[Event, str]]) -> str:
    """Show the last one, and say of how many Pods there are more."""
    event, why = max(failed, key=lambda one: one[0].last)
    pods = {(one.involved_object.namespace, one.involved_object.name) for one, _ in failed}
    about = event.involved_object
    more = f" (and {len(pods) - 1} more)" if len(pods) > 1 else ""
    # Runtimes put the cause last.
    cause = why if len(why) <= _SHOWN else f"...{why[-_SHOWN:]}"
    return f"Pod {about.namespace}/{about.name}{more}: {cause}"
