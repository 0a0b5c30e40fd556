"""What both doors answer: the one of our own server, and the Flask routes under any other."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.properties import PODS, check, envelope
from tests.support.server_process import JSON, Server
from webhook.admission import review

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "x", "namespace": "team"},
    "spec": {"containers": [{"name": "app", "image": "opencti/connector-example:1.0.0"}]},
}


def patch_of(response: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(response["patch"]))


@pytest.mark.parametrize("path", ["/mutate", "/mutate/", "/mutate?timeout=10s", "/mutate/?timeout=10s"])
def test_a_review_is_answered_at_every_way_to_write_the_path(door: Server, path: str) -> None:
    answer = door.ask("POST", path, review.encode_review(POD, uid="u-1"), JSON)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.response["uid"] == "u-1"
    operation = {"op": "replace", "path": "/spec/containers/0/image"}
    assert patch_of(answer.response)[0] == operation | {"value": "registry.example.com/opencti/connector-example:1.0.0"}


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"])
def test_a_content_type_may_have_parameters(door: Server, content_type: str) -> None:
    assert door.ask("POST", "/mutate", review.encode_review(POD), {"Content-Type": content_type}).status == 200


def test_a_line_says_what_this_is(door: Server) -> None:
    answer = door.ask("GET", "/")
    assert (answer.status, answer.body.count(b"\n")) == (200, 1)
    assert b"registry-webhook" in answer.body


NESTED = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":' + b"[" * 100_000
ENVELOPE = b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","object":%s}}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b"{}",
        b"not JSON",
        b'"' + b"x" * 1000,
        b"\xff\xfe",
        b"NaN",
        b"1" * 5000,
        b"[" * 100_000,
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":""}}',
        b'{"apiVersion":"admission.k8s.io/v3","kind":"AdmissionReview","request":{"uid":"u"}}',
        b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_a_body_that_is_no_review_is_a_bad_request_in_one_line(door: Server, body: bytes) -> None:
    answer = door.ask("POST", "/mutate", body, JSON)
    assert answer.status == 400
    assert re.fullmatch(rb"[ -~]{1,200}\n", answer.body)
    assert door.review(review.encode_review(POD)).status == 200


@pytest.mark.parametrize(
    "body", [NESTED, ENVELOPE % b"NaN", ENVELOPE % b'{} , "uid": 3'], ids=["cut off", "NaN", "uid"]
)
def test_a_review_of_which_only_the_uid_can_be_read_is_answered(door: Server, body: bytes) -> None:
    answer = door.ask("POST", "/mutate", body, JSON)
    assert answer.status == 200
    assert answer.response["uid"] in {"u", "u-1"}
    assert answer.response["allowed"] is True
    assert len(answer.response["warnings"]) == 1


@pytest.mark.parametrize(
    "body",
    [NESTED + b"]" * 100_000 + b"}}", ENVELOPE % b'{"x": "\xed\xa0\x80"}', ENVELOPE % b'{"\xff": 1}'],
    ids=["deep", "surrogates", "no UTF-8"],
)
def test_what_nobody_reads_of_an_object_keeps_no_review_from_an_answer(door: Server, body: bytes) -> None:
    answer = door.ask("POST", "/mutate", body, JSON)
    assert (answer.status, answer.response["allowed"], "warnings" in answer.response) == (200, True, False)


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"]
)
def test_another_content_type_is_refused(door: Server, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert door.ask("POST", "/mutate", review.encode_review(POD), headers).status == 415


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_another_method_is_refused_with_the_right_one(door: Server, method: str) -> None:
    answer = door.ask(method, "/mutate")
    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/nothing", "/mutate/x", "/%2e%2e/mutate", "/mutate%00", "/%c3%a9", "/MUTATE"])
def test_another_path_is_not_found(door: Server, path: str) -> None:
    assert door.ask("POST", path, review.encode_review(POD), JSON).status == 404


def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(door: Server) -> None:
    with door.tls() as raw:
        raw.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n{" % (review.BODY_LIMIT + 1)
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_at_the_limit_is_read(door: Server) -> None:
    short = review.encode_review(POD, uid="u-8")
    answer = door.review(short + b" " * (review.BODY_LIMIT - len(short)))
    assert answer.response["uid"] == "u-8"


def test_a_body_in_chunks_is_read(door: Server) -> None:
    body = review.encode_review(POD)
    answer = door.ask("POST", "/mutate", iter([body[:10], body[10:]]), JSON)
    assert answer.response["allowed"] is True


def test_length_and_chunks_together_are_refused(door: Server) -> None:
    with door.tls() as raw:
        raw.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


CONTAINERS: list[Any] = [
    None,
    {},
    "nginx",
    [None, 1, "nginx", [], {"image": 3}],
    [{"name": "a"}, {"name": "a", "image": None}],
    [{"name": "a", "image": text} for text in ("", " ", "a b", "nginx\n", "a\0b", "../x", "a/../b", "a%2fb", "ngınx")],
]


@pytest.mark.parametrize("containers", CONTAINERS, ids=lambda value: json.dumps(value)[:30])
def test_what_is_malformed_inside_a_valid_review_is_allowed_unchanged(door: Server, containers: Any) -> None:
    response = door.review(review.encode_review({"spec": {"containers": containers}}, uid="u-2")).response
    assert (response["uid"], response["allowed"], "patch" in response) == ("u-2", True, False)


@pytest.mark.parametrize(
    "pod",
    [
        b'{"spec":{"containers":[{"name":"a","image":"\\ud800"}]}}',
        b'{"spec":{"containers":[{"name":"a","image":"nginx\\udc00:1"}]}}',
        b'{"spec":{"containers":[{"name":"a","image":%s}]}}' % (b"1" * 5000),
        b'{"spec":{"containers":' + b"[" * 500 + b"]" * 500 + b"}}",
        b'{"metadata":{"generation":%s},"spec":{}}' % (b"9" * 5000),
        b"null",
        b"[]",
        b"3",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_json_that_python_would_not_write_is_allowed_unchanged(door: Server, pod: bytes) -> None:
    request = b'"kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","namespace":"team"'
    body = (ENVELOPE % pod).replace(b'"uid"', request + b',"uid"')
    response = door.review(body).response
    assert (response["uid"], response["allowed"], "patch" in response) == ("u-1", True, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": "DELETE", "object": None},
        {"operation": "CONNECT"},
        {"object": None},
        {"subResource": "binding", "kind": {"group": "", "version": "v1", "kind": "Binding"}},
        {"subResource": "eviction", "kind": {"group": "policy", "version": "v1", "kind": "Eviction"}},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": {"group": "", "version": "v1", "kind": "ConfigMap"}},
    ],
    ids=lambda fields: json.dumps(fields)[:50],
)
def test_a_review_of_something_else_is_allowed_unchanged(door: Server, fields: dict[str, Any]) -> None:
    response = door.review(review.encode_review(POD, uid="u-3", **fields)).response
    assert (response["uid"], response["allowed"], "patch" in response) == ("u-3", True, False)


def test_three_thousand_containers_are_answered(door: Server) -> None:
    containers = [{"name": f"c{number}", "image": f"app-{number}"} for number in range(3000)]
    response = door.review(review.encode_review({"metadata": {}, "spec": {"containers": containers}})).response
    assert sum(operation["op"] == "replace" for operation in patch_of(response)) == 3000


def test_both_versions_are_answered(door: Server) -> None:
    for version in ("admission.k8s.io/v1", "admission.k8s.io/v1beta1"):
        body = json.dumps(json.loads(review.encode_review(POD)) | {"apiVersion": version}).encode()
        assert json.loads(door.review(body).body)["apiVersion"] == version


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pods=st.lists(PODS, min_size=1, max_size=5), operation=st.sampled_from(["CREATE", "UPDATE"]))
def test_the_laws_hold_through_the_door(door: Server, pods: list[Any], operation: str) -> None:
    with door.client() as client:
        for pod in pods:
            body = envelope(pod, {"operation": operation, "oldObject": pods[0]})
            answer = client.review(body)
            assert answer.status == 200
            check(pod, body, answer.body)
