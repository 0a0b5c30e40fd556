"""`certs`: server and client certificates, what is printed about them, and what is refused."""

import base64
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from webhook.pki import ca

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_SERVICE = "registry-webhook.registry-webhook.svc"
_OPENSSL = shutil.which("openssl") or ""
_FILES = ["ca.crt", "ca.key", "tls.crt", "tls.key"]


@pytest.fixture(scope="module")
def made(module_run: _Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder that was filled by one call, and what that printed."""
    folder = tmp_path_factory.mktemp("certs")
    names = ["--name", "Webhook.example.com", "--name", "192.0.2.10", "--name", "2001:DB8:0::1"]
    done = module_run("certs", "create", "--out", "new/pki", *names, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


@pytest.fixture
def folder(made: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that folder, for what changes it."""
    shutil.copytree(made[0] / "new" / "pki", tmp_path / "pki")
    return tmp_path / "pki"


def _trusts(folder: Path, name: str) -> bool:
    """Tell whether a client that trusts `ca.crt` accepts a server with the pair under a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    client = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT

    def serve(listening: socket.socket) -> None:
        connection = listening.accept()[0]
        try:
            context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=[listening])
        server.start()
        try:
            with (
                socket.create_connection(listening.getsockname(), 10) as connection,
                client.wrap_socket(connection, server_hostname=name),
            ):
                return True
        except ssl.SSLCertVerificationError:
            return False
        finally:
            server.join()


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _line(done: "subprocess.CompletedProcess[str]") -> str:
    assert (done.returncode, done.stdout) == (2, "")
    line, *hints = done.stderr.splitlines()
    assert [hint.startswith("hint: ") for hint in hints] == [True] * len(hints)
    assert len(hints) <= 1
    return line


@pytest.mark.parametrize(
    "name", [_SERVICE, f"{_SERVICE}.cluster.local", "webhook.example.com", "192.0.2.10", "2001:db8::1"]
)
def test_create_certificate_trusted_for_each_name(made: tuple[Path, str], name: str) -> None:
    assert _trusts(made[0] / "new" / "pki", name)


@pytest.mark.parametrize("name", ["registry-webhook", "example.com", "192.0.2.11"])
def test_create_certificate_other_name_untrusted(made: tuple[Path, str], name: str) -> None:
    assert not _trusts(made[0] / "new" / "pki", name)


def test_create_key_files_owner_only(made: tuple[Path, str]) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (made[0] / "new" / "pki").iterdir()}
    assert sorted(modes) == _FILES
    assert (modes["ca.key"], modes["tls.key"]) == (0o600, 0o600)


def test_create_default_lifetimes(made: tuple[Path, str]) -> None:
    now = datetime.now(UTC)
    for name, days in (("tls.crt", 365), ("ca.crt", 3650)):
        left = _certificate(made[0] / "new" / "pki" / name).not_valid_after_utc - now
        assert timedelta(days=days, minutes=-5) < left <= timedelta(days=days)


def test_create_days_options_set_lifetimes(call: _Run, tmp_path: Path) -> None:
    assert call("certs", "create", "--out=.", "--days", "30", "--ca-days", "30").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == _FILES
    ends = {_certificate(tmp_path / name).not_valid_after_utc for name in ("tls.crt", "ca.crt")}
    assert len(ends) == 1


def test_create_output_without_private_key(made: tuple[Path, str]) -> None:
    assert "PRIVATE" not in made[1]
    assert "webhook.example.com" in made[1].split()
    assert "2001:db8::1" in made[1].split()


_KUBECTL = """#!/bin/sh
if [ "$1" = create ]; then echo a secret; fi
if [ "$1" = apply ]; then cat > "called-$$-with"; fi
for word; do printf '%s\\n' "$word" >> "called-$$"; done
"""


def _pasted(done: "subprocess.CompletedProcess[str]", folder: Path) -> list[list[str]]:
    """Paste what was printed into a shell, and give how that called kubectl.

    A stand-in for kubectl writes that down, for the quoting is the shell's and ours.
    """
    (folder / "bin").mkdir()
    (folder / "bin" / "kubectl").write_text(_KUBECTL)
    (folder / "bin" / "kubectl").chmod(0o755)
    commands = done.stdout[done.stdout.index("\n\n") :]
    environment = {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    shell = subprocess.run(
        ["/bin/sh", "-eu"], input=commands, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (shell.returncode, shell.stderr) == (0, "")
    # Two of them run at the same time, so each has a file of its own.
    return [path.read_text().splitlines() for path in folder.glob("called-*")]


@pytest.mark.parametrize("where", ["pki", "my pki's"])
def test_create_printed_commands_run_in_shell(call: _Run, tmp_path: Path, where: str) -> None:
    calls = _pasted(call("certs", "create", "--out", where), tmp_path)
    (patch,) = [call for call in calls if call[:1] == ["patch"]]
    (operation,) = json.loads(patch[-1])
    assert patch[1:3] == ["mutatingwebhookconfiguration", "registry-webhook"]
    assert (operation["op"], operation["path"]) == ("add", "/webhooks/0/clientConfig/caBundle")
    assert base64.b64decode(operation["value"]) == (tmp_path / where / "ca.crt").read_bytes()
    (create,) = [call for call in calls if call[:1] == ["create"]]
    assert create[1:6] == ["secret", "tls", "registry-webhook-tls", "--namespace", "registry-webhook"]
    assert create[6:10] == ["--cert", f"{where}/tls.crt", "--key", f"{where}/tls.key"]
    assert ["a secret"] in calls


def test_create_existing_ca_reused(call: _Run, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = call("certs", "create", "--out", "pki", "--force", "--days", "10")
    assert (done.returncode, done.stderr) == (0, "")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in _FILES if before[name] != after[name]} == {"tls.crt", "tls.key"}
    assert sorted(after) == _FILES
    assert _trusts(folder, _SERVICE)


@pytest.mark.parametrize("where", ["pki", "my pki's"])
def test_client_printed_commands_run_in_shell(call: _Run, tmp_path: Path, where: str) -> None:
    done = call("certs", "client", "--out", where)
    assert "PRIVATE" not in done.stdout
    calls = _pasted(done, tmp_path)
    (create,) = [call for call in calls if call[:1] == ["create"]]
    assert create[1:5] == ["configmap", "registry-webhook-clients", "--namespace", "registry-webhook"]
    assert create[5] == f"--from-file=ca.crt={where}/ca.crt"
    assert ["a secret"] in calls


def test_client_certificate_usage_and_ca_reused(call: _Run, tmp_path: Path) -> None:
    made: list[x509.Certificate] = []
    for more in ((), ("--force", "--days=10")):
        assert call("certs", "client", "--out=.", *more).returncode == 0
        made.append(_certificate(tmp_path / "client.crt"))
        made[-1].verify_directly_issued_by(_certificate(tmp_path / "ca.crt"))
        usage = made[-1].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made[0] != made[1]
    assert stat.S_IMODE((tmp_path / "client.key").stat().st_mode) == 0o600
    line = _line(call("certs", "client", "--out=."))
    assert line == "error: client.crt already exists"


@pytest.mark.skipif(not _OPENSSL, reason="there is no openssl")
def test_create_openssl_ca_signs(call: _Run, tmp_path: Path) -> None:
    ask = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -days 400 -keyout ca.key -out ca.crt"
    words = [*ask.split(), "-subj", "/CN=ours", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    subprocess.run([_OPENSSL, *words], cwd=tmp_path, check=True, capture_output=True)
    done = call("certs", "create", "--out=.")
    assert done.returncode == 0, done.stderr
    assert _trusts(tmp_path, _SERVICE)
    words = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.crt", "tls.crt"]
    verified = subprocess.run([_OPENSSL, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verified.stdout == "tls.crt: OK\n", verified.stderr


@pytest.mark.parametrize("there", ["tls.crt", "tls.key"])
def test_create_existing_files_kept_without_force(call: _Run, folder: Path, there: str) -> None:
    for name in {"tls.crt", "tls.key"} - {there}:
        (folder / name).unlink()
    before = (folder / there).read_bytes()
    line = _line(call("certs", "create", "--out", "pki"))
    assert line.startswith(f"error: pki/{there} ")

    assert (folder / there).read_bytes() == before


@pytest.mark.parametrize(("there", "missing"), [("ca.crt", "ca.key"), ("ca.key", "ca.crt")])
def test_create_half_ca_refused(call: _Run, folder: Path, there: str, missing: str) -> None:
    (folder / missing).unlink()
    line = _line(call("certs", "create", "--out", "pki", "--force"))
    assert line.startswith(f"error: pki/{there} ")
    assert missing in line


def _other_key(folder: Path) -> None:
    other = ca.create_ca("other", datetime.now(UTC), timedelta(days=1000))
    (folder / "ca.key").write_bytes(other.key)


def _encrypted(folder: Path) -> None:
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    form = serialization.PrivateFormat.PKCS8
    encryption = serialization.BestAvailableEncryption(b"kept-secret")
    (folder / "ca.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))


def _no_authority(folder: Path) -> None:
    for name in ("crt", "key"):
        shutil.copy(folder / f"tls.{name}", folder / f"ca.{name}")


def _no_pem(folder: Path) -> None:
    (folder / "ca.crt").write_text("hello")


def _no_key(folder: Path) -> None:
    (folder / "ca.key").write_text("kept-secret")


def _another_algorithm(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([])
    day = timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime.now(UTC), datetime.now(UTC) + 999 * day)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "ca.crt").write_bytes(builder.sign(key, None).public_bytes(pem))
    (folder / "ca.key").write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))


def _ended(folder: Path) -> None:
    old = ca.create_ca("old", datetime.now(UTC) - timedelta(days=30), timedelta(days=29))
    (folder / "ca.crt").write_bytes(old.certificate)
    (folder / "ca.key").write_bytes(old.key)


def _ends_soon(folder: Path) -> None:
    old = ca.create_ca("old", datetime.now(UTC), timedelta(days=29, hours=12))
    (folder / "ca.crt").write_bytes(old.certificate)
    (folder / "ca.key").write_bytes(old.key)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_other_key, "does not belong"),
        (_encrypted, "encrypted"),
        (_no_authority, "not that of a CA"),
        (_no_pem, "certificate of the CA is not valid PEM"),
        (_no_key, "key of the CA is not valid PEM"),
        (_another_algorithm, "not an elliptic curve key"),
        (_ended, "the CA expired on"),
        (_ends_soon, "the CA expires on"),
    ],
)
def test_create_unusable_ca_refused(call: _Run, folder: Path, change: Callable[[Path], None], problem: str) -> None:
    change(folder)
    before = (folder / "tls.crt").read_bytes()
    line = _line(call("certs", "create", "--out", "pki", "--force"))
    assert line.endswith("(pki/ca.crt)")
    assert problem in line
    assert (folder / "tls.crt").read_bytes() == before


def test_create_days_beyond_new_ca_refused(call: _Run, tmp_path: Path) -> None:
    line = _line(call("certs", "create", "--out=.", "--days", "31", "--ca-days", "30"))
    assert all(value in line for value in ("--days 31", "--ca-days 30"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            "a b",
            "a\nb",
            "-a",
            "a-.b",
            "a..b",
            "a.",
            "*.a",
            "a_b",
            "b\u00fccher.de",
            "a" * 64,
            "a." * 127 + "a",
        ),
        *("a:443", "[::1]", "http://a", "1.2.3", "256.0.0.1", "fe80::1%eth0"),
    ],
)
def test_create_invalid_name_refused(call: _Run, tmp_path: Path, name: str) -> None:
    assert _line(call("certs", "create", "--out=.", "--name", name)).startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "refused"), [(["a.b", "A.b"], "a.b"), (["::1", "0:0::1"], "::1"), ([_SERVICE], _SERVICE)]
)
def test_create_duplicate_name_refused(call: _Run, names: list[str], refused: str) -> None:
    line = _line(call("certs", "create", "--out=.", *(f"--name={name}" for name in names)))
    assert line.startswith(f"error: {refused}: ")


def test_create_folder_invalid_one_line(call: _Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _line(call("certs", "create", "--out", "file")) == "error: cannot write: not a directory (file)"
    assert _line(call("certs", "create", "--out", "file/below")) == "error: cannot write: not a directory (file/below)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_create_folder_unwritable_one_line(call: _Run, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(0o500)
    assert "permission denied" in _line(call("certs", "create", "--out", "closed"))


def test_create_write_failing_nothing_changed(call: _Run, folder: Path) -> None:
    (folder / "tls.key").unlink()
    (folder / "tls.key").mkdir()
    before = {path.name: path.is_file() and path.read_bytes() for path in folder.iterdir()}
    line = _line(call("certs", "create", "--out", "pki", "--force"))
    assert line == "error: cannot write: is a directory (pki/tls.key)"
    assert {path.name: path.is_file() and path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["create", "client"])
def test_certs_without_folder_refused_with_command(call: _Run, tmp_path: Path, name: str) -> None:
    done = call("certs", name)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert "--out" in error
    assert hint == f"hint: registry-webhook certs {name} --out pki"
    assert not list(tmp_path.iterdir())
