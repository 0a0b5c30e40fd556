"""Problems are reported once, and again if they last, in the log and in an Event."""

import logging
import re
from typing import Any

import pytest

from tests.support.fakes import Clock, StandIn
from webhook.errors import Forbidden
from webhook.refresher.runtime.event_reasons import EventReason
from webhook.refresher.runtime.event_recorder import EventRecorder


class Said:
    """A reporter, and what it said."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cluster = StandIn()
        self.leading = True
        self.reporter = EventRecorder(
            self.cluster.cluster, "the-secret", "host_1f" * 30, lambda: self.leading, self.clock
        )

    def notes(self) -> list[str]:
        """Give the notes of the Events since the last time."""
        notes = [event["note"] for event in self.cluster.events]
        self.cluster.events.clear()
        return notes


@pytest.fixture
def said() -> Said:
    return Said()


def test_warning_repeated_once_per_hour(said: Said) -> None:
    for _ in range(100):
        said.reporter.report(EventReason.FOREIGN_SECRET, "it is not ours", "team")
        said.clock.now += 35
    assert said.notes() == ["it is not ours"]
    said.clock.now += 200
    said.reporter.report(EventReason.FOREIGN_SECRET, "it is not ours", "team")
    assert said.notes() == ["it is not ours"]


def test_warning_changed_note_once_per_minute(said: Said) -> None:
    for number in range(100):
        said.reporter.report(EventReason.PULL_SECRET_FAILED, f"attempt {number}", "team")
        said.clock.now += 1
    assert said.notes() == ["attempt 0", "attempt 60"]


def test_warning_per_namespace_and_reason(said: Said) -> None:
    for namespace in ("a", "b", None):
        for reason in (EventReason.PROVIDER_FAILED, EventReason.REGISTRY_UNCLEAR):
            said.reporter.report(reason, f"{reason} {namespace}", namespace)
    assert len(said.notes()) == 6


def test_warning_after_resolved_reported_at_once(said: Said) -> None:
    for _ in range(2):
        said.reporter.report(EventReason.PULL_SECRET_FAILED, "no quota", "team")
        said.reporter.report(EventReason.PULL_SECRET_FAILED, "no quota", "other")
        said.reporter.resolved("team", EventReason.PULL_SECRET_FAILED, EventReason.FOREIGN_SECRET)
    assert said.notes() == ["no quota", "no quota", "no quota"]


def test_recorder_memory_bounded(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "webhook.refresher")
    for number in range(10_500):
        said.reporter.report(EventReason.PULL_SECRET_FAILED, "no quota", f"team-{number}", event=False)
    assert len(said.reporter._reports) <= 10_000  # noqa: SLF001


def lacks(event: dict[str, Any]) -> list[str]:
    """Say what the API server would refuse an Event for.

    https://github.com/kubernetes/kubernetes/blob/v1.37.0/pkg/apis/core/validation/events.go
    """
    found = []
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", event["metadata"]["name"]):
        found.append("name")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["eventTime"]):
        found.append("eventTime")
    if event["type"] not in {"Normal", "Warning"}:
        found.append("type")
    if event["metadata"]["namespace"] != event["regarding"]["namespace"]:
        found.append("regarding.namespace")
    bounds = {"reason": 128, "action": 128, "note": 1024, "reportingInstance": 128}
    found += [key for key, most in bounds.items() if not 0 < len(event[key].encode()) <= most]
    if not re.fullmatch(r"[a-z0-9.-]+/[A-Za-z0-9._-]{1,63}", event["reportingController"]):
        found.append("reportingController")
    return found


@pytest.mark.parametrize("note", ["short", "long " * 1000, "línea\nforged", "\x00\u2028" * 300])
@pytest.mark.parametrize("namespace", ["team", None])
def test_event_passes_api_server_validation(said: Said, note: str, namespace: str | None) -> None:
    said.reporter.report(EventReason.PULL_SECRET_FAILED, note, namespace)
    (event,) = said.cluster.events
    assert lacks(event) == []
    assert event["note"].isascii()
    assert event["note"].isprintable()
    assert event["type"] == "Warning"
    regarding = event["regarding"]
    if namespace is None:
        assert (regarding["kind"], regarding["namespace"]) == ("Lease", "registry-webhook")
    else:
        assert (regarding["kind"], regarding["name"], regarding["namespace"]) == ("Secret", "the-secret", "team")


def test_event_names_unique(said: Said) -> None:
    said.reporter.report(EventReason.PULL_SECRET_REMOVED, "it is gone", "team")
    said.reporter.report(EventReason.PULL_SECRET_REMOVED, "it is gone", "other")
    one, other = said.cluster.events
    assert one["type"] == other["type"] == "Normal"
    assert one["metadata"]["name"] != other["metadata"]["name"]


def test_warning_without_event_logged(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    said.leading = False  # it is for the one that writes to tell
    said.reporter.report(EventReason.PULL_SECRET_FAILED, "one", "team")
    said.leading = True
    said.reporter.report(EventReason.CLUSTER_UNREACHABLE, "two", event=False)
    assert said.notes() == []
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "Event occurred reason=PullSecretFailed namespace=team note=one"),
        (logging.WARNING, "Event occurred reason=ClusterUnreachable note=two"),
    ]


def test_event_refused_logged(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    said.cluster.fault = Forbidden("cannot make an Event: no right (403)")
    with caplog.at_level(logging.INFO):
        said.reporter.report(EventReason.PULL_SECRET_FAILED, "no quota", "team")
    assert [record.getMessage() for record in caplog.records] == [
        'Event occurred reason=PullSecretFailed namespace=team note="no quota"',
        'could not create Event reason=PullSecretFailed error="cannot make an Event: no right (403)"',
    ]
