"""Maximum cost of a review by kind of body: `python -m tests.endure.costs FILE...` measures some.

They are measured in a process that did not create them, because freed memory would hide new allocations.
"""

import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from webhook import log
from webhook.admission import pod
from webhook.admission.mutator import IMAGES_LIMIT, Mutator
from webhook.config.load import load
from webhook.server import routes
from webhook.server.counters import ReviewCounters

from .judging import CONFIGURATIONS

MIB = 1024 * 1024
_TIMES = 3
#: As many as are read.
_CONTAINERS, _VOLUMES, _SECRETS = (pod.STORED_LIMIT // least for least in (32, 11, 4))
_REVIEW = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"Pod"},'
    b'"namespace":"team","operation":"CREATE","dryRun":true,"object":%b}}'
)


class Cost(NamedTuple):
    """What one review took."""

    size: int
    """The body's, in bytes."""
    seconds: float
    """Of CPU, the least of some times."""
    memory: int
    """In bytes, at the peak, beside the body."""
    status: int
    """Of the HTTP answer."""

    @property
    def each(self) -> float:
        """Nanoseconds for each byte of the body."""
        return self.seconds / self.size * 1e9


def _review(document: bytes) -> bytes:
    return _REVIEW % document


def _spec(spec: bytes) -> bytes:
    return _review(b'{"metadata":{"name":"x"},"spec":{%b}}' % spec)


def _listed(field: bytes, items: Iterable[bytes], size: int) -> bytes:
    """Make a review of a Pod with a list of so many bytes."""
    length = 0

    def taken() -> Iterator[bytes]:
        nonlocal length
        for item in items:
            length += len(item) + 1
            if length > size:
                return
            yield item

    return _spec(b'"containers":[{"image":"a"}],"%b":[%b]' % (field, b",".join(taken())))


def _numbered(pattern: bytes) -> Iterator[bytes]:
    return (pattern.replace(b"#", b"%d" % number) for number in itertools.count())


def _image(text: bytes) -> bytes:
    return _spec(b'"containers":[{"image":"%b"}]' % text)


def _metadata(metadata: bytes) -> bytes:
    return _review(b'{"metadata":{%b},"spec":{"containers":[{"name":"a","image":"a"}]}}' % metadata)


def _name(text: bytes) -> bytes:
    return _metadata(b'"name":"%b"' % text)


def _update(new: bytes, old: bytes) -> bytes:
    return _spec(new).replace(b"CREATE", b"UPDATE")[:-2] + b',"oldObject":{"spec":{%b}}}}' % old


def _many(pattern: bytes, count: int = _CONTAINERS, field: bytes = b"containers") -> bytes:
    return b'"%b":[%b]' % (field, b",".join(itertools.islice(_numbered(pattern), count)))


def _originals(size: int) -> bytes:
    value = json.dumps({str(number): "" for number in range(size // 18)})
    return _metadata(b'"annotations":{"registry-webhook/original-images":%b}' % json.dumps(value).encode())


#: Bodies that can have any size.
GROWING: dict[str, Callable[[int], bytes]] = {
    "empty containers": lambda size: _listed(b"initContainers", itertools.repeat(b"{}"), size),
    "empty volumes": lambda size: _listed(b"volumes", itertools.repeat(b"{}"), size),
    "empty pull secrets": lambda size: _listed(b"imagePullSecrets", itertools.repeat(b"{}"), size),
    "the same image": lambda size: _listed(b"initContainers", itertools.repeat(b'{"image":"a"}'), size),
    "other images": lambda size: _listed(b"initContainers", _numbered(b'{"name":"#","image":"a#"}'), size),
    "image volumes": lambda size: _listed(b"volumes", _numbered(b'{"name":"#","image":{"reference":"a#"}}'), size),
    "other references that are none": lambda size: _listed(b"initContainers", _numbered(b'{"image":"A#"}'), size),
    "numbers instead of containers": lambda size: _listed(b"initContainers", itertools.repeat(b"1"), size),
    "one number among containers": lambda size: _listed(
        b"initContainers", itertools.chain([b"1"], _numbered(b'{"image":"a#"}')), size
    ),
    "one long path": lambda size: _image(b"a/" * (size // 2)),
    "one long path with dashes": lambda size: _image(b"a-" * (size // 2)),
    "one long host": lambda size: _image(b"a." * (size // 2) + b"a/x"),
    "one long word": lambda size: _image(b"a" * size),
    "one long image that is not ASCII": lambda size: _image("é".encode() * (size // 2)),
    "long name": lambda size: _name(b"x" * size),
    "long uid": lambda size: _name(b"x").replace(b'"uid":"u"', b'"uid":"%b"' % ("é".encode() * (size // 2))),
    "annotations": lambda size: _metadata(
        b'"annotations":{%b}' % b",".join(itertools.islice(_numbered(b'"#":""'), size // 13))
    ),
    "one annotation": lambda size: _metadata(b'"annotations":{"a":"%b"}' % (b"x" * size)),
    "original images": _originals,
    "the same annotation": lambda size: _metadata(b'"annotations":{%b}' % b",".join([b'"a":""'] * (size // 7))),
    "the same list": lambda size: _spec(b",".join([b'"containers":[{"image":"a"}]'] * (size // 29))),
    "other fields": lambda size: _spec(b",".join(itertools.islice(_numbered(b'"#":0'), size // 11))),
    "objects that nobody reads": lambda size: _listed(b"x", itertools.repeat(b"{}"), size),
    "deep lists, beside one another": lambda size: _listed(b"x", itertools.repeat(b"[" * 1100 + b"]" * 1100), size),
    "strings beside deep lists": lambda size: _listed(
        b"x", itertools.chain([b"[" * 1100 + b"]" * 1100], itertools.repeat(b'""')), size
    ),
    "escapes beside deep lists": lambda size: _spec(
        b'"x":' + b"[" * 1100 + b"]" * 1100 + b',"y":"' + rb"\"" * (size // 2) + b'"'
    ),
    "no UTF-8 where it is read": lambda size: _name(b"\xff" * size),
    "lists in lists": lambda size: _spec(b'"x":' + b"[" * (size // 2) + b"]" * (size // 2)),
    "objects in objects, cut off": lambda size: _review(b'{"x":' * (size // 5)),
    "digits": lambda size: _spec(b'"x":' + b"1" * size),
    "digits instead of an image": lambda size: _spec(b'"containers":[{"image":%b}]' % (b"1" * size)),
    "digits behind a point": lambda size: _spec(b'"containers":[{"image":0.%b}]' % (b"1" * size)),
    "halves of characters": lambda size: _name(rb"\ud800" * (size // 6)),
    "halves of characters apart": lambda size: _name(rb"\ud800a" * (size // 7)),
    "characters of two halves": lambda size: _name(rb"\ud83d\ude00" * (size // 12) + rb"\ud800"),
    "escapes, and half a character": lambda size: _name(rb"\n" * (size // 2) + rb"\ud800"),
    "backslashes, and half a character": lambda size: _name(rb"\\" * (size // 2) + rb"\ud800"),
    "escapes, and one that is none": lambda size: _name(rb"\n" * (size // 2) + rb"\q"),
    "blanks": lambda size: _name(b"x") + b" " * size,
    "no JSON": lambda size: b"[" * size,
    "no UTF-8": lambda size: b" " * size + b"\xff",
    "another version": lambda size: _name(b"x").replace(b"admission.k8s.io/v1", b"x" * size),
}
_IMAGE_VOLUME = b'{"name":"#","image":{"reference":"a#"}}'
#: Bodies that have as much of something as is looked at, and no more.
BOUNDED: dict[str, Callable[[], bytes]] = {
    "as many containers as are read": lambda: _spec(_many(b'{"name":"#","image":"a#"}')),
    "as many images as are looked at": lambda: _spec(_many(_IMAGE_VOLUME, IMAGES_LIMIT, b"volumes")),
    "one image more": lambda: _spec(_many(_IMAGE_VOLUME, IMAGES_LIMIT + 1, b"volumes")),
    "as many images, of which all are changed": lambda: _update(
        _many(_IMAGE_VOLUME, IMAGES_LIMIT, b"volumes"),
        _many(b'{"name":"#","image":{"reference":"b"}}', IMAGES_LIMIT, b"volumes"),
    ),
    "as many with long names": lambda: _spec(_many(b'{"name":"%b#","image":"a#"}' % (b"x" * 400))),
    "as long images as are looked at": lambda: _spec(_many(b'{"name":"#","image":"quay.io/a#"}', 48_000)),
    "as many long ones that are none": lambda: _spec(_many(b'{"image":"a#/%bA"}' % (b"a/" * 70), 10_000)),
    "the longest references": lambda: _spec(
        _many(b'{"name":"#","image":"quay.io/%ba#:%b"}' % (b"a/" * 120, b"t" * 120 + b"@sha512:" + b"f" * 128), 2900)
    ),
    "as many volumes and pull secrets as are read, twice": lambda: _update(
        *[
            b'"containers":[{"image":"a"}],%b,%b'
            % (_many(b'{"name":"#"}', _VOLUMES, b"volumes"), _many(b'{"name":"#"}', _SECRETS, b"imagePullSecrets"))
        ]
        * 2
    ),
    "as many numbers as are read by themselves": lambda: _update(*[_many(b"1")] * 2),
    "all lists with as many as are read": lambda: _update(
        *[
            b",".join(
                [
                    *(_many(b"{}", _CONTAINERS, name) for name in (b"containers", b"initContainers")),
                    _many(b"{}", _CONTAINERS, b"ephemeralContainers"),
                    _many(b"{}", _VOLUMES, b"volumes"),
                    _many(b"{}", _SECRETS, b"imagePullSecrets"),
                ]
            )
        ]
        * 2
    ),
}


def measure(body: bytes) -> Cost:
    """Measure what answering a body takes."""
    configuration = load(CONFIGURATIONS["rules"].encode(), "costs", {}).configuration
    # One for each time, for each knows what it has resolved.
    handlers = [Mutator(configuration) for _ in range(_TIMES)]
    gc.collect()
    before = _status("VmRSS")
    # The peak is counted from here.
    Path("/proc/self/clear_refs").write_text("5")
    seconds = []
    reply = routes.FAILED
    for handler in handlers:
        begun = time.process_time()
        reply = routes.mutate(handler, "application/json", body, ReviewCounters())
        seconds.append(time.process_time() - begun)
    return Cost(len(body), min(seconds), max(0, _status("VmHWM") - before), reply.status)


def _status(name: str) -> int:
    kibibytes = Path("/proc/self/status").read_text().partition(f"{name}:")[2].split()[0]
    return int(kibibytes) * 1024


def _main(files: list[str]) -> None:
    with Path(os.devnull).open("w") as nowhere:
        log.configure(stream=nowhere)
        json.dump([measure(Path(file).read_bytes()) for file in files], sys.stdout)


if __name__ == "__main__":
    _main(sys.argv[1:])
