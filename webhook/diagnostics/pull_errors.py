"""Classification of failed pulls, by the error message of the container runtime.

The messages are those of containerd, CRI-O and Docker (cri-dockerd). All of them put the cause last, after the steps
that led to it.
"""

import re
from collections.abc import Callable

from msgspec import Struct

from webhook.constants import DOCS
from webhook.diagnostics import limits
from webhook.diagnostics.remedy import Remedy
from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.kube.object_names import is_name, is_namespace
from webhook.output import invocation, kubectl
from webhook.output.finding_codes import Code

#: Parts of a message that the Pod's author chooses: strings in quotes and brackets, and URLs.
_CHOSEN = re.compile(r'"[^"]*"|\[[^\]]*\]|\S+://\S+')
#: Steps that led to the cause, at the start of a message.
_STEPS = re.compile(
    r"""\s*(?:
    ErrImagePull:
    | rpc\ error:\ code\ =\ \w+\ desc\ =
    | Error\ response\ from\ daemon:
    | (?:failed|unable|error|cannot)\ (?:to\ )?[a-z][^:"]{0,60}(?:"[^"]*"[^:"]{0,20})?:
    | (?:Requesting\ bear[er]{2}\ token|httpReadSeeker|get\ manifest|build\ image\ source|pull\ image\ err):
    | (?:initializing\ source|choosing\ an\ image\ from\ manifest\ list)\ \S+:(?=\s)
    | (?:pinging\ container\ registry|reading\ manifest|reading\ blob|copying\ system\ image\ from\ manifest\ list)
      \ \S+(?:\ in\ \S+)?:(?=\s)
    | (?:unexpected\ status\ from\ [A-Z]+\ request\ to\ \S+:(?=\s))
    | (?:Head|Get|Post|Put)\ (?:"[^"]*"|\S+):(?=\s)
    | dial\ tcp:(?=\ lookup)
    )\s*""",
    re.VERBOSE,
)
#: CRI-O tries an image and then an artifact, and reports both errors.
_ARTIFACT = re.compile(r";\s*artifact err:.*", re.DOTALL)

#: The first pattern that is found decides: the more specific ones come first.
_CLASSES: tuple[tuple[Code, re.Pattern[str]], ...] = tuple(
    (code, re.compile(pattern, re.IGNORECASE))
    for code, pattern in (
        (Code.PULL_PROXY, r"proxyconnect|proxy authentication required|\b407\b"),
        (
            Code.PULL_PLAIN_HTTP,
            r"server gave HTTP response to HTTPS client|first record does not look like a TLS handshake",
        ),
        (
            Code.PULL_DNS,
            r"dial \w+: lookup |no such host|server misbehaving|name resolution",
        ),
        # The registry does not accept the node's certificate, which is none of the classes.
        (Code.PULL_FAILED, r"remote error: tls"),
        (Code.PULL_CERT_EXPIRED, r"certificate (?:has expired|is expired|expired)|not yet valid"),
        (
            Code.PULL_CERT_NAME,
            r"certificate is (?:not )?valid for|any IP SANs|not valid for any names|legacy Common Name",
        ),
        (Code.PULL_UNTRUSTED, r"x509|certificate"),
        (Code.PULL_RATE_LIMITED, r"toomanyrequests|too many requests|\b429\b|rate limit"),
        (
            Code.PULL_PLATFORM,
            (
                r"no match(?:ing manifest)? for (?:platform|\w+/)|no image found in (?:image index|manifest list) for"
                r"|does not match the specified platform"
            ),
        ),
        (Code.PULL_DISK, r"no space left on device|disk quota exceeded"),
        (Code.PULL_SIGNATURE, r"SignatureValidationFailed|signature (?:validation|required)|source image rejected"),
        (Code.PULL_REFUSED, r"authorization token has expired"),
        (Code.PULL_DENIED, r"\b403\b|access (?:\S+ )*denied|insufficient_scope|\bdenied\b|forbidden"),
        (
            Code.PULL_REFUSED,
            (
                r"\b401\b|unauthorized|authorization failed|authentication required|no basic auth|incorrect username"
                r"|invalid username/password"
            ),
        ),
        (Code.PULL_NOT_FOUND, r"not found|manifest unknown|name unknown|does not exist|\b404\b"),
        (
            Code.PULL_UNAVAILABLE,
            (
                r"RegistryUnavailable|connection (?:refused|reset|timed out)|connect: |no route to host|unreachable"
                r"|timeout|deadline exceeded|request canceled|\bEOF\b|broken pipe|\b50[0234]\b|service unavailable"
                r"|bad gateway|internal server error"
            ),
        ),
    )
)

#: What each class means, in a clause.
_MEANINGS = {
    Code.PULL_PROXY: "the node's HTTP proxy refuses the connection or cannot be reached",
    Code.PULL_PLAIN_HTTP: "the registry does not use TLS, and the node expects HTTPS",
    Code.PULL_DNS: "the node cannot resolve the registry's host name",
    Code.PULL_CERT_EXPIRED: "the registry's certificate has expired or is not valid yet",
    Code.PULL_CERT_NAME: "the registry's certificate is for another host name",
    Code.PULL_UNTRUSTED: "the node does not trust the registry's certificate",
    Code.PULL_RATE_LIMITED: "the registry limits the rate of pulls",
    Code.PULL_PLATFORM: "the image does not exist for the node's platform",
    Code.PULL_DISK: "the node has no disk space for the image",
    Code.PULL_SIGNATURE: "the node does not accept the image's signature",
    Code.PULL_DENIED: "the registry denies access to the image",
    Code.PULL_REFUSED: "the registry requires a valid credential",
    Code.PULL_NOT_FOUND: "the registry does not have the image",
    Code.PULL_UNAVAILABLE: "the node cannot reach the registry",
    Code.PULL_NEVER: "the image is not on the node, and the pull policy is Never",
    Code.PULL_NAME: "the image's name is not valid",
    Code.PULL_INSPECT: "the node cannot inspect the image that it has",
    Code.PULL_FAILED: "the image cannot be pulled",
}
#: Classes that another registry may not have: the others are about the node, the Pod or the image itself.
BY_REGISTRY = frozenset(_MEANINGS) - {
    Code.PULL_PLATFORM,
    Code.PULL_DISK,
    Code.PULL_SIGNATURE,
    Code.PULL_NEVER,
    Code.PULL_NAME,
    Code.PULL_INSPECT,
}
#: The host that serves the images of a registry, where that is another one.
_SERVERS = {"docker.io": "registry-1.docker.io"}
#: The host name that a message could not resolve.
_LOOKUP = re.compile(r"\blookup (?P<host>[^\s:\"']+)")
_HTTPS = 443


def classify(message: str, image: str = "") -> Code:
    """Return the class of a failed pull, `PULL_FAILED` for an unknown one.

    The name of the image, and what else the author of a Pod can choose, does not count.
    """
    text = _CHOSEN.sub("", _ARTIFACT.sub("", message))
    text = text.replace(image, "") if image else text
    return next((code for code, pattern in _CLASSES if pattern.search(text)), Code.PULL_FAILED)


def meaning(code: Code) -> str:
    """Return what a class means: `the node cannot resolve the registry's host name`."""
    return _MEANINGS[code]


def cause(message: str, limit: int = limits.CAUSE) -> str:
    """Return the last cause in a runtime's message, without the steps that led to it.

    A long one is cut at a word, at its start, since the end has the cause. It is not escaped.
    """
    text = " ".join(_ARTIFACT.sub("", message).split())
    while (step := _STEPS.match(text)) is not None and step.end() < len(text):
        text = text[step.end() :]
    if len(text) <= limit:
        return text
    cut = text[len(text) - limit + 4 :]
    return f"... {cut.partition(' ')[2] or cut}"


def host(image: str) -> str:
    """Return the registry of an image, with its port; empty if the image's name or the registry's is not valid."""
    try:
        domain = reference.parse(image).domain
    except InvalidReference:
        return ""
    return domain if is_name(domain.partition(":")[0].lower()) else ""


def remedy(  # noqa: PLR0913 - what is known about one pull
    code: Code, image: str, *, message: str = "", node: str = "", namespace: str = "", written: str = ""
) -> Remedy:
    """Return what to do about a pull of `image` in a namespace by a node, given the runtime's message.

    `written` is the image as it was written, if it was rewritten: that is where a missing image can be copied from.
    """
    registry = host(image)
    unresolved = _unresolved(message) if code is Code.PULL_DNS else ""
    return _REMEDIES[code](
        _Pull(
            image,
            registry,
            unresolved or _SERVERS.get(registry, registry),
            node if is_name(node) else "",
            namespace,
            written,
        )
    )


def _unresolved(message: str) -> str:
    """Return the host name that could not be resolved, such as that of a mirror; empty if the message has none."""
    found = _LOOKUP.search(_CHOSEN.sub("", message))
    return found["host"] if found and is_name(found["host"].lower()) else ""


class _Pull(Struct, frozen=True):
    """The parts of commands, each empty if it is not known or not valid."""

    image: str
    host: str
    """The registry as images name it."""
    server: str
    """The host that serves its images, or the one that could not be resolved."""
    node: str
    namespace: str
    written: str

    @property
    def port(self) -> str:
        return self.server.partition(":")[2] or str(_HTTPS)

    @property
    def name(self) -> str:
        return self.server.partition(":")[0]

    @property
    def the_node(self) -> str:
        return f"node {self.node}" if self.node else "the node"

    @property
    def the_registry(self) -> str:
        return self.server or "the registry"

    def on_node(self, *words: str) -> str:
        """Return the instruction to run a command on the node. A Pod that runs it would need an image."""
        return f" (to test this, run `{kubectl.shell(*words)}` on the node)" if self.server else ""

    def certificate(self, *words: str) -> tuple[str, ...]:
        """Return the command that shows the registry's certificate."""
        if not self.server:
            return ()
        connect = kubectl.shell("openssl", "s_client", "-connect", f"{self.name}:{self.port}", "-servername", self.name)
        return (f"{connect} </dev/null 2>/dev/null | {kubectl.shell('openssl', 'x509', '-noout', *words)}",)


def _dns(pull: _Pull) -> Remedy:
    hint = f"check the DNS servers of {pull.the_node}, and that {pull.name or 'the registry'} is the right name"
    return Remedy(hint + pull.on_node("getent", "hosts", pull.name))


def _unavailable(pull: _Pull) -> Remedy:
    hint = f"check the route and the firewall from {pull.the_node} to {pull.the_registry}, and that the registry is up"
    return Remedy(hint + pull.on_node("curl", "-sSI", f"https://{pull.server}/v2/"))


def _proxy(pull: _Pull) -> Remedy:
    hint = (
        f"check HTTPS_PROXY of the container runtime on {pull.the_node}, or add {pull.the_registry} to its NO_PROXY to "
        "pull without the proxy"
    )
    return Remedy(hint)


def _plain_http(pull: _Pull) -> Remedy:
    hint = "serve the registry with TLS, or allow plain HTTP in the container runtime of every node"
    command = (kubectl.shell("curl", "-sSI", f"http://{pull.server}/v2/"),) if pull.server else ()
    return Remedy(hint, command)


def _untrusted(pull: _Pull) -> Remedy:
    hint = (
        "make the container runtime of every node trust the CA that issued the registry's certificate "
        f"(containerd: /etc/containerd/certs.d/{pull.host or 'HOST'}), see "
        f"{DOCS}/how-to/private-ca.md#trust-the-ca-on-nodes"
    )
    return Remedy(hint, pull.certificate("-issuer", "-subject"))


def _expired(pull: _Pull) -> Remedy:
    return Remedy("renew the registry's certificate, or correct the node's clock", pull.certificate("-dates"))


def _wrong_name(pull: _Pull) -> Remedy:
    hint = f"issue a certificate for {pull.the_registry}, or use a name that the certificate is for"
    return Remedy(hint, pull.certificate("-subject", "-ext", "subjectAltName"))


def _refused(_: _Pull) -> Remedy:
    hint = f"check the credential in the pull secret that the Pod names, see {DOCS}/how-to/credentials.md"
    return Remedy(hint, (invocation.command("doctor"),))


def _denied(pull: _Pull) -> Remedy:
    hint = "check that the repository exists, and that the credential may pull from it"
    return Remedy(hint, _planned(pull))


def _not_found(pull: _Pull) -> Remedy:
    copied = _copied(pull)
    if copied:
        return Remedy(f"copy the image to {pull.host or 'the registry'}", copied)
    return Remedy("push the image to the registry, or correct its name and tag", _planned(pull))


def _platform(pull: _Pull) -> Remedy:
    hint = f"push the image for the platform of {pull.the_node} too"
    words = (
        "get",
        "node",
        pull.node,
        "-o",
        "jsonpath={.status.nodeInfo.operatingSystem}/{.status.nodeInfo.architecture}",
    )
    commands = (kubectl.shell("kubectl", *words),) if pull.node else ()
    return Remedy(hint, (*commands, *_copied(pull)))


def _disk(pull: _Pull) -> Remedy:
    commands = (kubectl.shell("kubectl", "describe", "node", pull.node),) if pull.node else ()
    return Remedy(f"free disk space on {pull.the_node}", commands)


def _planned(pull: _Pull) -> tuple[str, ...]:
    """Return the command that asks the registry for all images of the namespace."""
    return (invocation.command("plan", "--namespace", pull.namespace),) if is_namespace(pull.namespace) else ()


def _copied(pull: _Pull) -> tuple[str, ...]:
    command = copy_command(pull.written, pull.image)
    return () if command is None else (command,)


def copy_command(written: str, image: str) -> str | None:
    """Return the command that copies an image from where it would be pulled as it was written.

    None if the image was not rewritten, or a name is not valid.
    """
    if written in {"", image}:
        return None
    try:
        source, target = (_location(reference.parse(one)) for one in (written, image))
    except InvalidReference:
        return None
    return kubectl.shell("skopeo", "copy", "--all", f"docker://{source}", f"docker://{target}")


def _location(parsed: reference.Reference) -> str:
    """Return a reference with a tag or a digest: skopeo does not take both."""
    _, at, digest = parsed.suffix.partition("@")
    return f"{parsed.name}{at}{digest}" if at else f"{parsed.name}{parsed.suffix}"


_REMEDIES: dict[Code, Callable[[_Pull], Remedy]] = {
    Code.PULL_PROXY: _proxy,
    Code.PULL_PLAIN_HTTP: _plain_http,
    Code.PULL_DNS: _dns,
    Code.PULL_CERT_EXPIRED: _expired,
    Code.PULL_CERT_NAME: _wrong_name,
    Code.PULL_UNTRUSTED: _untrusted,
    Code.PULL_RATE_LIMITED: lambda _: Remedy("wait, or pull with a credential that has a higher limit"),
    Code.PULL_PLATFORM: _platform,
    Code.PULL_DISK: _disk,
    Code.PULL_SIGNATURE: lambda _: Remedy("sign the image, or change the signature policy of the nodes"),
    Code.PULL_DENIED: _denied,
    Code.PULL_REFUSED: _refused,
    Code.PULL_NOT_FOUND: _not_found,
    Code.PULL_UNAVAILABLE: _unavailable,
    Code.PULL_NEVER: lambda _: Remedy(
        "load the image on the node under exactly this name, or use imagePullPolicy IfNotPresent"
    ),
    Code.PULL_NAME: lambda _: Remedy("correct the image's name in the Pod's template"),
    Code.PULL_INSPECT: lambda _: Remedy("remove the image from the node, so that it is pulled again"),
    Code.PULL_FAILED: lambda _: Remedy(
        "check that the image is in the registry, and that the node can reach the registry"
    ),
}
