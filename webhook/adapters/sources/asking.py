"""A docker credential helper, asked for each registry that a credential is wanted for."""

import time
from collections.abc import Callable, Mapping

from msgspec import Struct

from webhook.adapters import helper
from webhook.adapters.sources.reading import Reading
from webhook.adapters.sources.wanted import Wanted
from webhook.config.model import CredentialSettings
from webhook.errors import InvalidCredential, SourceError
from webhook.images.reference import DOCKER_HUB
from webhook.pullsecret import jwt
from webhook.pullsecret.credential import DOCKER_HUB_KEY, Credential, Entry

#: Registries that are asked for, and seconds that all but the server may take together.
_MOST = 50
_PATIENCE = 300.0


class _Share(Struct, frozen=True):
    """What a helper told for one registry."""

    entries: tuple[Entry, ...]
    expires: float
    told: bool
    until: float
    """Monotonic time at which it ends: however the wall clock is set meanwhile."""


class Helper:
    """The program `docker-credential-NAME`."""

    def __init__(
        self,
        wanted: Wanted,
        settings: CredentialSettings,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        environment: Mapping[str, str],
    ) -> None:
        """Take what is wanted, the helper's name and limits, both clocks, and what the helper is found and run with.

        `clock` gives POSIX time.
        """
        self._wanted = wanted
        self._name = settings.helper or ""
        self._life = settings.helper_life
        self._timeout = float(settings.helper_timeout)
        self._clock = clock
        self._monotonic = monotonic
        self._environment = environment
        self._before: dict[str, _Share] = {}
        """What each registry got last."""

    def read(self) -> Reading:
        """Ask for the server, which must be told, and for the others, of which one must be if there is no server.

        When the helper fails for one of the others, what it told before is kept to its end.
        """
        shares, notes = [], []
        hosts = self._wanted.hosts()
        if self._wanted.server:
            shares.append(self._ask(hosts.pop(0), self._timeout))
        deadline = time.monotonic() + _PATIENCE
        for host in hosts[:_MOST]:
            try:
                shares.append(self._ask(host, min(self._timeout, deadline - time.monotonic())))
            except (SourceError, InvalidCredential) as error:
                before = self._still_good(host)
                notes.append(f"{error}; what it told before is kept" if before else str(error))
                shares += [before] if before else []
        if len(hosts) > _MOST:
            notes.append(f"the helper is asked for {_MOST} registries besides the server, and not for {hosts[_MOST]}")
        if not shares:
            raise SourceError(notes[0])
        first = min(shares, key=lambda share: share.expires)
        entries = tuple(entry for share in shares for entry in share.entries)
        return Reading(Credential(entries, first.expires, first.told), (*notes, *self._wanted.uncovered(entries)))

    def _still_good(self, host: str) -> _Share | None:
        before = self._before.get(host)
        return before if before and before.until > self._monotonic() else None

    def _ask(self, host: str, timeout: float) -> _Share:
        program = f"docker-credential-{self._name}, asked for {host}"
        if timeout <= 0:
            raise SourceError(f"{program}: it was not, for the others took over {_PATIENCE:g} s")
        try:
            answer = helper.ask(self._name, _server_url(host), self._environment, timeout)
        except SourceError as error:
            raise SourceError(f"{error} (asked for {host})") from None
        if answer is None:
            self._before.pop(host, None)
            raise SourceError(f"{program}: it has no credential: log in with it, or take the registry out")
        told = answer.expires or jwt.end(answer.secret)
        now = self._clock()
        if told is not None and told <= now and not self._is_newer(host, told):
            raise SourceError(f"{program}: its credential expired {now - told:.0f} s ago")
        try:
            entries = self._wanted.entries(host, answer.username, answer.secret)
        except InvalidCredential as error:
            raise InvalidCredential(f"{program}: {error}") from None
        expires = now + self._life if told is None else told
        share = _Share(entries, expires, told is not None, self._monotonic() + expires - now)
        self._before[host] = share
        return share

    def _is_newer(self, host: str, end: float) -> bool:
        """Tell whether an end is later than the one told before: then a clock is wrong, ours or the helper's."""
        before = self._before.get(host)
        return before is not None and before.told and end > before.expires

    def fingerprint(self) -> bytes | None:
        """Give None: a helper has no file that could be watched."""
        return None


def _server_url(host: str) -> str:
    """Give what docker asks a helper for: a host with its port, and Docker Hub by its key.

    It is the key of docker's own entry: https://docs.docker.com/reference/cli/docker/login/#credential-helpers. The
    helpers of cloud registries (ECR, GCR, ACR) know their hosts in this form.
    """
    return DOCKER_HUB_KEY if host == DOCKER_HUB else host
