"""Our commands, run by a user with that user's permissions."""

import json
import subprocess
import sys
from pathlib import Path

from .cluster import Manifest, Ran
from .installation import environment


def program(*words: str, kubeconfig: Path | None = None, stdin: Manifest | None = None) -> Ran:
    """Run `registry-webhook` with these words, as whom KUBECONFIG or another file says; no traceback comes of it."""
    variables = {} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(
        [sys.executable, "-m", "webhook", *words],
        env=environment() | variables,
        input="" if stdin is None else json.dumps(stdin),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)
