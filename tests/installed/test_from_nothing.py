"""Two commands and a label: a Pod in a selected namespace runs an image that requires the credential."""

import time
from collections.abc import Callable

import pytest

from tests.e2e import node
from tests.e2e.cluster import eventually
from tests.e2e.refresher import password_in, published
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL

from .installation import CERTIFICATE_SECRET, Installation

_Figure = Callable[[str, object], None]


def test_install_rolls_out_with_own_certificate(installed: Installation) -> None:
    assert len(installed.pods()) == 2
    assert installed.cluster.exists(DEFAULT_NAMESPACE, CERTIFICATE_SECRET)
    assert b"BEGIN CERTIFICATE" in installed.bundle()


def test_labelled_namespace_runs_private_image(installed: Installation, unserved: str, figure: _Figure) -> None:
    cluster = installed.cluster
    namespace = cluster.make_namespace({})
    began = time.monotonic()
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}=true")
    eventually("there is a pull secret", lambda: published(cluster, namespace))
    assert password_in(published(cluster, namespace)) == installed.credential[1]
    figure("From the label to the pull secret", time.monotonic() - began)
    node.runs(cluster, namespace, node.written("app", secret=False))
    figure("From the label to a Pod that runs", time.monotonic() - began)
    assert published(cluster, unserved) is None


@pytest.mark.usefixtures("installed")
def test_unlabelled_namespace_image_not_pulled(installed: Installation, unserved: str) -> None:
    cluster = installed.cluster
    cluster.create(unserved, node.written("app", secret=True))
    eventually("the pull fails", lambda: node.state(cluster, unserved, "app") in node.NOT_PULLED, 60.0)
    node.remove(cluster, unserved, "app")


def test_apply_strict_validation_no_warnings(installed: Installation) -> None:
    ran = installed.apply("--dry-run=server", "--validate=strict")
    assert ran.warnings == []
