"""Run a docker credential helper: a program `docker-credential-NAME` from a registry's vendor or a user.

The protocol is that of https://github.com/docker/docker-credential-helpers#development: it is called with `get`, reads
the registry from its standard input, and prints a JSON object with `Username` and `Secret`. If it cannot, its exit
status is not 0, and "credentials not found in native keychain" on its standard output means that it has none.

In addition to the protocol, the object may state when the secret ends, as `ExpiresAt`, `Expires`, `Expiry` or
`Expiration` (ignoring case and `_`): RFC 3339 or POSIX seconds. Nothing else that it prints is shown anywhere.
"""

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import IO, Any

from msgspec import Struct

from webhook.config import schema
from webhook.errors import CredentialProviderError
from webhook.log import shorten

#: Bytes of output: the limit of a Secret.
LIMIT = 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_DIGITS = re.compile(r"[0-9]+")
_NOT_FOUND = b"credentials not found in native keychain"
_EXPIRY = frozenset({"expiresat", "expires", "expiry", "expiration"})
#: The end of the year 9999: later values are not dates.
_LAST = 253_402_300_799.0
#: Seconds between two checks whether the helper has ended; its output is read at once.
_TICK = 0.05
_CHUNK = 64 * 1024


class Answer(Struct, frozen=True):
    """The output of a helper."""

    username: str
    secret: str
    expires: float | None = None
    """POSIX time at which the secret ends, None if the helper does not state it."""

    def __repr__(self) -> str:
        """Show only the end."""
        return f"Answer(expires={self.expires!r})"


def ask(name: str, server: str, environment: Mapping[str, str], timeout: float) -> Answer | None:
    """Ask the helper `name` for a registry's credential; None if it reports that it has none.

    `server` is docker's name of the registry. The helper gets `environment` without our own registry settings. After
    `timeout` seconds it is killed. What it started and left in its process group is killed in any case.

    Raises `CredentialProviderError`.
    """
    if not _NAME.fullmatch(name):
        raise CredentialProviderError(
            f"webhook.credential.helper = {shorten(name, 64)}: must consist of letters, digits and . _ -",
            hint="write the NAME of a program docker-credential-NAME",
        )
    program = f"docker-credential-{name}"
    try:
        status, output = _run(_find(program, environment.get("PATH", "")), server, environment, timeout)
        if status and _NOT_FOUND in output:
            return None
        return _answer(status, output)
    except CredentialProviderError as error:
        error.message = f"{program}: {error.message}"
        raise


def _find(program: str, path: str) -> str:
    found = shutil.which(program, path=path)
    if found:
        return found
    if shutil.which(program, mode=os.F_OK, path=path):
        raise CredentialProviderError("not executable", hint="set its mode to 755")
    raise CredentialProviderError("not found on PATH")


def _run(path: str, server: str, environment: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
    """Run the helper; return its exit status, negative for a signal's number, and its output."""
    deadline = time.monotonic() + timeout
    process = _start(path, environment)
    with _pipe(process.stdin) as stdin, _pipe(process.stdout) as stdout:
        try:
            # A helper that answers without reading may have ended.
            with contextlib.suppress(BrokenPipeError):
                stdin.write(server.encode())
            stdin.close()
            output = _read(process, stdout, deadline)
            _wait(process, deadline)
        except TimeoutError:
            raise CredentialProviderError(f"timed out after {timeout:g} s") from None
        finally:
            # The processes that it started are killed too, whether it answered or not.
            status = _end_group(process)
        return status, output


def _start(path: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - the program is what the configuration names; no shell
            [path, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # No helper gets variables that may contain the registry's own password.
            env={name: value for name, value in environment.items() if not schema.may_be_ours(name)},
            bufsize=0,
            start_new_session=True,
        )
    except OSError as error:
        # The file that does not exist may also be the interpreter in its first line.
        raise CredentialProviderError(f"cannot start: {(error.strerror or 'unknown').lower()}") from None


def _read(process: subprocess.Popen[bytes], stdout: IO[bytes], deadline: float) -> bytes:
    """Read until the helper closes its output, or has ended and its output is read.

    A process that the helper left behind may keep the output open: do not wait for that.
    """
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            # Check this first: all that it wrote before it ended can be read then.
            ended = _has_ended(process)
            if selector.select(0 if ended else min(left, _TICK)):
                chunk = stdout.read(_CHUNK)
                output += chunk
                if len(output) > LIMIT:
                    raise CredentialProviderError(f"the output is larger than {LIMIT // 1024} KiB")
                if not chunk:
                    return output
            elif ended:
                return output
    raise TimeoutError


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise CredentialProviderError("no pipes")
    return pipe


def _wait(process: subprocess.Popen[bytes], deadline: float) -> None:
    while not _has_ended(process):
        if time.monotonic() >= deadline:
            raise TimeoutError
        time.sleep(_TICK)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a helper has ended. It is not reaped, so that its process ID is not reused."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_group(process: subprocess.Popen[bytes]) -> int:
    """Kill a helper's process group, and return the helper's exit status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _answer(status: int, output: bytes) -> Answer | None:
    """Parse a helper's output; an object without username and secret means that it has none."""
    if status:
        how = f"exited with status {status}" if status > 0 else f"was killed by signal {-status}"
        raise CredentialProviderError(how, hint="run it with the argument get to see its messages")
    try:
        answer = json.loads(output.decode())
    except (ValueError, RecursionError):
        raise CredentialProviderError("the output is not JSON in UTF-8") from None
    if not isinstance(answer, dict):
        raise CredentialProviderError("the output is not a JSON object with Username and Secret")
    # docker ignores the case of names: that is how Go decodes JSON.
    members = {name.lower().replace("_", ""): value for name, value in answer.items()}
    username, secret = members.get("username") or "", members.get("secret") or ""
    if not isinstance(username, str) or not isinstance(secret, str):
        raise CredentialProviderError("Username and Secret in the output must be strings")
    if not username and not secret:
        return None
    return Answer(username, secret, _end(members))


def _end(members: Mapping[str, Any]) -> float | None:
    """Return the earliest end that is stated. An empty value, or one before 1970 as Go's zero time is, states none."""
    moments = []
    for name in _EXPIRY & members.keys():
        try:
            moment = _posix(members[name] or 0.0)
        except (TypeError, ValueError, OverflowError):
            moment = inf
        if not moment <= _LAST:
            raise CredentialProviderError("the expiry in the output is neither RFC 3339 nor POSIX seconds")
        moments.append(moment)
    return min((moment for moment in moments if moment > 0), default=None)


def _posix(value: Any) -> float:
    """Parse a point in time; one without a time zone is refused, because it could be hours off."""
    if isinstance(value, bool):
        raise TypeError
    if not isinstance(value, str) or _DIGITS.fullmatch(value):
        return float(value)
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.timestamp()
