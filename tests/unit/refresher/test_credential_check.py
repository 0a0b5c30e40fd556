"""Registries check the entry that the kubelet would use, no more often than needed."""

from typing import cast

import pytest

from tests.support.fakes import Clock
from webhook.pull_secret.credential import Credential, create_entry
from webhook.refresher.credential_check import CredentialCheck, VerdictCache, credential_check
from webhook.registry.auth import Answer, CredentialChecker, Verdict


def credential(number: int = 1) -> Credential:
    return Credential((create_entry("registry.example.com", "robot", f"kept-secret-{number}"),))


class Asked:
    """A registry's client that answers by the host, and remembers."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers = answers
        self.questions: list[tuple[str, str, str]] = []

    def check(self, host: str, username: str, password: str) -> Verdict:
        self.questions.append((host, username, password))
        return Verdict(self.answers[host], f"{host} says so")


def asked(registry: Asked, prefixes: tuple[str, ...], clock: Clock | None = None) -> CredentialCheck:
    return credential_check(cast("CredentialChecker", registry), prefixes, VerdictCache(clock or Clock()), 1800.0)


@pytest.mark.parametrize(("answer", "holds"), [(Answer.ACCEPTED, 60), (Answer.REFUSED, 1800), (Answer.UNCLEAR, 0)])
def test_check_cached_verdict_not_repeated(answer: Answer, holds: int) -> None:
    clock, registry = Clock(), Asked({"registry.example.com": answer})
    ask = asked(registry, ("registry.example.com",), clock)
    start = clock.now
    for second in (0, 1, max(1, holds - 1)):
        clock.now = start + second
        verdict = ask(credential())
        assert verdict is not None
        assert verdict.answer is answer
    assert len(registry.questions) == (1 if holds else 3)
    ask(credential(2))
    before = len(registry.questions)
    clock.now = start + holds
    ask(credential())
    assert len(registry.questions) == before + 1


_A, _R, _U = Answer.ACCEPTED, Answer.REFUSED, Answer.UNCLEAR


@pytest.mark.parametrize(
    ("one", "other", "worst"),
    [(_A, _A, _A), (_A, _U, _U), (_U, _A, _U), (_U, _R, _R), (_R, _U, _R), (_R, _A, _R), (_A, _R, _R)],
)
def test_check_worst_answer_wins(one: Answer, other: Answer, worst: Answer) -> None:
    registry = Asked({"a.example.com": one, "b.example.com": other})
    entries = tuple(create_entry(host, "robot", "kept-secret") for host in registry.answers)
    verdict = asked(registry, tuple(registry.answers))(Credential(entries))
    assert verdict is not None
    assert verdict.answer is worst
    assert verdict.detail.split()[0] == next(host for host, answer in registry.answers.items() if answer is worst)


def test_check_each_registry_once_per_login() -> None:
    registry = Asked({"a.example.com": _A, "b.example.com:5000": _A})
    entries = (
        create_entry("a.example.com/team/", "team", "kept-secret-team"),
        create_entry("a.example.com", "robot", "kept-secret"),
        create_entry("b.example.com:5000", "other", "kept-secret-b"),
        create_entry("unasked.example.com", "robot", "kept-secret"),
    )
    prefixes = ("a.example.com", "a.example.com/other", "a.example.com/team", "b.example.com:5000", "none.example.com")
    asked(registry, prefixes)(Credential(entries))
    assert registry.questions == [
        ("a.example.com", "robot", "kept-secret"),
        ("a.example.com", "team", "kept-secret-team"),
        ("b.example.com:5000", "other", "kept-secret-b"),
    ]


def test_check_without_matching_entry_none() -> None:
    registry = Asked({})
    assert asked(registry, ("a.example.com",))(credential()) is None
    assert asked(registry, ())(credential()) is None
