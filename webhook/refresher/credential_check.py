"""Check a credential with registries: each is asked about the entry that kubelet would use for its images."""

from collections.abc import Callable

from webhook.pull_secret import keyring
from webhook.pull_secret.credential import Credential
from webhook.registry.auth import Answer, CredentialChecker, Verdict

#: Returns None if there is no registry to ask.
CredentialCheck = Callable[[Credential], Verdict | None]

#: The most registries that are asked in one refresh; each may take 50 seconds.
MAX_REGISTRIES = 5
#: The most verdicts that are remembered.
_REMEMBERED = 100
#: Seconds, and share of `token_ttl`, for which an acceptance is valid, whichever is less: the next refresh asks again.
_ACCEPTED_FOR, _ACCEPTED_FOR_PART = 60.0, 0.7
_SEVERITY = {Answer.ACCEPTED: 0, Answer.UNCLEAR: 1, Answer.DEFERRED: 2, Answer.REFUSED: 3}

#: A registry, a username and a password.
_Login = tuple[str, str, str]


class VerdictCache:
    """Verdicts of registries, while they are valid. `clock` returns monotonic seconds.

    The cache outlives configuration reloads.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[_Login, tuple[Verdict, float]] = {}

    def check(self, registry: CredentialChecker, login: _Login, period: float) -> Verdict:
        """Return the verdict on a login, asking the registry if none is known.

        A refusal is valid for `period` seconds, an acceptance until the next refresh. Others are not remembered.
        """
        verdict, since = self._known.get(login, (None, 0.0))
        refused = verdict is not None and verdict.answer is Answer.REFUSED
        valid = period if refused else min(_ACCEPTED_FOR, period * _ACCEPTED_FOR_PART)
        if verdict is not None and self._clock() - since < valid:
            return verdict
        verdict = registry.check(*login)
        self._known.pop(login, None)
        if verdict.answer in {Answer.ACCEPTED, Answer.REFUSED}:
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[login] = (verdict, self._clock())
        return verdict


def credential_check(
    registry: CredentialChecker, prefixes: tuple[str, ...], cache: VerdictCache, period: float
) -> CredentialCheck:
    """Return a function that checks a credential with the registries of `prefixes`, in this order and a few at most.

    It returns the worst verdict, None if no entry is for any of these registries.
    """

    def check(credential: Credential) -> Verdict | None:
        worst: Verdict | None = None
        asked: set[_Login] = set()
        for prefix in prefixes:
            host = prefix.partition("/")[0]
            for entry in keyring.lookup_own(credential.entries, f"{prefix}/image")[:1]:
                login = (host, entry.username, entry.password)
                if login in asked or len(asked) == MAX_REGISTRIES:
                    continue
                asked.add(login)
                verdict = cache.check(registry, login, period)
                if worst is None or _SEVERITY[verdict.answer] > _SEVERITY[worst.answer]:
                    worst = verdict
        return worst

    return check
