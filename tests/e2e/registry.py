"""The private registry that the cluster's node pulls from; tests can set its users."""

import subprocess
from pathlib import Path

from .refresher import Settings, new_password


class Registry:
    """A registry with its users in a file of htpasswd's, which it reads again when that changes."""

    def __init__(self, htpasswd: Path, authority: Path) -> None:
        """Take the file of users, and the authority that the registry's certificate is signed by."""
        self._htpasswd = htpasswd
        self._authority = authority
        self._before = htpasswd.read_text()

    @property
    def settings(self) -> Settings:
        """Have a sidecar ask this registry."""
        return {"webhook.verify": "warn", "webhook.verify_ca": str(self._authority)}

    def admit(self, username: str, password: str) -> None:
        """Let a user in with this password, and with none that was theirs before."""
        made = subprocess.run(["htpasswd", "-nbB", username, password], capture_output=True, text=True, check=True)  # noqa: S607
        lines = self._htpasswd.read_text().splitlines()
        others = [line for line in lines if line and line.partition(":")[0] != username]
        self._write("\n".join([*others, made.stdout.strip(), ""]))

    def admit_new(self, username: str) -> tuple[str, str]:
        """Let a user in with a new password, and return both."""
        credential = (username, new_password())
        self.admit(*credential)
        return credential

    def restore(self) -> None:
        """Have the users that there were at first."""
        self._write(self._before)

    def _write(self, users: str) -> None:
        written = self._htpasswd.with_suffix(".new")
        written.touch(mode=0o600)
        written.write_text(users)
        written.replace(self._htpasswd)
