"""What the sidecar says of the credential, and of itself: the credential is never looked at."""

from collections.abc import Iterator
from datetime import UTC, datetime

from webhook.inspection.codes import Code
from webhook.inspection.doctor import wording
from webhook.inspection.doctor.seen import Replica, Said, Seen
from webhook.inspection.findings import Finding
from webhook.inspection.snapshot import Settings, Unknown

_WHAT = "credential"
_PREFIX = "registry_webhook_refresher_"
_PASS = "last pass: "  # noqa: S105 - what a line begins with
#: What its `/readyz` says beside what other checks say.
_ELSEWHERE = (_PASS, "the configuration is broken")
_FOREIGN = "another Secret has the name"


def _change(seen: Seen) -> str:
    place = f"Secret {seen.names.namespace}/registry-webhook-credential"
    return f"put the right one into {place}, or wherever webhook.credential has it from: it is looked at every second"


def accepted(seen: Seen) -> Iterator[Finding]:
    """Look at what came of the last pass of the replica that writes, or of any."""
    if isinstance(seen.configuration, Settings):
        if seen.configuration.server is None:
            return
        if seen.configuration.policy.pull_secret is None:
            yield wording.ok(
                Code.CREDENTIAL_DISABLED, _WHAT, "no pull secret is made: webhook.pull_secret.enabled is false"
            )
            return
    if isinstance(seen.replicas, Unknown):
        yield wording.unknown(Code.CREDENTIAL_UNKNOWN, _WHAT, seen.replicas)
        return
    said = speaker(seen)
    if said is None:
        unread = next((one.refresher for one in seen.replicas if isinstance(one.refresher, Unknown)), None)
        yield wording.unknown(Code.CREDENTIAL_UNKNOWN, _WHAT, unread or "no sidecar runs that could be asked")
        return
    yield _of_pass(seen, said)


def speaker(seen: Seen) -> Said | None:
    """Give what the sidecar says that writes; where none does, one that has something to say."""
    heard = [replica.refresher for replica in seen.heard if isinstance(replica.refresher, Said)]
    return max(heard, key=_weight, default=None)


def _weight(said: Said) -> tuple[bool, bool]:
    return said.value(f"{_PREFIX}leading") == 1, said.value(f"{_PREFIX}credential_refused") == 1


def _of_pass(seen: Seen, said: Said) -> Finding:
    last = next((line.removeprefix(_PASS) for line in said.ready if line.startswith(_PASS)), "")
    outcome, _, detail = last.partition(": ")
    expiry = said.value(f"{_PREFIX}credential_expiry_timestamp_seconds")
    if said.value(f"{_PREFIX}credential_refused") == 1 or outcome == "refused":
        return wording.failure(
            Code.CREDENTIAL_REFUSED, _WHAT, f"the registry refuses it: {detail or 'no reason given'}", _change(seen)
        )
    if expiry and expiry <= seen.now.timestamp():
        ended = datetime.fromtimestamp(expiry, UTC)
        why = f"what is published ended at {ended:%Y-%m-%d %H:%M} UTC" + (f" ({last})" if last else "")
        return wording.failure(
            Code.CREDENTIAL_EXPIRED, _WHAT, why, "its source has to give a new one: " + wording.sidecar_log(seen)
        )
    match outcome:
        case "source":
            return wording.failure(Code.CREDENTIAL_PROVIDER, _WHAT, f"its source gives none: {detail}", _change(seen))
        case "registry":
            remedy = "the last good one stays; see that the Pods reach the registry, and webhook.verify_ca"
            return wording.warning(
                Code.CREDENTIAL_UNCHECKED, _WHAT, f"the registry could not be asked: {detail}", remedy
            )
        case "cluster":
            return wording.failure(
                Code.CREDENTIAL_UNPUBLISHED,
                _WHAT,
                f"it cannot be published: {detail}",
                "see rights, and " + wording.sidecar_log(seen),
            )
    return _of_readiness(seen, said)


def _of_readiness(seen: Seen, said: Said) -> Finding:
    first = next(iter(said.ready), "")
    if first.startswith("not ready"):
        return wording.warning(Code.CREDENTIAL_NOT_READY, _WHAT, f"the sidecar is {first}", wording.sidecar_log(seen))
    if said.value(f"{_PREFIX}credential_refreshed_timestamp_seconds"):
        return wording.ok(Code.CREDENTIAL_OK, _WHAT, "it is published, and the registry has not refused it")
    why = "none is configured: what needs one is not pulled"
    return wording.warning(Code.CREDENTIAL_NONE, _WHAT, why, _change(seen))


def grievances(seen: Seen) -> Iterator[Finding]:
    """Pass on what sidecars complain of beside that."""
    said: dict[str, str] = {}
    for replica in seen.heard:
        for line in _complaints(replica):
            said.setdefault(line, replica.name)
    for line, name in said.items():
        yield wording.warning(Code.SIDECAR_WARNING, "sidecar", f"{name}: {line}", wording.sidecar_log(seen))


def _complaints(replica: Replica) -> list[str]:
    """Give its lines but the first two, which say whether it is ready and who writes."""
    if not isinstance(replica.refresher, Said):
        return []
    lines = replica.refresher.ready[2:]
    return [line for line in lines if not line.startswith(_ELSEWHERE) and _FOREIGN not in line]
