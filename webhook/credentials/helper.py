"""A docker credential helper for each registry that needs a credential."""

from collections.abc import Callable, Mapping
from math import inf

from msgspec import Struct, structs

from webhook.credentials import helper_process, token_expiry
from webhook.credentials.provider import CredentialResult
from webhook.credentials.targets import Targets
from webhook.errors import CredentialProviderError, InvalidCredential
from webhook.images.reference import DOCKER_HUB
from webhook.pull_secret.credential import DOCKER_HUB_KEY, Credential, Entry
from webhook.settings import CredentialSettings

#: Registries in addition to the server, and seconds for all of them together.
_MAX_REGISTRIES = 50
_TOTAL_TIMEOUT = 300.0
#: Seconds until a helper that does not state when a credential ends is asked again: the tokens of cloud registries may
#: end in minutes, and their helpers do not report that.
_DEFAULT_LIFETIME = 120.0


class _HelperResult(Struct, frozen=True):
    """A helper's result for one registry."""

    entries: tuple[Entry, ...]
    expires: float | None
    """POSIX time at which it ends, stated or assumed; None if neither is known."""
    expiry_stated: bool


class HelperProvider:
    """The program `docker-credential-NAME`, found and run with `environment`. `clock` returns POSIX time."""

    def __init__(
        self,
        targets: Targets,
        settings: CredentialSettings,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        environment: Mapping[str, str],
    ) -> None:
        self._targets = targets
        self._name = settings.helper or ""
        self._life = settings.helper_life
        self._timeout = float(settings.helper_timeout)
        self._clock = clock
        self._monotonic = monotonic
        self._environment = environment
        self._stated_expiries: dict[str, float] = {}
        """When the credential of each registry ends, as last stated."""

    def read(self) -> CredentialResult:
        """Ask the helper for each registry; one without a credential does not prevent the rest."""
        shares, notes = [], []
        failure: CredentialProviderError | InvalidCredential | None = None
        hosts = self._targets.hosts()
        if self._targets.server:
            try:
                shares.append(self._ask(hosts.pop(0), self._timeout))
            except (CredentialProviderError, InvalidCredential) as error:
                failure = error
        deadline = self._monotonic() + _TOTAL_TIMEOUT
        for host in hosts[:_MAX_REGISTRIES]:
            try:
                shares.append(self._ask(host, min(self._timeout, deadline - self._monotonic())))
            except (CredentialProviderError, InvalidCredential) as error:
                notes.append(error.one_line)
        if len(hosts) > _MAX_REGISTRIES:
            others = f"{_MAX_REGISTRIES} registries in addition to the server"
            notes.append(f"the helper is run for {others}, so not for {hosts[_MAX_REGISTRIES]}")
        if not shares:
            raise failure or CredentialProviderError(notes[0])
        entries = tuple(entry for share in shares for entry in share.entries)
        ends = [(share.expires, share.expiry_stated) for share in shares if share.expires is not None]
        credential = Credential(entries, *min(ends, default=(None, False)))
        within = None if all(share.expires is not None for share in shares) else _DEFAULT_LIFETIME
        return CredentialResult(
            credential, (*notes, *self._targets.uncovered(entries)), refresh_after=within, failure=failure
        )

    def _ask(self, host: str, timeout: float) -> _HelperResult:
        program = f"docker-credential-{self._name} for {host}"
        if timeout <= 0:
            raise CredentialProviderError(f"{program}: not run, because all helpers together took {_TOTAL_TIMEOUT:g} s")
        try:
            answer = helper_process.ask(self._name, _server_url(host), self._environment, timeout)
        except CredentialProviderError as error:
            error.where = f"for {host}"
            raise
        if answer is None:
            hint = "log in, or remove the registry from the configuration"
            raise CredentialProviderError(f"{program}: no credential", hint=hint)
        expires_at = answer.expires or token_expiry.expiry(answer.secret)
        now = self._clock()
        if expires_at is not None and expires_at <= now and not self._is_newer(host, expires_at):
            raise CredentialProviderError(f"{program}: the credential expired {now - expires_at:.0f} s ago")
        try:
            entries = self._targets.entries(host, answer.username, answer.secret)
        except InvalidCredential as error:
            error.message = f"{program}: {error.message}"
            raise
        if expires_at is not None:
            self._stated_expiries[host] = expires_at
            return _HelperResult(
                tuple(structs.replace(entry, expires=expires_at) for entry in entries), expires_at, expiry_stated=True
            )
        return _HelperResult(entries, None if self._life is None else now + self._life, expiry_stated=False)

    def _is_newer(self, host: str, end: float) -> bool:
        """Whether an end is later than the one stated before: then a clock is wrong, ours or the helper's."""
        return end > self._stated_expiries.get(host, inf)

    def fingerprint(self) -> bytes | None:
        """Return None: a helper has no file to watch."""
        return None


def _server_url(host: str) -> str:
    """Return what docker asks a helper for: a host with its port, or the key of Docker Hub.

    https://docs.docker.com/reference/cli/docker/login/#credential-helpers. The helpers of cloud registries (ECR, GCR,
    ACR) know their hosts in this form.
    """
    return DOCKER_HUB_KEY if host == DOCKER_HUB else host
