"""The API server's audit log: requests and their users."""

import json
from pathlib import Path
from typing import NamedTuple

from webhook.constants import DEFAULT_NAMESPACE, PROGRAM

from .cluster import Manifest

_ACCOUNT = f"system:serviceaccount:{DEFAULT_NAMESPACE}:{PROGRAM}"


class AuditLog(NamedTuple):
    """The log, which has the writes of Pods and Secrets."""

    path: Path

    def end(self) -> int:
        """Give the place where what is asked from now on will stand."""
        return self.path.stat().st_size

    def since(self, start: int) -> list[Manifest]:
        """Give what has been written since a place."""
        with self.path.open("rb") as lines:
            lines.seek(start)
            # The last line may still be in the writing.
            return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def secrets_written(self, start: int) -> list[tuple[str, str]]:
        """Give verb and namespace of each request by which the sidecar's account wrote a Secret since a place."""
        about = [event["objectRef"] | event for event in self.since(start) if event["user"]["username"] == _ACCOUNT]
        return [(event["verb"], event["namespace"]) for event in about if event["resource"] == "secrets"]
