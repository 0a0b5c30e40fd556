"""How fast the server is beside a Go webhook that does no more than rewrite: `make bench`.

Both run in turns, each on one core with the load on the other, over TLS connections that are kept, on the same bodies.
The ratios are what counts: absolute figures move with the machine and its neighbours.
"""

import argparse
import base64
import http.client
import json
import ssl
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import bodies
import jsonpatch
from contenders import Arena, Contender, Exchanges, Figures

from webhook.names import ORIGINALS_ANNOTATION

_CONFIGURATION = f"opencti: {{daemon: {{registry: {{server: {bodies.SERVER}}}}}}}\n"
_SAMPLE = 240


class Case(NamedTuple):
    """A body, and how many send it at once."""

    name: str
    body: Callable[[int], bytes]
    count: int
    """How many different ones are sent in turn."""
    connections: int


CASES = (
    Case("usual, 8 connections", bodies.usual, _SAMPLE, 8),
    Case("usual, 32 connections", bodies.usual, _SAMPLE, 32),
    Case("small", bodies.small, _SAMPLE, 8),
    Case("big, 300 KB", bodies.big, 24, 8),
    Case("nothing to do", bodies.nothing, _SAMPLE, 8),
    Case("UPDATE", bodies.update, _SAMPLE, 8),
    Case("images never seen", bodies.unseen, 3_000, 8),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        print(arena.go)
        with arena.yardstick() as go, arena.product(_CONFIGURATION) as ours:
            for case in CASES:
                if arguments.only in case.name:
                    compare(arena, go, ours, case, arguments)


def compare(arena: Arena, go: Contender, ours: Contender, case: Case, arguments: Any) -> None:
    made = [case.body(number) for number in range(case.count)]
    to_go, to_ours = (exchanges(arena, server, made) for server in (go, ours))
    load = ["-connections", str(case.connections), "-duration", f"{arguments.seconds}s"]
    ratios = []
    for _ in range(arguments.rounds):
        one = arena.load(go, to_go, *load)
        other = arena.load(ours, to_ours, *load)
        ratios.append(other.rate / one.rate)
        for n, f in (("go", one), ("ours", other)):
            print(
                f"  {n:6}{f.rate:8.0f}/s p50 {f.p50 * 1e3:7.2f} p99 {f.p99 * 1e3:7.2f} p999 {f.p999 * 1e3:7.2f} errors {f.errors} {f.example} cpu/req {f.cpu / f.requests * 1e6:.0f} us"
            )
    print(
        f"{case.name:24} ratio {statistics.median(ratios):.2f} of {[f'{r:.2f}' for r in ratios]} memory {go.memory():.0f} {ours.memory():.0f}",
        flush=True,
    )


def exchanges(arena: Arena, server: Contender, made: list[bytes]) -> Exchanges:
    """Write down what is sent and what is answered, once that was seen to be right."""
    trust = ssl.create_default_context(cafile=str(arena.folder / "ca.crt"))
    connection = http.client.HTTPSConnection("localhost", server.port, context=trust)
    answers = []
    for number, body in enumerate(made):
        connection.request("POST", "/mutate?timeout=10s", body, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        if number < _SAMPLE:
            refuse_wrong(server.name, body, answer)
        answers.append(answer.strip())
    connection.close()
    files = Exchanges(arena.folder / f"{server.name}.bodies", arena.folder / f"{server.name}.answers")
    files.bodies.write_bytes(b"\n".join(made) + b"\n")
    files.answers.write_bytes(b"\n".join(answers) + b"\n")
    return files


def refuse_wrong(who: str, body: bytes, answer: bytes) -> None:
    request, response = json.loads(body)["request"], json.loads(answer)["response"]
    patch = json.loads(base64.b64decode(response.get("patch", "W10=")))
    got = comparable(jsonpatch.apply_patch(request["object"], patch))
    wanted = comparable(right(request))
    if not response["allowed"] or response["uid"] != request["uid"] or got != wanted:
        sys.exit(f"{who} gave a wrong answer to {body[:300]!r}: {answer!r}")


def right(request: dict[str, Any]) -> dict[str, Any]:
    """Reckon what becomes of the object, in the plainest way."""
    pod = json.loads(json.dumps(request["object"]))
    old = (request["oldObject"] or {}).get("spec", {}).get("containers", [])
    before = {container["name"]: container["image"] for container in old}
    annotations = pod["metadata"].get("annotations") or {}
    originals = json.loads(annotations.get(ORIGINALS_ANNOTATION, "{}"))
    for container in pod["spec"]["containers"]:
        image = container["image"]
        if before.get(container["name"]) != image and not image.startswith(f"{bodies.SERVER}/"):
            originals[container["name"]] = image
            container["image"] = f"{bodies.SERVER}/{image}"
    if originals:
        pod["metadata"]["annotations"] = {**annotations, ORIGINALS_ANNOTATION: json.dumps(originals)}
    pod["spec"].setdefault("imagePullSecrets", [{"name": bodies.SECRET}])
    return pod


def comparable(pod: dict[str, Any]) -> dict[str, Any]:
    annotations = pod["metadata"].get("annotations") or {}
    originals = json.loads(annotations.get(ORIGINALS_ANNOTATION, "{}"))
    return {**pod, "metadata": {**pod["metadata"], "annotations": {**annotations, ORIGINALS_ANNOTATION: originals}}}


if __name__ == "__main__":
    main()
