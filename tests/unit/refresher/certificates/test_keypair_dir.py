"""The folder with the server's key pair is always complete and private, and old pairs are removed."""

import shutil
import socket
import threading
from pathlib import Path

import pytest

from webhook.config.listen_address import Address
from webhook.errors import FileError
from webhook.pki.ca import KeyPair
from webhook.refresher.certificates.keypair_dir import KeyPairDir

_FIRST, _SECOND = KeyPair(b"certificate 1", b"key 1"), KeyPair(b"certificate 2", b"key 2")


@pytest.fixture
def served(tmp_path: Path) -> KeyPairDir:
    return KeyPairDir(tmp_path, Address("127.0.0.1", 1))


def test_read_missing_or_incomplete_none(served: KeyPairDir, tmp_path: Path) -> None:
    assert served.read() is None
    (tmp_path / "tls.crt").write_bytes(b"certificate")
    assert served.read() is None


def test_write_then_read_same_keypair(served: KeyPairDir, tmp_path: Path) -> None:
    for pair in (_FIRST, _SECOND):
        served.write(pair)
        assert served.read() == pair
        assert ((tmp_path / "tls.crt").read_bytes(), (tmp_path / "tls.key").read_bytes()) == pair


def test_write_private_files_and_previous_removed(served: KeyPairDir, tmp_path: Path) -> None:
    for pair in (_FIRST, _SECOND):
        served.write(pair)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.read_bytes() for path in files} == set(_SECOND)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert {path.parent.stat().st_mode & 0o777 for path in files} == {0o700}
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def test_write_swaps_single_link(served: KeyPairDir, tmp_path: Path) -> None:
    served.write(_FIRST)
    links = {name: (tmp_path / name).readlink() for name in ("tls.crt", "tls.key")}
    inodes = {name: (tmp_path / name).lstat().st_ino for name in links}
    served.write(_SECOND)
    assert {name: (tmp_path / name).readlink() for name in links} == links
    assert {name: (tmp_path / name).lstat().st_ino for name in links} == inodes
    assert {str(target.parent) for target in links.values()} == {"..data"}


def test_write_concurrent_reader_sees_whole_keypair(served: KeyPairDir, tmp_path: Path) -> None:
    pairs = [KeyPair(b"%d" % number * 1000, b"%d" % number * 1000) for number in range(10)]
    served.write(pairs[0])
    missed: list[object] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            if not (tmp_path / "tls.crt").is_symlink() or not (tmp_path / "..data").is_symlink():
                missed.append("a link is gone")
            folder = tmp_path / (tmp_path / "..data").readlink()
            try:
                found = {(folder / name).read_bytes() for name in ("tls.crt", "tls.key")}
            except OSError as error:
                # It may be over by now, but not be served yet.
                if (tmp_path / "..data").readlink() == Path(folder.name):
                    missed.append(error)
            else:
                if len(found) != 1:
                    missed.append(found)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(100):
        served.write(pairs[number % 10])
    over.set()
    looking.join()
    assert missed == []


def test_write_after_interrupted_write_cleans_up(served: KeyPairDir, tmp_path: Path) -> None:
    (tmp_path / "..data.new").symlink_to("nowhere")
    (tmp_path / "..pair-left").mkdir()
    (tmp_path / "tls.crt").write_bytes(b"a file, and no link")
    served.write(_FIRST)
    assert served.read() == _FIRST
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..pair-")) == [
        *("..data", "tls.crt", "tls.key")
    ]
    assert not (tmp_path / "..pair-left").exists()


def test_write_failure_raises_and_previous_unchanged(served: KeyPairDir, tmp_path: Path) -> None:
    served.write(_FIRST)
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "..data.new").mkdir()
    for _ in range(3):
        with pytest.raises(FileError, match=r"cannot write: is a directory \(.*\.\.data\.new\)"):
            served.write(_SECOND)
    (tmp_path / "..data.new").rmdir()
    assert sorted(tmp_path.rglob("*")) == before
    assert served.read() == _FIRST
    shutil.rmtree(tmp_path)
    with pytest.raises(FileError, match="cannot write: no such file or directory"):
        served.write(_FIRST)
    tmp_path.mkdir()


def test_fingerprint_without_tls_server_none() -> None:
    assert KeyPairDir(Path(), Address("127.0.0.1", 1)).fingerprint() is None
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(65536)

        answering = threading.Thread(target=answer)
        answering.start()
        assert KeyPairDir(Path(), Address("", listening.getsockname()[1])).fingerprint() is None
        answering.join()
