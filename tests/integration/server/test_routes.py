"""Answers to requests, by our own server and by the Flask application under another WSGI server."""

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
def test_review_answered_at_all_spellings_of_path(any_server: Server, path: str) -> None:
    answer = any_server.ask("POST", path, review.encode_review(POD, uid="u-1"), JSON)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.response["uid"] == "u-1"
    operation = {"op": "replace", "path": "/spec/containers/0/image"}
    assert patch_of(answer.response)[0] == operation | {"value": "registry.example.com/opencti/connector-example:1.0.0"}


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"])
def test_content_type_with_parameters_accepted(any_server: Server, content_type: str) -> None:
    assert any_server.ask("POST", "/mutate", review.encode_review(POD), {"Content-Type": content_type}).status == 200


def test_root_answers_name_and_version(any_server: Server) -> None:
    answer = any_server.ask("GET", "/")
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
def test_body_without_review_is_bad_request(any_server: Server, body: bytes) -> None:
    answer = any_server.ask("POST", "/mutate", body, JSON)
    assert answer.status == 400
    assert re.fullmatch(rb"[ -~]{1,200}\n", answer.body)
    assert any_server.review(review.encode_review(POD)).status == 200


@pytest.mark.parametrize(
    "body", [NESTED, ENVELOPE % b"NaN", ENVELOPE % b'{} , "uid": 3'], ids=["cut off", "NaN", "uid"]
)
def test_review_with_readable_uid_answered(any_server: Server, body: bytes) -> None:
    answer = any_server.ask("POST", "/mutate", body, JSON)
    assert answer.status == 200
    assert answer.response["uid"] in {"u", "u-1"}
    assert answer.response["allowed"] is True
    assert len(answer.response["warnings"]) == 1


@pytest.mark.parametrize(
    "body",
    [NESTED + b"]" * 100_000 + b"}}", ENVELOPE % b'{"x": "\xed\xa0\x80"}', ENVELOPE % b'{"\xff": 1}'],
    ids=["deep", "surrogates", "no UTF-8"],
)
def test_unread_fields_do_not_matter(any_server: Server, body: bytes) -> None:
    answer = any_server.ask("POST", "/mutate", body, JSON)
    assert (answer.status, answer.response["allowed"], "warnings" in answer.response) == (200, True, False)


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"]
)
def test_other_content_type_refused(any_server: Server, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert any_server.ask("POST", "/mutate", review.encode_review(POD), headers).status == 415


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_other_method_refused_with_allow(any_server: Server, method: str) -> None:
    answer = any_server.ask(method, "/mutate")
    assert answer.status == 405
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/nothing", "/mutate/x", "/%2e%2e/mutate", "/mutate%00", "/%c3%a9", "/MUTATE"])
def test_other_path_not_found(any_server: Server, path: str) -> None:
    assert any_server.ask("POST", path, review.encode_review(POD), JSON).status == 404


def test_content_length_over_limit_refused_before_body(any_server: Server) -> None:
    with any_server.tls() as raw:
        raw.sendall(
            b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n{" % (review.BODY_LIMIT + 1)
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413 ")


def test_body_at_limit_answered(any_server: Server) -> None:
    short = review.encode_review(POD, uid="u-8")
    answer = any_server.review(short + b" " * (review.BODY_LIMIT - len(short)))
    assert answer.response["uid"] == "u-8"


def test_chunked_body_answered(any_server: Server) -> None:
    body = review.encode_review(POD)
    answer = any_server.ask("POST", "/mutate", iter([body[:10], body[10:]]), JSON)
    assert answer.response["allowed"] is True


def test_content_length_with_chunks_refused(any_server: Server) -> None:
    with any_server.tls() as raw:
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
def test_malformed_object_in_review_allowed_unchanged(any_server: Server, containers: Any) -> None:
    response = any_server.review(review.encode_review({"spec": {"containers": containers}}, uid="u-2")).response
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
def test_unusual_json_allowed_unchanged(any_server: Server, pod: bytes) -> None:
    request = b'"kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","namespace":"team"'
    body = (ENVELOPE % pod).replace(b'"uid"', request + b',"uid"')
    response = any_server.review(body).response
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
def test_review_of_other_kind_allowed_unchanged(any_server: Server, fields: dict[str, Any]) -> None:
    response = any_server.review(review.encode_review(POD, uid="u-3", **fields)).response
    assert (response["uid"], response["allowed"], "patch" in response) == ("u-3", True, False)


def test_three_thousand_containers_answered(any_server: Server) -> None:
    containers = [{"name": f"c{number}", "image": f"app-{number}"} for number in range(3000)]
    response = any_server.review(review.encode_review({"metadata": {}, "spec": {"containers": containers}})).response
    assert sum(operation["op"] == "replace" for operation in patch_of(response)) == 3000


def test_both_review_versions_answered(any_server: Server) -> None:
    for version in ("admission.k8s.io/v1", "admission.k8s.io/v1beta1"):
        body = json.dumps(json.loads(review.encode_review(POD)) | {"apiVersion": version}).encode()
        assert json.loads(any_server.review(body).body)["apiVersion"] == version


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pods=st.lists(PODS, min_size=1, max_size=5), operation=st.sampled_from(["CREATE", "UPDATE"]))
def test_properties_hold_over_http(any_server: Server, pods: list[Any], operation: str) -> None:
    with any_server.client() as client:
        for pod in pods:
            body = envelope(pod, {"operation": operation, "oldObject": pods[0]})
            answer = client.review(body)
            assert answer.status == 200
            check(pod, body, answer.body)
