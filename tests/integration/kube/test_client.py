"""Kubeconfig and environment as kubectl reads them: rotated credentials, proxies, and one-line errors."""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import Behaviour, Proxy, Request, Server, Trust, answer, make_trust
from webhook.errors import ClusterError, Forbidden, Unreachable
from webhook.kube import client
from webhook.kube.access import Access
from webhook.kube.client import Client, connect

PASSWORD = "kept-secret"  # noqa: S105 - what is looked for
_EXEC = "client.authentication.k8s.io/v1"
_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*_VARIABLES, "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr(client, "_RELOAD", 0.0)
    return monkeypatch


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
def serve(trust: Trust) -> Iterator[Callable[[Behaviour], Server]]:
    with ExitStack() as stack:
        yield lambda behave: stack.enter_context(Server(behave, trust.server))


@pytest.fixture
def write(tmp_path: Path, trust: Trust) -> Write:
    def make(server: str | None, user: dict[str, Any] | None = None, **cluster: Any) -> Path:
        if server is not None:
            cluster["server"] = server
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"certificate-authority": str(trust.ca_file), **cluster}}],
            "users": [{"name": "u", "user": user or {"token": "first"}}],
        }
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        return path

    return make


def connected(kubeconfig: Path) -> Client:
    return connect(Access(kubeconfig), lambda _method, _status: None)


def refusal(kubeconfig: Path) -> str:
    with pytest.raises(ClusterError) as refused:
        connected(kubeconfig)
    said = f"{refused.value} -> {refused.value.hint}"
    assert "\n" not in said
    assert PASSWORD not in f"{said} {refused.value!r} {refused.value.__cause__!r}"
    return said


def wants(tokens: list[str]) -> Behaviour:
    """Behave as an API server that takes the last of the tokens."""

    def behave(request: Request) -> bytes:
        accepted = request.authorization == f"Bearer {tokens[-1]}"
        return answer(200 if accepted else 401, body=b"{}")

    return behave


def get(connection: Client) -> bytes:
    return connection.call(client.Request("read it", "GET", "/version"))


# Credentials rotate


def test_connect_token_file_rotated_read_again(
    tmp_path: Path, serve: Callable[[Behaviour], Server], write: Write
) -> None:
    tokens = ["first"]
    server = serve(wants(tokens))
    (tmp_path / "token").write_text("first\n")
    connection = connected(write(f"https://127.0.0.1:{server.port}", {"tokenFile": "token", "token": "stale"}))
    assert get(connection) == b"{}"
    (tmp_path / "token").write_text("second\n")
    tokens.append("second")
    assert get(connection) == b"{}"
    tokens.append("third")
    with pytest.raises(Forbidden):
        get(connection)
    (tmp_path / "token").write_text("third")
    assert get(connection) == b"{}"


def test_connect_kubeconfig_token_replaced_read_again(serve: Callable[[Behaviour], Server], write: Write) -> None:
    tokens = ["first"]
    server = serve(wants(tokens))
    url = f"https://127.0.0.1:{server.port}"
    counted: list[tuple[str, str]] = []
    connection = connect(Access(write(url)), lambda method, status: counted.append((method, status)))
    tokens.append("second")
    write(url, {"token": "second"})
    assert get(connection) == b"{}"
    assert counted == [("GET", "401"), ("GET", "200")]


def test_connect_refused_credentials_not_loaded_too_often(
    serve: Callable[[Behaviour], Server], write: Write, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(client, "_RELOAD", 60.0)
    server = serve(wants(["another"]))
    connection = connected(write(f"https://127.0.0.1:{server.port}"))
    for _ in range(3):
        with pytest.raises(Forbidden):
            get(connection)
    assert len(server.requests) == 3


def plugin(folder: Path, body: str) -> dict[str, Any]:
    program = folder / "plugin"
    program.write_text(f"#!{sys.executable}\nimport json, sys\n{body}\n")
    program.chmod(0o755)
    return {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program), "installHint": "get\nit"}
    }


_GIVES = """
status = {{"token": open({path!r}).read()}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


def test_connect_exec_plugin_token_refused_run_again(
    tmp_path: Path, serve: Callable[[Behaviour], Server], write: Write
) -> None:
    tokens = ["first"]
    server = serve(wants(tokens))
    (tmp_path / "token").write_text("first")
    user = plugin(tmp_path, _GIVES.format(path=str(tmp_path / "token")))
    connection = connected(write(f"https://127.0.0.1:{server.port}", user))
    assert get(connection) == b"{}"
    tokens.append("second")
    (tmp_path / "token").write_text("second")
    assert get(connection) == b"{}"
    (tmp_path / "plugin").write_text("#!/bin/sh\nexit 3\n")
    tokens.append("third")
    with pytest.raises(ClusterError, match=r"exec plugin .*returned 3"):
        get(connection)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("sys.exit(4)", "returned 4"),
        ("print('nonsense')", "failed to decode"),
        ("print('{}')", "missing key"),
        (
            'print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "x", "status": {}}))',
            "neither a token nor a certificate",
        ),
    ],
)
def test_connect_exec_plugin_failing_one_line_no_request(
    tmp_path: Path, serve: Callable[[Behaviour], Server], write: Write, body: str, words: str
) -> None:
    server = serve(wants(["first"]))
    said = refusal(write(f"https://127.0.0.1:{server.port}", plugin(tmp_path, body)))
    assert "exec plugin " in said
    assert words in said
    assert said.endswith("-> get it")
    assert not server.requests


@pytest.mark.parametrize("command", ["no-such-plugin", "/no/such/plugin", "./no-such-plugin"])
def test_connect_exec_plugin_missing_names_install_hint(
    write: Write, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    user = {"exec": {"apiVersion": _EXEC, "command": command, "installHint": "brew it"}}
    said = refusal(write("https://127.0.0.1:1", user))
    assert command in said
    assert said.endswith("-> brew it")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "user",
    [
        {"exec": {}},
        {"exec": {"command": 5, "apiVersion": "x"}},
        {"exec": "plugin"},
        {"auth-provider": {"name": "azure"}},
        {"auth-provider": {"name": "gcp", "config": {}}},
        {"auth-provider": {"name": "oidc", "config": {"id-token": "x"}}},
        {"tokenFile": "/no/such/file"},
        {"client-certificate": "/no/such/file"},
    ],
    ids=str,
)
def test_connect_credentials_unusable_one_line(write: Write, user: dict[str, Any]) -> None:
    said = refusal(write("https://127.0.0.1:1", user))
    assert "/kubeconfig)" in said
    assert "Errno" not in said


def test_connect_service_account_without_token_one_line_with_hint(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("KUBECONFIG", raising=False)
    environment.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    environment.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ClusterError, match=r"^cannot use the ServiceAccount: .*[^.]$") as refused:
        connect(Access(), lambda _method, _status: None)
    assert "--kubeconfig FILE" in refused.value.hint


@pytest.mark.parametrize("data", ["bm9uc2Vuc2U=", "%"])
def test_connect_client_certificate_not_pem_one_line(
    serve: Callable[[Behaviour], Server], write: Write, data: str
) -> None:
    server = serve(wants(["first"]))
    user = {"client-certificate-data": data, "client-key-data": data}
    with pytest.raises(ClusterError, match="TLS"):
        get(connected(write(f"https://127.0.0.1:{server.port}", user)))
    assert not server.requests


# The server


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "api.example.com",
        "api.example.com:6443",
        "127.0.0.1:6443",
        "ftp://api.example.com",
        "https://",
        "https://:6443",
        "https://api.example.com:port",
        "https://api.example.com:99999",
        "https://[::1",
        "https:/api.example.com",
    ],
)
def test_connect_server_not_url_names_field(write: Write, url: str | None) -> None:
    assert "server of the cluster" in refusal(write(url))


# Proxies


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"socks5://user:{PASSWORD}@127.0.0.1:1080", "SOCKS"),
        ("socks5h://127.0.0.1:1080", "SOCKS"),
        (f"ftp://user:{PASSWORD}@proxy.example.com", "neither http:// nor https://"),
        (f"http://user:{PASSWORD}@proxy.example.com:port", "host and port"),
        ("http://proxy.example.com:99999", "host and port"),
        ("http://proxy.example.com:0", "host and port"),
        ("http://", "host and port"),
        ("http://[::1", "not a URL"),
        (f"http://{PASSWORD} x/", "host and port"),
    ],
)
@pytest.mark.parametrize("place", ["HTTPS_PROXY", "https_proxy", "kubeconfig"])
def test_connect_proxy_unusable_names_origin(
    write: Write, environment: pytest.MonkeyPatch, value: str, words: str, place: str
) -> None:
    if place != "kubeconfig":
        environment.setenv(place, value)
    said = refusal(write("https://api.example.com", **({"proxy-url": value} if place == "kubeconfig" else {})))
    assert words in said
    assert ("proxy-url" if place == "kubeconfig" else place) in said


def test_connect_proxy_url_without_scheme_refused(write: Write) -> None:
    assert "proxy-url" in refusal(write("https://api.example.com", **{"proxy-url": "proxy.example.com:3128"}))


@pytest.mark.parametrize("place", ["HTTPS_PROXY", "https_proxy", "kubeconfig"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_connect_proxy_tunnel_authenticated(
    serve: Callable[[Behaviour], Server], write: Write, environment: pytest.MonkeyPatch, place: str, scheme: str
) -> None:
    server = serve(wants(["first"]))
    with Proxy() as proxy:
        value = f"{scheme or ('http://' if place == 'kubeconfig' else '')}user:{PASSWORD}@127.0.0.1:{proxy.port}"
        if place == "kubeconfig":
            path = write(f"https://registry.test:{server.port}", **{"proxy-url": value})
        else:
            environment.setenv(place, value)
            path = write(f"https://registry.test:{server.port}")
        assert get(connected(path)) == b"{}"
        (asked,) = proxy.requests
        assert (
            asked.headers["proxy-authorization"] == f"Basic {base64.b64encode(b'user:' + PASSWORD.encode()).decode()}"
        )


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_connect_loopback_never_through_proxy(
    serve: Callable[[Behaviour], Server], write: Write, environment: pytest.MonkeyPatch, name: str, host: str
) -> None:
    server = serve(wants(["first"]))
    environment.setenv(name, "http://127.0.0.1:1")
    assert get(connected(write(f"https://{host}:{server.port}"))) == b"{}"


@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8,registry.test", ".test", "*", "registry.test:{port}"])
def test_connect_no_proxy_reached_directly(write: Write, environment: pytest.MonkeyPatch, no_proxy: str) -> None:
    environment.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    environment.setenv("no_proxy", no_proxy.format(port=1))
    with pytest.raises(ClusterError) as error:
        get(connected(write("https://registry.test:1")))
    assert "proxy" not in error.value.message


def test_connect_proxy_out_of_reach_names_variable(write: Write, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:1")
    environment.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ClusterError) as error:
        get(connected(write("https://registry.test:1")))
    assert "HTTPS_PROXY" in str(error.value)
    assert PASSWORD not in str(error.value)


def test_connect_plain_server_uses_http_proxy(write: Write, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with pytest.raises(ClusterError, match="HTTP_PROXY"):
        get(connected(write("http://registry.test:1")))


# kubectl's connection options


@pytest.mark.parametrize(
    ("user", "access", "headers"),
    [
        ({}, Access(impersonate="jane"), {"impersonate-user": "jane"}),
        (
            {},
            Access(impersonate="jane", groups=("dev", "ops")),
            {"impersonate-user": "jane", "impersonate-group": "dev, ops"},
        ),
        (
            {"as": "jane", "as-groups": ["dev", "ops"], "as-uid": "7"},
            Access(),
            {"impersonate-user": "jane", "impersonate-group": "dev, ops", "impersonate-uid": "7"},
        ),
        ({"as": "jane", "as-groups": ["dev"], "as-uid": "7"}, Access(impersonate="joe"), {"impersonate-user": "joe"}),
        ({}, Access(), {}),
    ],
)
def test_connect_impersonation_sent_as_headers(
    serve: Callable[[Behaviour], Server],
    write: Write,
    user: dict[str, Any],
    access: Access,
    headers: dict[str, str],
) -> None:
    server = serve(wants(["first"]))
    kubeconfig = write(f"https://127.0.0.1:{server.port}", {"token": "first", **user})
    get(connect(access._replace(kubeconfig=kubeconfig), lambda _method, _status: None))
    (request,) = server.requests
    assert {name: value for name, value in request.headers.items() if name.startswith("impersonate")} == headers


@pytest.mark.parametrize("limit", [None, 0.0, 0.2])
def test_connect_request_timeout_replaces_that_of_requests(
    serve: Callable[[Behaviour], Server], write: Write, limit: float | None
) -> None:
    def slow(request: Request) -> bytes:
        request.stopped.wait(1.0)
        return answer(200, body=b"{}")

    kubeconfig = write(f"https://127.0.0.1:{serve(slow).port}")
    connection = connect(Access(kubeconfig, request_timeout=limit), lambda _method, _status: None)
    if limit:
        with pytest.raises(Unreachable):
            get(connection)
    else:
        assert get(connection) == b"{}"


def test_connect_cluster_and_user_replace_those_of_context(serve: Callable[[Behaviour], Server], write: Write) -> None:
    server = serve(wants(["second"]))
    kubeconfig = write("https://127.0.0.1:1")
    content = json.loads(kubeconfig.read_text())
    cluster = {**content["clusters"][0]["cluster"], "server": f"https://127.0.0.1:{server.port}"}
    content["clusters"].append({"name": "other", "cluster": cluster})
    content["users"].append({"name": "other", "user": {"token": "second"}})
    kubeconfig.write_text(json.dumps(content))
    access = Access(kubeconfig, cluster="other", user="other")
    assert get(connect(access, lambda _method, _status: None)) == b"{}"


# Errors name the address, the context and the file


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"some text", "not a kubeconfig file"),
        (b"\xff\x00", "not text"),
        (b"a: [", "invalid YAML"),
        (b"kind: Pod", "kind Pod"),
        (b"- a", "not a kubeconfig file"),
        (b"contexts: 5", "contexts must be a list"),
        (b"contexts: [{context: {}}]", "contexts must be a list"),
        (b"contexts: [{name: a, context: {cluster: c}}]", "-> pass --context, one of: a"),
        (b"{current-context: b, contexts: [{name: a, context: {cluster: c}}]}", 'context "b" not found'),
        (b"{current-context: b, contexts: [{name: a, context: {cluster: c}}]}", "-> known contexts: a"),
    ],
)
def test_connect_file_not_kubeconfig_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    said = refusal(path)
    assert reason in said
    assert str(path) in said
    assert "Error" not in said


@pytest.mark.parametrize("name", ["missing", "."])
def test_connect_kubeconfig_missing_or_folder_named(tmp_path: Path, name: str) -> None:
    said = refusal(tmp_path / name)
    assert str(tmp_path / name) in said
    assert ("directory" if name == "." else "no kubeconfig file found") in said


@pytest.mark.parametrize(
    ("options", "hint"),
    [({"context": "b"}, "known contexts: c"), ({"cluster": "b"}, "known clusters: c"), ({"user": "b"}, "users: u")],
)
def test_connect_unknown_name_lists_known_ones(write: Write, options: dict[str, str], hint: str) -> None:
    with pytest.raises(ClusterError, match='"b" not found') as refused:
        connect(Access(write("https://127.0.0.1:1"), **options), lambda _method, _status: None)  # type: ignore[arg-type]
    assert hint in refused.value.hint


def unreachable(path: Path) -> str:
    with pytest.raises(ClusterError) as error:
        get(connected(path))
    said = f"{error.value} -> {error.value.hint}"
    assert f'(context "c" in {path})' in said
    assert PASSWORD not in said
    return said


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("https://127.0.0.1:1", "https://127.0.0.1:1: connection refused"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1: connection refused"),
        ("https://host.invalid:6443", "https://host.invalid:6443: unknown host"),
    ],
)
def test_connect_out_of_reach_names_address_and_context(write: Write, server: str, reason: str) -> None:
    said = unreachable(write(server))
    assert f"cannot connect to {reason}" in said
    assert not said.endswith("-> ")


def test_connect_tls_failures_named(serve: Callable[[Behaviour], Server], write: Write, tmp_path: Path) -> None:
    port = serve(wants(["first"])).port
    assert "certificate is not valid for this host name" in unreachable(
        write(f"https://127.0.0.1:{port}", **{"tls-server-name": "other.example.com"})
    )
    (tmp_path / "other").mkdir()
    other = make_trust(tmp_path / "other").ca_file
    said = unreachable(write(f"https://127.0.0.1:{port}", **{"certificate-authority": str(other)}))
    assert "x509: certificate signed by an unknown CA" in said
    assert "the CA of the cluster" in said


def test_connect_plain_server_not_tls_named(write: Write) -> None:
    with Server(wants(["first"]), None) as server:
        assert "does not speak TLS" in unreachable(write(f"https://127.0.0.1:{server.port}"))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, b"<html>hello</html>", "is this a Kubernetes API server?"),
        (400, b"Client sent an HTTP request to an HTTPS server.\n", "Client sent an HTTP request"),
        (401, b'{"kind": "Status", "message": "Unauthorized"}', "kubectl auth whoami"),
    ],
)
def test_connect_refused_request_explained(
    serve: Callable[[Behaviour], Server], write: Write, status: int, body: bytes, reason: str
) -> None:
    server = serve(lambda _: answer(status, body=body))
    with pytest.raises(ClusterError) as error:
        get(connected(write(f"https://127.0.0.1:{server.port}")))
    assert reason in f"{error.value} -> {error.value.hint}"
