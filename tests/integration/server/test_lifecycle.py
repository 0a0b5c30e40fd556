"""Start, readiness, reloading and stop of the server."""

import http.client
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.server_process import CONFIGURATION, JSON, Place, Server, make_place, replace, serving, wait_until
from webhook.admission import review
from webhook.admission.mutator import Mutator
from webhook.images.resolver import Resolution, Resolver
from webhook.server import flask_app
from webhook.server.counters import ReviewCounters
from webhook.settings import Configuration

POD: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}}
BODY = review.encode_review(POD, uid="u-1")


def image(server: Server) -> str:
    """Return what nginx is rewritten to, from the warnings of a dry run."""
    warning: str = server.review(BODY).response["warnings"][0]
    return warning.split(" ")[4]


def serial(server: Server) -> str:
    """Return the serial number of the served certificate."""
    with server.tls() as connection:
        certificate: dict[str, Any] = connection.getpeercert() or {}
        return str(certificate["serialNumber"])


def test_ready_when_key_pair_exists(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    with serving(place) as server:
        assert server.probe("/healthz").status == 200
        answer = server.probe("/readyz")
        assert answer.status == 503
        assert b"no such file or directory (" in answer.body
        assert b"tls.crt)" in answer.body
        with pytest.raises((OSError, http.client.HTTPException)):
            server.review(BODY)
        place.write_pair()
        wait_until(lambda: server.probe("/readyz").status == 200)
        assert server.review(BODY).status == 200


def test_probes_answered_only_on_plain_port(server: Server) -> None:
    assert server.probe("/healthz").status == 200
    assert server.probe("/mutate").status == 404
    assert server.ask("GET", "/healthz").status == 404
    assert server.ask("GET", "/readyz").status == 404


def test_new_key_pair_served_on_new_connections(server: Server) -> None:
    before = serial(server)
    with server.client() as client:
        assert client.review(BODY).status == 200
        server.place.write_pair()
        wait_until(lambda: serial(server) != before)
        assert client.review(BODY).status == 200


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("broken", ["empty", "half", "other", "directory", "gone"])
def test_invalid_key_pair_keeps_last_valid_one(server: Server, name: str, broken: str) -> None:
    before = serial(server)
    path = server.place.folder / name
    content = path.read_bytes()
    if broken in {"directory", "gone"}:
        path.unlink()
    if broken == "directory":
        path.mkdir()
    elif broken != "gone":
        wrong = server.place.ours.key if name == "tls.key" else server.place.ours.certificate
        replace(path, {"empty": b"", "half": content[: len(content) // 2], "other": wrong}[broken])
    wait_until(lambda: b"certificate reload failed, using the previous certificate: " in server.probe("/readyz").body)
    assert server.probe("/readyz").status == 200
    assert serial(server) == before
    assert "certificate reload failed, keeping previous certificate" in server.log
    if broken == "directory":
        path.rmdir()
    server.place.write_pair()
    wait_until(lambda: server.probe("/readyz").body == b"ready\n")
    assert serial(server) != before


def test_encrypted_key_refused_without_passphrase_prompt(server: Server) -> None:
    path = server.place.folder / "tls.key"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"x"),
    )
    replace(path, encrypted)
    wait_until(lambda: b"without a passphrase" in server.probe("/readyz").body)
    assert server.review(BODY).status == 200
    server.place.write_pair()
    wait_until(lambda: server.probe("/readyz").body == b"ready\n")


def test_configuration_reloaded_unless_invalid(server: Server) -> None:
    assert image(server) == "registry.example.com/nginx"
    said = server.log.count("configuration reload failed")
    with server.client() as client:
        server.place.configure(CONFIGURATION.replace("registry.example.com", "other.example.com"))
        wait_until(lambda: image(server) == "other.example.com/nginx")
        assert (
            client.review(BODY)
            .response["warnings"][0]
            .endswith("(no registry specified, prefixed with other.example.com)")
        )
    assert "changed=opencti.daemon.registry.server" in server.log
    server.place.configure("opencti: {daemon: {registry: {server: harbor, pasword: hunter2}}}")
    wait_until(lambda: b"configuration reload failed, using the previous " in server.probe("/readyz").body)
    assert (server.probe("/readyz").status, image(server)) == (200, "other.example.com/nginx")
    assert server.log.count("configuration reload failed") == said + 2
    assert "hunter2" not in server.log
    server.place.configure(CONFIGURATION)
    wait_until(lambda: server.probe("/readyz").body == b"ready\n")
    assert image(server) == "registry.example.com/nginx"


def test_configuration_replaced_by_symlink_reloaded(place: Place) -> None:
    # A ConfigMap's folder: the file is a link into ..data, which is a link to the folder of now.
    folder = place.folder
    for version, host in (("1", "one"), ("2", "two")):
        (folder / version).mkdir()
        (folder / version / "config.yaml").write_text(CONFIGURATION.replace("registry.", f"{host}."))
    (folder / "..data").symlink_to("1")
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").symlink_to("..data/config.yaml")
    with serving(place) as server:
        assert image(server) == "one.example.com/nginx"
        (folder / "..data_tmp").symlink_to("2")
        (folder / "..data_tmp").replace(folder / "..data")
        wait_until(lambda: image(server) == "two.example.com/nginx")


def test_environment_overrides_file(place: Place) -> None:
    with serving(place, OPENCTI__DAEMON__REGISTRY__SERVER="environment.example.com") as server:
        assert image(server) == "environment.example.com/nginx"


def test_sigterm_requests_in_flight_drained(place: Place) -> None:
    head = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        BODY
    )
    with serving(place, drain=1.0) as server, server.tls() as in_flight, server.client() as pooled:
        assert pooled.review(BODY).status == 200
        in_flight.sendall(head + BODY[:10])
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.probe("/readyz").status == 503)
        # A pooled connection is answered, and told to close; a new one is still accepted, and told the same.
        for answer in (pooled.review(BODY), server.review(BODY)):
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
        in_flight.sendall(BODY[10:])
        received = b""
        while chunk := in_flight.recv(65536):
            received += chunk
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b'"u-1"' in received
        assert server.process.wait(20) == 0
    assert "aborted_connections=0" in server.log


def test_sigterm_closes_idle_connections(place: Place) -> None:
    with serving(place, drain=0.1) as server, server.tls() as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1000)
        assert server.stop() == 0
        assert idle.recv(1000) == b""
    assert "aborted_connections=0" in server.log


def test_sigint_stops_without_drain(place: Place) -> None:
    with serving(place, drain=300) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0


def test_dead_worker_replaced_and_orphan_stops(place: Place) -> None:
    with serving(place) as server:
        (first,) = server.workers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.workers() not in ([], [first]) and server.review(BODY).status == 200)
        (second,) = server.workers()
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not Path(f"/proc/{second}").exists())


def test_internal_error_is_a_valid_answer_and_one_log_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Resolver, image: str) -> Resolution:
        raise ValueError(f"the body has {image}")

    monkeypatch.setattr(Resolver, "resolve", fail)
    handler = Mutator(Configuration())
    client = flask_app.admission(lambda: handler, ReviewCounters()).test_client()
    answer = client.post("/mutate", data=BODY, content_type=JSON["Content-Type"])
    response = answer.get_json()["response"]
    assert (answer.status_code, response["uid"], response["allowed"]) == (200, "u-1", True)
    assert "ValueError" in response["warnings"][0]
    (record,) = caplog.records
    assert "uid=u-1" in record.getMessage()
    assert "nginx" not in record.getMessage()


def test_replacement_worker_uses_current_configuration(place: Place) -> None:
    # Enough rules that reading them takes longer than a request.
    rules = "".join(f"    - {{from: quay.io/{number}, to: mirror.example.com/{number}}}\n" for number in range(2000))
    place.configure(CONFIGURATION + f"webhook:\n  rules:\n{rules}")
    with serving(place) as server:
        assert image(server) == "registry.example.com/nginx"
        place.configure((place.folder / "config.yaml").read_text().replace("registry.example.com", "new.example.com"))
        wait_until(lambda: image(server) == "new.example.com/nginx")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        answered: list[str] = []

        def is_answered() -> bool:
            answered.append(image(server))
            return len(answered) >= 20

        wait_until(is_answered)
        assert set(answered) == {"new.example.com/nginx"}


def test_serve_core_dumps_disabled(server: Server) -> None:
    for process in (server.process.pid, *server.workers()):
        assert resource.prlimit(process, resource.RLIMIT_CORE) == (0, 0)


def test_worker_shares_most_memory_with_supervisor(server: Server) -> None:
    (worker,) = server.workers()
    _, *lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    assert kib["Private_Dirty"] < kib["Anonymous"] / 2, kib
