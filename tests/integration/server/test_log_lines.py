"""What the server logs about reviews, in both formats and at each level."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_process import CONFIGURATION, Place, Server, make_place, serving, wait_until
from webhook.admission import review
from webhook.admission.pod import STORED_LIMIT

_RULE = 'webhook: {rules: [{from: quay.io, to: registry.example.com/quay}], exclude: ["**/pause"]}\n'


def pod(*images: str, **metadata: Any) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "team", **metadata},
        "spec": {"containers": containers},
    }


def objects(server: Server) -> list[dict[str, Any]]:
    """Return the log, with an object for each line."""
    return [json.loads(line) for line in server.log.splitlines()]


def rewrites(server: Server, number: int) -> list[dict[str, Any]]:
    """Wait for `number` lines of rewrites."""

    def found() -> list[dict[str, Any]]:
        return [one for one in objects(server) if one["message"] == "Pod changed"]

    wait_until(lambda: len(found()) == number)
    return found()


def as_json(place: Place) -> AbstractContextManager[Server]:
    return serving(place, "--log-format=json")


def test_rewrite_json_line_has_request_and_images(place: Place) -> None:
    place.configure(CONFIGURATION + _RULE)
    with as_json(place) as server:
        server.review(
            review.encode_review(pod("nginx", "quay.io/x:1", "a/pause", generateName="web-"), uid="u-1", dryRun=False)
        )
        server.review(review.encode_review(pod("nginx", name="x"), uid="u-2", dryRun=True))
        first, second = rewrites(server, 2)
    del first["time"]
    assert first == {
        "level": "INFO",
        "logger": "webhook.admission",
        "message": "Pod changed",
        "namespace": "team",
        "pod": "web-",
        "client": "127.0.0.1",
        "uid": "u-1",
        "outcome": "rewritten",
        "pull_secret": "registry-webhook-pull",
        "images": [
            {
                "place": "container c0",
                "before": "nginx",
                "after": "registry.example.com/nginx",
                "reason": "server",
            },
            {
                "place": "container c1",
                "before": "quay.io/x:1",
                "after": "registry.example.com/quay/x:1",
                "reason": "rule",
                "rule": "quay.io -> registry.example.com/quay",
            },
            {"place": "container c2", "before": "a/pause", "after": "a/pause", "reason": "excluded"},
        ],
    }
    assert (second["pod"], second["uid"], second["dry_run"]) == ("x", "u-2", True)


def test_every_json_line_is_an_object(place: Place) -> None:
    with as_json(place) as server:
        server.review(review.encode_review(pod("nginx")))
        rewrites(server, 1)
        place.configure("nonsense: true\n")
        wait_until(lambda: "configuration reload failed" in server.log)
    for line in objects(server):
        assert list(line)[:4] == ["time", "level", "logger", "message"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_pod_forges_no_line(place: Place, form: str) -> None:
    forged = '","level":"ERROR\n2026-01-01T00:00:00.000Z ERROR webhook forged\u2028\x1b[2J"'
    document = pod("nginx", forged, "quay.io/x", name=forged)
    document["spec"]["containers"][0]["name"] = forged
    with serving(place, f"--log-format={form}") as server:
        before = len(server.log.splitlines())
        server.review(review.encode_review(document, uid=forged))
        wait_until(lambda: "Pod changed" in server.log)
        lines = server.log.splitlines()[before:]
    (line,) = (line for line in lines if "Pod changed" in line)
    assert line.isascii()
    assert line.isprintable()
    assert not any(line.startswith("2026-01-01") for line in lines)
    if form == "json":
        assert json.loads(line)["level"] == "INFO"
        assert json.loads(line)["uid"] == forged


def test_many_images_limited_to_line(place: Place) -> None:
    with as_json(place) as server:
        server.review(review.encode_review(pod(*(f"image-{number}" for number in range(500)))))
        (line,) = rewrites(server, 1)
        assert max(map(len, server.log.splitlines())) < 16_000
    assert len(line["images"]) + line["images_left_out"] == 500
    assert len(line["images"]) > 50


def level(place: Place, name: str) -> None:
    place.configure(CONFIGURATION + f"webhook: {{log_level: {name}}}\n")


def is_logged(server: Server, uid: str) -> bool:
    """Whether a rewrite is logged: its line is written in the loop iteration in which it is answered."""
    server.review(review.encode_review(pod("nginx"), uid=uid))
    server.probe("/healthz")
    return uid in server.log


def test_log_level_follows_configuration(place: Place) -> None:
    with serving(place) as server:
        wait_until(lambda: is_logged(server, "u-1"))
        level(place, "warning")
        wait_until(lambda: not is_logged(server, f"u-2-{len(server.log)}"))
        level(place, "info")
        wait_until(lambda: is_logged(server, "u-3"))


def test_log_level_of_command_line_wins(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    place.write_pair()
    level(place, "error")
    with serving(place, "--log-level=info") as server:
        wait_until(lambda: is_logged(server, "u-1"))
        level(place, "warning")
        wait_until(lambda: "changed=webhook.log_level" in server.log)
        wait_until(lambda: is_logged(server, "u-2"))


def test_unexamined_review_logged_with_uid_and_counted(place: Place) -> None:
    large = review.encode_review(pod("a" * STORED_LIMIT, "a", name="x"), uid="u-1")
    unreadable = review.encode_review(pod("a"), uid="u-2")[:-9]
    unread = review.encode_review(pod("a"), uid="u-3").ljust(review.BODY_LIMIT + 1)
    with as_json(place) as server:
        for body in (large, unreadable, unread):
            server.review(body)
        wait_until(lambda: server.log.count("Pod not examined") == 3)
        first, second, third = (one for one in objects(server) if one["message"] == "Pod not examined")
        metrics = server.probe("/metrics").body.decode()
    assert (first["level"], first["outcome"], first["allowed"]) == ("WARNING", "too-large", True)
    assert (first["namespace"], first["pod"], first["uid"]) == ("team", "x", "u-1")
    assert "1536 KiB" in first["why"]
    assert (second["level"], second["outcome"], second["uid"]) == ("WARNING", "unreadable", "u-2")
    assert (third["level"], third["outcome"], third["uid"]) == ("WARNING", "too-large", "u-3")
    assert 'registry_webhook_reviews_total{operation="CREATE",outcome="too-large"} 1.0' in metrics
    assert 'registry_webhook_reviews_total{operation="other",outcome="too-large"} 1.0' in metrics
    assert 'registry_webhook_reviews_total{operation="other",outcome="unreadable"} 1.0' in metrics
