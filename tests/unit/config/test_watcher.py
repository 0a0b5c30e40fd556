"""Changes of the configuration are reported once, and the last valid one is kept."""

import copy
import logging
from pathlib import Path

import pytest

from webhook.config.watcher import ConfigWatcher
from webhook.errors import ConfigurationError, FileError


def denying(*names: str) -> str:
    return f"webhook: {{namespaces: {{deny: [{', '.join(names)}]}}}}\n"


def denied(watched: ConfigWatcher) -> tuple[str, ...]:
    return tuple(watched.loaded.configuration.webhook.namespaces.deny)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(denying("one"))
    return path


def test_poll_changed_file_reported_once(path: Path) -> None:
    watched = ConfigWatcher(path, {})
    assert not watched.poll()
    path.write_text(denying("two"))
    assert [watched.poll() for _ in range(3)] == [True, False, False]
    assert denied(watched) == ("two",)


def test_poll_invalid_file_previous_config_and_one_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = ConfigWatcher(path, {})
    path.write_text("webhook: {nonsense: 1}\n")
    assert [watched.poll() for _ in range(3)] == [False, False, False]
    path.unlink()
    assert [watched.poll() for _ in range(3)] == [False, False, False]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "nonsense" in caplog.messages[0]
    assert "no such file" in caplog.messages[1]
    assert watched.error
    assert "no such file" in watched.error
    assert denied(watched) == ("one",)
    # The same as before it broke is in force again, and nothing is wrong any more.
    path.write_text(denying("one"))
    assert watched.poll()
    assert watched.error is None


def test_watcher_invalid_file_at_start_raises(path: Path) -> None:
    path.write_text("webhook: {nonsense: 1}\n")
    with pytest.raises(ConfigurationError):
        ConfigWatcher(path, {})
    path.unlink()
    with pytest.raises(FileError):
        ConfigWatcher(path, {})


@pytest.mark.parametrize("broken", ["webhook: {nonsense: 1}\n", "a: [", None])
def test_poll_forked_process_invalid_file_last_valid(path: Path, broken: str | None) -> None:
    ours = ConfigWatcher(path, {})
    replacing = copy.copy(ours)  # as it is when it is forked
    path.write_text(denying("two"))
    assert ours.poll()
    path.unlink() if broken is None else path.write_text(broken)
    assert [ours.poll(), replacing.poll(), replacing.poll()] == [False, True, False]
    assert denied(ours) == denied(replacing) == ("two",)
    assert replacing.error is not None
    path.write_text(denying("three"))
    assert replacing.poll()
    assert denied(replacing) == ("three",)
    assert replacing.error is None
