"""The tree of all errors that this program raises.

    RegistryWebhookError
    ├── InvalidReference         not an image name that a container runtime accepts
    ├── InvalidPattern           not a glob, or one that can never match
    ├── InvalidPrefix            not a registry or prefix for image names
    ├── ConflictingRules         rewrite rules that contradict each other or chain
    ├── ConfigurationError       all errors of a configuration, each with key, origin and remedy
    ├── MalformedReview          not an AdmissionReview that can be answered
    │   └── UnreadableReview     its uid is readable, so it can be allowed or denied
    ├── InvalidManifest          not a Kubernetes manifest
    ├── PolicyLimitExceeded      the configuration does not fit in an admission policy
    ├── KubernetesTooOld         the cluster's version has not what a generated policy needs
    ├── CertificateError         an unusable certificate or key
    ├── FileError                a file that cannot be read or written
    ├── InvalidCredential        a username, password or registry key that the kubelet cannot use
    ├── CredentialProviderError  a credential provider failed
    └── ClusterError             a request to the API server failed
        ├── Unreachable          no response, or a temporary failure
        ├── Forbidden            missing permission, quota exceeded, or denied by a policy
        ├── NotFound             the object or its namespace does not exist
        ├── Conflict             another client changed or owns the object
        ├── Invalid              the API server rejected the object
        ├── NotReadable          a part of the cluster could not be read
        │   └── NotPermitted     because the user has no permission for it
        ├── TooLarge             the response exceeds the size limit
        └── Expired              a list or watch must restart

Each message is one line in lower case without a period: what failed, with the value that was tried, and in parentheses
where. What to do about it is the hint, a line of its own: a command that can be pasted, or an instruction. The message
of ConfigurationError has a line for each error. No message contains a password.
"""

from typing import NamedTuple

#: Begins the reason of a `NotPermitted`.
NO_PERMISSION = "no permission to"


def one_line(message: str, hint: str) -> str:
    """Join a message and its hint where a hint has no line of its own: in a status, an Event or a report."""
    return f"{message}; {hint}" if hint else message


class RegistryWebhookError(Exception):
    """Base class of all errors.

    Commands print `error: <message> (<where>)` and `hint: <hint>`, and exit with status 2.
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.where})" if self.where else self.message

    @property
    def one_line(self) -> str:
        return one_line(str(self), self.hint)


class InvalidReference(RegistryWebhookError):
    """Not an image name that a container runtime accepts."""


class InvalidPattern(RegistryWebhookError):
    """Not a glob pattern, or one that can never match."""


class InvalidPrefix(RegistryWebhookError):
    """Not a registry or prefix for image names."""


class ConflictingRules(RegistryWebhookError):
    """Rules that contradict each other, have no effect, or would rewrite another rule's result.

    `part` is "from" or "to", `index` the rule's position, or -1 for the server itself.
    """

    def __init__(self, index: int, part: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.index = index
        self.part = part


class ConfigIssue(NamedTuple):
    """One error in a configuration."""

    key: str
    """The key's path, `webhook.rules[0].from`; empty for the file as a whole."""
    origin: str
    """Where the value came from: `config.yaml:7`, or a variable's name."""
    value: str | None
    """The value as one short line, a string in quotes, or None if it must not be shown."""
    problem: str
    """What is wrong, or what is allowed."""
    hint: str = ""
    """What to write instead."""

    def __str__(self) -> str:
        value = "" if self.value is None else f" = {self.value}"
        key = f"{self.key}{value}: " if self.key else ""
        return f"{key}{self.problem} ({self.origin})"

    @property
    def one_line(self) -> str:
        return one_line(str(self), self.hint)


class ConfigurationError(RegistryWebhookError):
    """All errors of a configuration, at least one; the message has a line for each."""

    def __init__(self, issues: list[ConfigIssue]) -> None:
        super().__init__("\n".join(map(str, issues)))
        self.issues = issues


class MalformedReview(RegistryWebhookError):
    """Not an AdmissionReview that can be answered, with the reason."""


class UnreadableReview(MalformedReview):
    """An AdmissionReview of which only the version and uid could be read, which is enough to answer it."""

    def __init__(self, why: str, api_version: str, uid: str) -> None:
        super().__init__(why)
        self.api_version = api_version
        self.uid = uid


class InvalidManifest(RegistryWebhookError):
    """Not a Kubernetes manifest; `line` is a line of the file, from 1."""

    def __init__(self, message: str, *, where: str = "", hint: str = "", line: int | None = None) -> None:
        super().__init__(message, where=where or ("" if line is None else f"line {line}"), hint=hint)
        self.line = line

    def in_file(self, name: str) -> "InvalidManifest":
        """Return the error with its place as `pod.yaml:3`."""
        place = name if self.line is None else f"{name}:{self.line}"
        return InvalidManifest(self.message, where=place, hint=self.hint, line=self.line)


class PolicyLimitExceeded(RegistryWebhookError):
    """The configuration does not fit in an admission policy; the message names the part that is too large."""


class KubernetesTooOld(RegistryWebhookError):
    """The cluster's version does not have what a generated policy needs."""


class CertificateError(RegistryWebhookError):
    """An unusable certificate or key."""


class FileError(RegistryWebhookError):
    """A file that cannot be read or written."""


class InvalidCredential(RegistryWebhookError):
    """A username, password or registry key that the kubelet cannot use."""


class CredentialProviderError(RegistryWebhookError):
    """A credential provider failed."""


class ClusterError(RegistryWebhookError):
    """A request to the API server failed; the message names the request and the response."""


class NotReadable(ClusterError):
    """A part of the cluster could not be read; `reason` is for example `no permission to list Secrets in team-a`."""

    def __init__(self, reason: str, *, hint: str = "") -> None:
        super().__init__(reason, hint=hint)
        self.reason = reason


class NotPermitted(NotReadable):
    """A part of the cluster that the user may not read; `action` is for example `list Secrets in team-a`."""

    def __init__(self, action: str, *, hint: str = "") -> None:
        super().__init__(f"{NO_PERMISSION} {action}", hint=hint)
        self.action = action


class Unreachable(ClusterError):
    """No response from the API server, or a temporary failure."""


class Forbidden(ClusterError):
    """Missing permission, quota exceeded, or denied by a policy."""


class NotFound(ClusterError):
    """The object or its namespace does not exist."""


class Conflict(ClusterError):
    """Another client changed or owns the object."""


class Expired(ClusterError):
    """The resource version or continue token is too old: the list or watch must restart."""


class TooLarge(ClusterError):
    """The response exceeds the size limit for its request."""


class Invalid(ClusterError):
    """The API server rejected the object as invalid."""
