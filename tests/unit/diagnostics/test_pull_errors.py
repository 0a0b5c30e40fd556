"""Failed pulls are classified by the messages of container runtimes, and never by what a Pod's author chose."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.diagnostics import pull_errors
from webhook.output import invocation
from webhook.output.finding_codes import Code

IMAGE = "registry.example.com/team/app:1"
_URL = "https://registry.example.com/v2/team/app/manifests/1"
_CONTAINERD = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}"'
#: containerd 1.4 to 2.x, and kubelet's prefix for its gRPC status.
_RPC = f"rpc error: code = Unknown desc = {_CONTAINERD}"
_HEAD = f'{_RPC}: failed to do request: Head "{_URL}"'
_OLD_HEAD = f"{_RPC}: failed to do request: Head {_URL}"
#: CRI-O 1.18 to 1.32, whose newer versions try an artifact as well.
_CRIO = f"rpc error: code = Unknown desc = initializing source docker://{IMAGE}"
_CRIO_PING = f'{_CRIO}: pinging container registry registry.example.com: Get "https://registry.example.com/v2/"'
_CRIO_READ = "rpc error: code = Unknown desc = reading manifest 1 in registry.example.com/team/app"
_CRIO_NEW = f"unable to pull image or OCI artifact: pull image err: initializing source docker://{IMAGE}"
#: Docker by cri-dockerd, and by dockershim before Kubernetes 1.24.
_DOCKER = 'rpc error: code = Unknown desc = Error response from daemon: Get "https://registry.example.com/v2/"'
_DAEMON = "rpc error: code = Unknown desc = Error response from daemon"
_ARTIFACT = f"artifact err: get manifest: build image source: reading manifest 1 in {IMAGE}"

MESSAGES = [
    # DNS
    (f"{_HEAD}: dial tcp: lookup registry.example.com on 10.96.0.10:53: no such host", Code.PULL_DNS),
    (f"{_HEAD}: dial tcp: lookup registry.example.com: no such host", Code.PULL_DNS),
    (f"{_OLD_HEAD}: dial tcp: lookup registry.example.com: Try again", Code.PULL_DNS),
    (f"{_HEAD}: dial tcp: lookup registry.example.com on 127.0.0.53:53: server misbehaving", Code.PULL_DNS),
    (
        (
            f"{_DOCKER}: dial tcp: lookup registry.example.com on [::1]:53: read udp [::1]:48468->[::1]:53: "
            "read: connection refused"
        ),
        Code.PULL_DNS,
    ),
    (
        (
            f"{_DOCKER}: dial tcp: lookup registry.example.com on 10.0.2.3:53: read udp 10.0.2.15:54567->10.0.2.3:53: "
            "i/o timeout"
        ),
        Code.PULL_DNS,
    ),
    (f"{_CRIO_PING}: dial tcp: lookup registry.example.com: device or resource busy", Code.PULL_DNS),
    (f"{_CRIO_PING}: dial tcp: lookup registry.example.com: Temporary failure in name resolution", Code.PULL_DNS),
    # Network
    (f"{_HEAD}: dial tcp 10.0.0.9:443: connect: connection refused", Code.PULL_UNAVAILABLE),
    (f"{_HEAD}: dial tcp 10.0.0.9:443: i/o timeout", Code.PULL_UNAVAILABLE),
    (f"{_HEAD}: dial tcp 10.0.0.9:443: connect: no route to host", Code.PULL_UNAVAILABLE),
    (f"{_HEAD}: dial tcp [fd00::9]:443: connect: network is unreachable", Code.PULL_UNAVAILABLE),
    (f"{_HEAD}: net/http: TLS handshake timeout", Code.PULL_UNAVAILABLE),
    (f"{_HEAD}: EOF", Code.PULL_UNAVAILABLE),
    (f"{_HEAD}: read tcp 10.0.0.1:3000->10.0.0.9:443: read: connection reset by peer", Code.PULL_UNAVAILABLE),
    (
        (
            f"{_DOCKER}: net/http: request canceled while waiting for connection (Client.Timeout exceeded while "
            "awaiting headers)"
        ),
        Code.PULL_UNAVAILABLE,
    ),
    (f"{_RPC}: unexpected status from HEAD request to {_URL}: 503 Service Unavailable", Code.PULL_UNAVAILABLE),
    (f"{_RPC}: unexpected status code [manifests 1]: 500 Internal Server Error", Code.PULL_UNAVAILABLE),
    ("RegistryUnavailable", Code.PULL_UNAVAILABLE),
    # TLS
    (f"{_HEAD}: x509: certificate signed by unknown authority", Code.PULL_UNTRUSTED),
    (
        f"{_HEAD}: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        Code.PULL_UNTRUSTED,
    ),
    (f"{_HEAD}: remote error: tls: bad certificate", Code.PULL_FAILED),
    (
        (
            f"{_HEAD}: tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current "
            "time 2026-11-29T10:00:00Z is after 2026-11-01T00:00:00Z"
        ),
        Code.PULL_CERT_EXPIRED,
    ),
    (
        (
            f"{_CRIO_PING}: tls: failed to verify certificate: x509: certificate is valid for other.example.com, "
            "not registry.example.com"
        ),
        Code.PULL_CERT_NAME,
    ),
    (
        f"{_DOCKER}: x509: cannot validate certificate for 10.0.0.9 because it doesn't contain any IP SANs",
        Code.PULL_CERT_NAME,
    ),
    (
        f"{_DOCKER}: x509: certificate relies on legacy Common Name field, use SANs instead",
        Code.PULL_CERT_NAME,
    ),
    (f"{_HEAD}: http: server gave HTTP response to HTTPS client", Code.PULL_PLAIN_HTTP),
    (f"{_CRIO_PING}: http: server gave HTTP response to HTTPS client", Code.PULL_PLAIN_HTTP),
    (f"{_HEAD}: tls: first record does not look like a TLS handshake", Code.PULL_PLAIN_HTTP),
    # Proxy
    (f"{_HEAD}: proxyconnect tcp: dial tcp 10.0.0.3:3128: connect: connection refused", Code.PULL_PROXY),
    (f"{_CRIO_PING}: proxyconnect tcp: dial tcp: lookup http: Temporary failure in name resolution", Code.PULL_PROXY),
    (f"{_DOCKER}: Proxy Authentication Required", Code.PULL_PROXY),
    # Credentials
    (f"{_RPC}: unexpected status from HEAD request to {_URL}: 401 Unauthorized", Code.PULL_REFUSED),
    (f"{_RPC}: unexpected status code [manifests 1]: 401 Unauthorized", Code.PULL_REFUSED),
    (
        (
            f"{_RPC}: failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
            "https://auth.example.com/token?scope=repository%3Ateam%2Fapp%3Apull: 401 Unauthorized"
        ),
        Code.PULL_REFUSED,
    ),
    (
        f"{_RPC}: failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
        Code.PULL_REFUSED,
    ),
    (f"{_RPC}: pulling from host registry.example.com failed with status code [manifests 1]: 401", Code.PULL_REFUSED),
    (f"{_DOCKER}: no basic auth credentials", Code.PULL_REFUSED),
    (f"{_DOCKER}: unauthorized: authentication required", Code.PULL_REFUSED),
    (
        (
            f"{_DAEMON}: pull access denied for registry.example.com/team/app, repository does not exist or may "
            "require 'docker login': denied: Your authorization token has expired. Reauthenticate and try again."
        ),
        Code.PULL_REFUSED,
    ),
    (f"{_CRIO_READ}: unauthorized: authentication required", Code.PULL_REFUSED),
    (
        (
            f"{_CRIO_NEW}: reading manifest 1 in registry.example.com/team/app: unauthorized: authentication required; "
            f"{_ARTIFACT}: manifest unknown"
        ),
        Code.PULL_REFUSED,
    ),
    (
        (
            f"{_CRIO}: unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or "
            "password"
        ),
        Code.PULL_REFUSED,
    ),
    (f"{_RPC}: unexpected status from HEAD request to {_URL}: 403 Forbidden", Code.PULL_DENIED),
    (
        (
            f"{_RPC}: pull access denied, repository does not exist or may require authorization: server message: "
            "insufficient_scope: authorization failed"
        ),
        Code.PULL_DENIED,
    ),
    (
        (
            f"{_DAEMON}: pull access denied for registry.example.com/team/app, repository does not exist or may "
            "require 'docker login': denied: requested access to the resource is denied"
        ),
        Code.PULL_DENIED,
    ),
    (f"{_CRIO_READ}: denied: requested access to the resource is denied", Code.PULL_DENIED),
    # Not found
    (f"{_RPC}: {IMAGE}: not found", Code.PULL_NOT_FOUND),
    (f"rpc error: code = NotFound desc = {_CONTAINERD}: {IMAGE}: not found", Code.PULL_NOT_FOUND),
    (f"{_CRIO_READ}: manifest unknown", Code.PULL_NOT_FOUND),
    (f"{_CRIO_READ}: name unknown: repository name not known to registry", Code.PULL_NOT_FOUND),
    (f"{_DAEMON}: manifest for {IMAGE} not found: manifest unknown: manifest unknown", Code.PULL_NOT_FOUND),
    (f"{_CRIO_NEW}: reading manifest 1 in {IMAGE}: manifest unknown; {_ARTIFACT}: x509", Code.PULL_NOT_FOUND),
    # Rate
    (
        f"{_RPC}: unexpected status from HEAD request to {_URL}: 429 Too Many Requests",
        Code.PULL_RATE_LIMITED,
    ),
    (
        (
            f"{_CRIO_READ}: toomanyrequests: You have reached your pull rate limit. You may increase the limit by "
            "authenticating and upgrading: https://www.docker.com/increase-rate-limit"
        ),
        Code.PULL_RATE_LIMITED,
    ),
    # Platform
    (
        (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{IMAGE}": no match for platform in '
            "manifest: not found"
        ),
        Code.PULL_PLATFORM,
    ),
    (
        (
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{IMAGE}": no match for platform in '
            f"manifest sha256:{'a' * 64}: not found"
        ),
        Code.PULL_PLATFORM,
    ),
    (f"{_DAEMON}: no matching manifest for linux/arm64/v8 in the manifest list entries", Code.PULL_PLATFORM),
    (
        (
            f"rpc error: code = Unknown desc = choosing an image from manifest list docker://{IMAGE}: no image found "
            'in image index for architecture "arm64", variant "v8", OS "linux"'
        ),
        Code.PULL_PLATFORM,
    ),
    # Node
    (
        (
            f"{_RPC}: failed to copy: write /var/lib/containerd/io.containerd.content.v1.content/ingest/x/data: "
            "no space left on device"
        ),
        Code.PULL_DISK,
    ),
    ("SignatureValidationFailed: Source image rejected: A signature was required", Code.PULL_SIGNATURE),
    ("something that no runtime has written before", Code.PULL_FAILED),
    ("", Code.PULL_FAILED),
]


@pytest.mark.parametrize(("message", "code"), MESSAGES)
def test_classify_runtime_message(message: str, code: Code) -> None:
    assert pull_errors.classify(message, IMAGE) is code
    assert pull_errors.classify(f"ErrImagePull: {message}", IMAGE) is code


@pytest.mark.parametrize(
    "image",
    [
        "registry.example.com/x509-certificate",
        "registry.example.com/unauthorized:401",
        "registry.example.com/a/denied/access:403",
        "registry.example.com/no-such-host/lookup:v429",
        "registry.example.com/proxyconnect:timeout",
    ],
)
def test_classify_image_name_does_not_count(image: str) -> None:
    url = f"https://registry.example.com/v2/{image.partition('/')[2].replace(':', '/manifests/')}"
    resolved = f'failed to resolve reference "{image}": unexpected status from HEAD request to {url}'
    assert pull_errors.classify(f"{resolved}: 404 Not Found", image) is Code.PULL_NOT_FOUND
    assert pull_errors.classify(f"failed to pull {image}: {image}: not found", image) is Code.PULL_NOT_FOUND


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            f"{_HEAD}: dial tcp: lookup registry.example.com on 10.96.0.10:53: no such host",
            "lookup registry.example.com on 10.96.0.10:53: no such host",
        ),
        (
            f"{_HEAD}: dial tcp 10.0.0.9:443: connect: connection refused",
            "dial tcp 10.0.0.9:443: connect: connection refused",
        ),
        (f"{_HEAD}: x509: certificate signed by unknown authority", "x509: certificate signed by unknown authority"),
        (f"{_OLD_HEAD}: EOF", "EOF"),
        (f"{_RPC}: unexpected status from HEAD request to {_URL}: 401 Unauthorized", "401 Unauthorized"),
        (f"{_RPC}: {IMAGE}: not found", f"{IMAGE}: not found"),
        (
            f"{_CRIO_PING}: http: server gave HTTP response to HTTPS client",
            "http: server gave HTTP response to HTTPS client",
        ),
        (f"{_CRIO_READ}: manifest unknown", "manifest unknown"),
        (
            f"{_CRIO_NEW}: reading manifest 1 in {IMAGE}: manifest unknown; {_ARTIFACT}: manifest unknown",
            "manifest unknown",
        ),
        (f"{_DAEMON}: manifest unknown", "manifest unknown"),
        ("not found", "not found"),
        ("", ""),
        ("failed to pull image:", "failed to pull image:"),
    ],
)
def test_cause_last_step_only(message: str, cause: str) -> None:
    assert pull_errors.cause(message) == cause


def test_cause_long_cut_at_word() -> None:
    cause = pull_errors.cause("word " * 100 + "the end", 40)
    assert len(cause) <= 40
    assert cause.startswith("... word ")
    assert cause.endswith(" the end")
    assert pull_errors.cause("x" * 100, 40) == f"... {'x' * 36}"


@given(st.text())
def test_cause_any_text_short_and_one_line(text: str) -> None:
    cause = pull_errors.cause(text)
    assert len(cause) <= 160
    assert cause == " ".join(cause.split())


@pytest.mark.parametrize("code", [code for code in Code if code.startswith("RW-PULL-")])
@pytest.mark.parametrize(
    "image", [IMAGE, "nginx", "[::1]:5000/a", "$(reboot)/a", "a'b", "", "registry.example.com:5000/a@b"]
)
@pytest.mark.parametrize("node", ["node-1", "", "$(reboot)", "-o", "a b"])
def test_remedy_commands_can_be_pasted(code: Code, image: str, node: str) -> None:
    if code in {Code.PULL_OK, Code.PULL_UNKNOWN, Code.PULL_WAITING}:
        return
    remedy = pull_errors.remedy(code, image, node=node, namespace="team-a")
    assert pull_errors.meaning(code)
    assert remedy.hint
    for command in remedy.commands:
        assert "\n" not in command
        assert "$(" not in command
        assert "`" not in command
        words = shlex.split(command, comments=True)
        own = shlex.split(invocation.program())
        assert words[0] in {"kubectl", "openssl", "curl", "skopeo"} or words[: len(own)] == own


@pytest.mark.parametrize(
    ("written", "image", "source", "target"),
    [
        ("nginx", "registry.example.com/nginx", "docker.io/library/nginx", "registry.example.com/nginx"),
        ("a/b:1", "registry.example.com/a/b:1", "docker.io/a/b:1", "registry.example.com/a/b:1"),
        (
            f"quay.io/a/b:1@sha256:{'a' * 64}",
            f"registry.example.com/quay/a/b:1@sha256:{'a' * 64}",
            f"quay.io/a/b@sha256:{'a' * 64}",
            f"registry.example.com/quay/a/b@sha256:{'a' * 64}",
        ),
    ],
)
def test_remedy_missing_image_copied_from_original(written: str, image: str, source: str, target: str) -> None:
    remedy = pull_errors.remedy(Code.PULL_NOT_FOUND, image, written=written)
    assert remedy.commands == (f"skopeo copy --all docker://{source} docker://{target}",)


def test_remedy_unavailable_uses_registry_port() -> None:
    remedy = pull_errors.remedy(Code.PULL_UNAVAILABLE, "registry.example.com:5000/a", node="node-1")
    assert "`curl -sSI https://registry.example.com:5000/v2/`" in remedy.hint
    assert "node-1" in remedy.hint
    assert remedy.commands == ()


@pytest.mark.parametrize(
    ("image", "message", "host"),
    [
        ("busybox:1.36", "dial tcp: lookup registry-1.docker.io on 10.0.0.2:53: no such host", "registry-1.docker.io"),
        ("busybox:1.36", "dial tcp: lookup mirror.example.com: no such host", "mirror.example.com"),
        ("busybox:1.36", "", "registry-1.docker.io"),
        ("ghcr.io/a/b", "dial tcp: lookup $(reboot): no such host", "ghcr.io"),
        ("ghcr.io/a/b", 'Head "https://ghcr.io/lookup evil.example": no such host', "ghcr.io"),
        ("registry.example.com:5000/a", "dial tcp: lookup registry.example.com.: no such host", "registry.example.com"),
    ],
)
def test_remedy_dns_names_host_that_was_not_resolved(image: str, message: str, host: str) -> None:
    remedy = pull_errors.remedy(Code.PULL_DNS, image, message=message, node="node-1")
    assert f"`getent hosts {host}`" in remedy.hint
    assert remedy.commands == ()


def test_remedy_proxy_not_resolved_names_registry() -> None:
    message = "proxyconnect tcp: dial tcp: lookup proxy.example.com: no such host"
    assert "proxy.example.com" not in pull_errors.remedy(Code.PULL_PROXY, IMAGE, message=message).hint


def test_remedy_docker_hub_certificate_of_its_server() -> None:
    (command,) = pull_errors.remedy(Code.PULL_CERT_EXPIRED, "nginx").commands
    assert "-connect registry-1.docker.io:443 " in command
