"""`refresh --once` reports success by its exit status, and `--dry-run` writes nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.support.fake_api_server import QUOTA, ApiServer, status
from tests.support.refresher_process import PASSWORD, Place, make_place, run
from webhook.pki.ca import KeyPair

from .test_pull_secrets import published, writing

_FORBIDDEN = status(403, "Forbidden", "no right")


class Case(NamedTuple):
    """What is wrong, and what is to come of it."""

    wrong: Callable[[Place, ExitStack], object]
    code: int
    values: tuple[str, ...]
    """What the output holds."""


def _no_password(place: Place, _: ExitStack) -> None:
    (place.folder / "password").unlink()


def _foreign_and_forbidden(place: Place, stack: ExitStack) -> None:
    place.api.label("foreign")
    place.api.put("foreign", ours=False)
    stack.enter_context(place.api.failing(writing("team"), QUOTA))


_CASES = {
    "no credential is configured": Case(
        lambda place, _: place.configure(registry={"username": None}, credential={}), 0, ("nothing to publish: ",)
    ),
    "the registry is out of reach": Case(
        lambda place, _: place.configure(registry={"server": "127.0.0.1:1"}, verify="warn"),
        0,
        ("credential could not be checked: 127.0.0.1:1 ", "1 of 1"),
    ),
    "the registry is out of reach, strict": Case(
        lambda place, _: place.configure(registry={"server": "127.0.0.1:1"}, verify="strict"),
        1,
        ("credential could not be checked: 127.0.0.1:1 ",),
    ),
    "the source is missing": Case(
        _no_password, 1, ("credential provider failed: webhook.credential.file: no such file or directory (password)",)
    ),
    "a foreign Secret, and no right in one namespace": Case(
        _foreign_and_forbidden,
        1,
        ("foreign: ", "\nteam: ", "team/the-pull-secret: secrets"),
    ),
    "no right to Secrets": Case(
        lambda place, stack: stack.enter_context(
            place.api.failing(lambda asked: asked.path.endswith("/secrets"), _FORBIDDEN)
        ),
        1,
        ("pull secrets could not be listed: ", "the-pull-secret: no right (403)"),
    ),
    "another replica writes": Case(
        lambda place, _: setattr(place.api, "somebody_renews", True), 1, ("nothing written: Lease held by ",)
    ),
}


def test_once_exit_status_reports_outcome(tmp_path: Path, pair: tuple[KeyPair, bytes]) -> None:
    """All at once, for one of them waits for the Lease as long as another replica may need to lose it."""

    def outcome(name: str) -> tuple[int, bool, str]:
        case = _CASES[name]
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        place = make_place(folder, *pair)
        place.api.label("team")
        try:
            with ExitStack() as stack:
                case.wrong(place, stack)
                done = run(place, "--once")
                assert place.api.holder in {None, "somebody"}  # what was taken was given up
                return done.returncode, all(value in done.stdout for value in case.values), done.stdout + done.stderr
        finally:
            place.api.stop()

    with ThreadPoolExecutor(len(_CASES)) as all_at_once:
        outcomes = dict(zip(_CASES, all_at_once.map(outcome, _CASES), strict=True))
    wrong = {name: found for name, found in outcomes.items() if found[:2] != (_CASES[name].code, True)}
    assert wrong == {}


def test_once_repeated_writes_nothing_again(place: Place) -> None:
    api = place.api
    api.label("team")
    api.label("other", None)
    for _ in range(2):
        done = run(place, "--once")
        assert done.returncode == 0
        first, second = done.stdout.splitlines()
        assert first.startswith("credential published")
        assert "1 of 1" in second
        assert api.holder is None
        assert published(api, "team")()
        assert [asked.namespace for asked in api.writes()] == ["team"]


def asked_only_to_be_told(api: ApiServer) -> bool:
    return {asked.method for asked in api.asked} == {"GET"}


def test_dry_run_prints_masked_changes_writes_nothing(place: Place) -> None:
    api = place.api
    for name in ("made", "edited", "foreign"):
        api.label(name)
    api.put("edited", ours=True)
    api.put("foreign", ours=False)
    api.put("kube-system", ours=True)
    api.label("kube-system")
    api.label("left", None)
    done = run(place, "--dry-run")
    assert done.returncode == 0
    assert done.stderr == ""
    assert asked_only_to_be_told(api)
    assert api.lease is None
    lines = done.stdout.splitlines()
    assert lines[0] == "# credential can be published"
    assert "  .dockerconfigjson: '********'" in lines
    assert "  namespace: NAMESPACE" in lines
    assert [line.partition(":")[0] for line in lines if line.startswith("# ")][1:] == [
        "# update in edited",
        "# nothing in foreign",
        "# delete in kube-system",
        "# create in made",
    ]


def test_dry_run_provider_failing_exit_1(place: Place) -> None:
    (place.folder / "password").unlink()
    place.api.label("team")
    done = run(place, "--dry-run")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith(
        "# credential provider failed: webhook.credential.file: no such file or directory (password)"
    )
    assert done.stderr == ""
    assert asked_only_to_be_told(place.api)


def test_configuration_invalid_all_errors_no_requests(place: Place) -> None:
    place.write("config.yaml", f"opencti: {{daemon: {{registry: {{password: [{PASSWORD}], token_ttl: 5}}}}}}\n")
    done = run(place)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2
    assert place.api.asked == []
