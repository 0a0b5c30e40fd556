"""A credential: the user names and passwords that one pull secret holds, checked by what kubelet can use.

The rules are those of kubelet's keyring: https://kubernetes.io/docs/concepts/containers/images/#config-json
"""

from msgspec import Struct


class Entry(Struct, frozen=True):
    """A user name and a password for one key of `.dockerconfigjson`."""

    key: str
    """What kubelet compares an image with: a host with optional port, and optional path."""
    username: str
    password: str
    email: str | None = None

    def __repr__(self) -> str:
        """Show the key alone."""
        return f"Entry(key={self.key!r})"


class Credential(Struct, frozen=True):
    """What one reading of a source gave."""

    entries: tuple[Entry, ...]
    """At least one, each key once."""
    expires: float | None = None
    """POSIX time at which the first of them ends, None where nothing is known of an end."""
    told: bool = False
    """Whether the source itself told when; otherwise the end is assumed."""
