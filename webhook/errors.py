"""Every error that this program raises on purpose, in one tree.

    RegistryWebhookError
    ├── InvalidReference         a text that no container runtime would accept as an image name
    ├── InvalidPattern           a glob that could match nothing, or is none
    ├── InvalidPrefix            a registry or prefix that cannot stand in front of an image name
    ├── ConflictingRules         rewriting rules that undo or chase each other
    ├── ConfigurationError       every fault of a configuration, each with its key, origin and remedy
    ├── MalformedReview          bytes that are no AdmissionReview we could answer
    │   └── UnreadableReview     of which the uid can be read, so that it can be refused or allowed
    ├── InvalidManifest          a document that is no Kubernetes manifest
    ├── PolicyLimitExceeded      a configuration that does not fit into an admission policy
    ├── CertificateError         a certificate and key that cannot be served
    ├── FileError                a file that cannot be read
    ├── InvalidCredential        a user name or password that kubelet could not use
    ├── CredentialProviderError  a credential provider that gives no credential now
    └── ClusterError             the API server did not do what it was asked
        ├── Unreachable          it gave no answer, or could not do it now
        ├── Forbidden            we have no right to it, a quota is used up, or a policy refused it
        ├── NotFound             there is no such object, or no such namespace
        ├── Conflict             somebody else changed or owns what was to be written
        ├── Invalid              what was written is not what it takes
        ├── TooLarge             the answer is larger than what was asked for may be
        └── Expired              a list or watch must begin anew

The text of each is one line that a user can act on. It never holds a password.
"""

from typing import NamedTuple


class RegistryWebhookError(Exception):
    """The root of the tree: what a command turns into one line and exit status 2."""


class InvalidReference(RegistryWebhookError):
    """A text that is not an image reference."""


class InvalidPattern(RegistryWebhookError):
    """A glob pattern that could match nothing, or is none."""


class InvalidPrefix(RegistryWebhookError):
    """A registry or a prefix that cannot stand in front of an image name."""


class ConflictingRules(RegistryWebhookError):
    """Rules that contradict each other, or take again what one of them made."""

    def __init__(self, index: int, part: str, message: str) -> None:
        """Say `message` of the `part` ("from" or "to") of rule number `index`, -1 being the server itself."""
        super().__init__(message)
        self.index = index
        self.part = part


class ConfigIssue(NamedTuple):
    """One thing that is wrong with a configuration."""

    key: str
    """The key's path, `webhook.rules[0].from`; empty for the file as a whole."""
    origin: str
    """Where the value came from: `config.yaml:7`, or a variable's name."""
    value: str | None
    """The value as one short line, or None where it must not be shown."""
    problem: str
    """What is wrong, and what would be right."""

    def __str__(self) -> str:
        """Give the fault as one line."""
        value = "" if self.value is None else f" = {self.value}"
        return f"{self.origin}: {self.key}{value}: {self.problem}" if self.key else f"{self.origin}: {self.problem}"


class ConfigurationError(RegistryWebhookError):
    """All the faults of a configuration, found in one go."""

    def __init__(self, issues: list[ConfigIssue]) -> None:
        """Hold `issues`, at least one; the error's text is a line for each."""
        super().__init__("\n".join(map(str, issues)))
        self.issues = issues


class MalformedReview(RegistryWebhookError):
    """Bytes that are no AdmissionReview which we could answer; the text says what they are: `no JSON: ...`."""


class UnreadableReview(MalformedReview):
    """An AdmissionReview of which no more than its version and uid can be read."""

    def __init__(self, why: str, api_version: str, uid: str) -> None:
        """Say why, and to what an answer has to be."""
        super().__init__(why)
        self.api_version = api_version
        self.uid = uid


class InvalidManifest(RegistryWebhookError):
    """A document that is no Kubernetes manifest."""


class PolicyLimitExceeded(RegistryWebhookError):
    """A configuration that does not fit into an admission policy; the text says which part is too much."""


class CertificateError(RegistryWebhookError):
    """A certificate and key that cannot be served."""


class FileError(RegistryWebhookError):
    """A file that cannot be read."""


class InvalidCredential(RegistryWebhookError):
    """A user name, password or key that kubelet could not use."""


class CredentialProviderError(RegistryWebhookError):
    """A source that gives no credential now."""


class ClusterError(RegistryWebhookError):
    """The API server did not do what it was asked; the text says what, and its answer."""


class Unreachable(ClusterError):
    """The API server gave no answer, or could not do it now."""


class Forbidden(ClusterError):
    """We have no right to it, a quota is used up, or a policy refused it."""


class NotFound(ClusterError):
    """There is no such object, or no such namespace."""


class Conflict(ClusterError):
    """Somebody else changed or owns what was to be written."""


class Expired(ClusterError):
    """What a list or watch was to go on from is too long ago; it must begin anew."""


class TooLarge(ClusterError):
    """The answer has more bytes than what was asked for may have."""


class Invalid(ClusterError):
    """What was written is not what the API server takes."""
