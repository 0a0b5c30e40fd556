"""All replicas of a fail-closed webhook are deleted at once and come back, because they do not depend on it."""

import time
from collections.abc import Callable

from tests.e2e.cluster import eventually
from webhook.kube.client import Client

from .conftest import gone_at_once
from .installation import ROLLOUT, Installation
from .load import making_pods

_Figure = Callable[[str, object], None]


def test_fail_closed_all_replicas_gone_recover(
    fail_closed: Installation, served: str, unserved: str, api: Client, figure: _Figure
) -> None:
    before = set(fail_closed.pods())
    with making_pods([api], served, rate=20) as load, making_pods([api], unserved, rate=5) as elsewhere:
        began = time.monotonic()
        gone_at_once(fail_closed)
        eventually("Pods are refused", lambda: load.taken().refused)
        eventually("Pods are made again", load.rewrites, ROLLOUT)
        fail_closed.wait()
        figure("All replicas gone to rolled out again, fail-closed", time.monotonic() - began)
    figure("Pods refused meanwhile, for", load.taken().window)
    elsewhere.taken().all_made()
    assert len(fail_closed.pods()) == 3
    assert not before & set(fail_closed.pods())
