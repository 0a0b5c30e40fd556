"""A second apply makes the installation fail-closed; changes by others are reverted at once."""

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.cluster import eventually
from webhook.constants import DEFAULT_NAMESPACE
from webhook.kube.client import Client
from webhook.pki import ca

from .installation import CONFIGURATION, REPAIR, Installation
from .load import making_pods

_Figure = Callable[[str, object], None]


def test_policy_change_no_pod_missed(fail_closed: Installation) -> None:
    """The fixture has Pods made meanwhile."""
    assert fail_closed.webhook()["webhooks"][0]["failurePolicy"] == "Fail"
    assert len(fail_closed.pods()) == 3


def _somebody_else_s() -> bytes:
    return ca.create_ca("somebody else", datetime.now(UTC), timedelta(days=1)).certificate


@pytest.mark.parametrize(("how", "bundle"), [("emptied", b""), ("replaced", _somebody_else_s())])
def test_bundle_broken_repaired(  # noqa: PLR0913, PLR0917 - fixtures
    fail_closed: Installation, served: str, api: Client, figure: _Figure, how: str, bundle: bytes
) -> None:
    before = fail_closed.bundle()
    assert before
    value = base64.b64encode(bundle).decode()
    patch = json.dumps([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": value}])
    with making_pods([api], served) as load:
        time.sleep(1)
        began = time.monotonic()
        fail_closed.cluster.kubectl("patch", CONFIGURATION, "--type=json", f"--patch={patch}")
        eventually("it is repaired", lambda: fail_closed.bundle() == before, REPAIR)
        repaired = time.monotonic()
        time.sleep(4)
    taken = load.taken()
    refused = f"Pods refused for {taken.window:.1f} s" if taken.refused else "no Pod refused"
    figure(f"caBundle {how} to repaired, fail-closed", f"{repaired - began:.1f} s, {refused}")
    # The API server has heard of it by then.
    late = [answer for answer in taken.answers if answer.began > repaired + 2]
    assert late
    assert all(answer.rewritten for answer in late)


def test_owner_reference_removed_restored(fail_closed: Installation, figure: _Figure) -> None:
    before = fail_closed.webhook()["metadata"]["ownerReferences"]
    assert [(owner["kind"], owner["name"]) for owner in before] == [("Namespace", DEFAULT_NAMESPACE)]
    began = time.monotonic()
    patch = json.dumps({"metadata": {"ownerReferences": None}})
    fail_closed.cluster.kubectl("patch", CONFIGURATION, "--type=merge", f"--patch={patch}")

    def repaired() -> bool:
        return bool(fail_closed.webhook()["metadata"].get("ownerReferences") == before)

    eventually("it is put back", repaired, REPAIR)
    figure("Owner taken away to put back", time.monotonic() - began)
