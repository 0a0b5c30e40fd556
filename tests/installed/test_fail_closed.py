"""An installation that works is made fail-closed by a second apply, and what others break in it is repaired at once."""

import json
import time
from collections.abc import Callable

import pytest

from tests.e2e.cluster import eventually
from webhook.adapters.cluster.client import Client
from webhook.names import OWN_NAMESPACE, PROGRAM

from .installation import REPAIR, Installation
from .load import making_pods

_Figure = Callable[[str, object], None]


def test_no_pod_is_missed_while_the_policy_changes(fail_closed: Installation) -> None:
    """The fixture has Pods made meanwhile."""
    assert fail_closed.webhook()["webhooks"][0]["failurePolicy"] == "Fail"
    assert len(fail_closed.pods()) == 3


@pytest.mark.parametrize("value", ["", "Z2FyYmFnZQ=="], ids=["emptied", "overwritten with what is no certificate"])
def test_a_bundle_that_somebody_breaks_is_repaired(
    fail_closed: Installation, served: str, api: Client, figure: _Figure, value: str
) -> None:
    before = fail_closed.bundle()
    patch = json.dumps([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": value}])
    with making_pods([api], served) as load:
        time.sleep(1)
        began = time.monotonic()
        changed = fail_closed.cluster.run(
            "patch", "mutatingwebhookconfiguration", PROGRAM, "--type=json", f"--patch={patch}"
        )
        if changed.status:
            pytest.skip(f"the API server takes no such bundle: {changed.stderr}")
        eventually("it is repaired", lambda: fail_closed.bundle() == before, REPAIR)
        seconds = time.monotonic() - began
        settled = time.monotonic() + 1
        time.sleep(3)
    taken = load.taken()
    figure("caBundle broken to repaired", seconds)
    figure("Pods refused for that long, fail-closed", taken.window)
    late = [answer for answer in taken.answers if answer.began > settled]
    assert late
    assert all(answer.rewritten for answer in late)


def test_the_owner_is_put_back(fail_closed: Installation, figure: _Figure) -> None:
    before = fail_closed.webhook()["metadata"]["ownerReferences"]
    assert [(owner["kind"], owner["name"]) for owner in before] == [("Namespace", OWN_NAMESPACE)]
    began = time.monotonic()
    patch = json.dumps({"metadata": {"ownerReferences": None}})
    fail_closed.cluster.kubectl("patch", "mutatingwebhookconfiguration", PROGRAM, "--type=merge", f"--patch={patch}")

    def repaired() -> bool:
        return bool(fail_closed.webhook()["metadata"].get("ownerReferences") == before)

    eventually("it is put back", repaired, REPAIR)
    figure("Owner taken away to put back", time.monotonic() - began)
