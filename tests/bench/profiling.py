"""Profile a request: `make profile`.

The server answers the usual body over 8 connections, while a timer interrupts its worker after every few milliseconds
of CPU time and records the running function. Compiled code counts for the line of Python that called it, such as the
kernel's write for the writing of the answer. Time outside Python, in the kernel's read and the event loop, counts for
the next line of Python, which reads from TLS.
"""

import argparse
import atexit
import json
import os
import runpy
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType

import bodies
from contenders import Arena
from serving import REGISTRY, SAMPLE, exchanges

_SECONDS = 20
#: In seconds; the kernel's clock is often no finer.
_INTERVAL = 0.004
#: What a function is there for: by its file's name, with all of the file's functions where none are named.
_STAGES: dict[str, dict[str, set[str] | None]] = {
    "waiting, reading from the kernel, event loop": {"ssl.py": {"pending"}, "http1.py": {"get_buffer"}},
    "TLS, incoming": {"ssl.py": {"read"}},
    "HTTP": {
        "http1.py": {"buffer_updated", "_feed", "_answer", "_request", "_reply", "_start_idle_timeout"},
        "request_parser.py": None,
        "request_scheduler.py": None,
        "applications.py": None,
    },
    "the content type, the Reply": {"routes.py": {"header", "mutate", "_answer"}},
    "decoding the review": {"review.py": {"decode", "_decode_in_parts"}},
    "deciding": {
        "mutator.py": None,
        "decision_cache.py": None,
        "decision.py": {"decide"},
        "pod.py": None,
        "resolver.py": None,
    },
    "encoding the answer": {"review.py": {"encode_answer"}, "decision.py": {"answer"}},
    "the line in the log": {
        "configure.py": None,
        "formatters.py": None,
        "nonblocking.py": None,
        "routes.py": {"_log_review"},
    },
    "counting": {"counters.py": None},
    "the answer: TLS, writing to the kernel": {"ssl.py": {"write"}, "http1.py": {"_write", "_head"}},
}
_ELSE = "everything else"


def main() -> None:
    """Profile, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help=f"how long (default {_SECONDS})")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        arena, noted = Arena(Path(folder)), Path(folder) / "noted.json"
        with arena.product(REGISTRY, program=[__file__, str(noted)]) as server:
            sent = exchanges(arena, server, [bodies.usual(number) for number in range(SAMPLE)])
            seen = arena.load(server, sent, "-connections", "8", "-duration", f"{seconds}s")
        counts: dict[str, int] = json.loads(noted.read_text())
    cost, samples = seen.cpu / seen.requests * 1e6, sum(counts.values())
    print(f"{seen.rate:,.0f} requests a second, {cost:.0f} µs of CPU each, {samples:,} samples\n")
    print("| stage | µs | share |\n|---|---:|---:|")
    for stage in [*_STAGES, _ELSE]:
        share = counts.get(stage, 0) / samples
        print(f"| {stage} | {share * cost:.1f} | {share:.0%} |")


def serve(noted: Path) -> None:
    """Run the program as it is, and have its worker note what it does."""
    counts: Counter[str] = Counter()

    def note(_: int, frame: FrameType | None) -> None:
        counts[_stage(frame)] += 1

    def begin() -> None:
        signal.signal(signal.SIGPROF, note)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
        atexit.register(lambda: noted.write_text(json.dumps(counts)))

    # The worker is the supervisor's child, and a timer is not handed down.
    os.register_at_fork(after_in_child=begin)
    runpy.run_module("webhook", run_name="__main__")


def _stage(frame: FrameType | None) -> str:
    """Find what the innermost function that is known is there for."""
    while frame is not None:
        file, name = Path(frame.f_code.co_filename).name, frame.f_code.co_name
        for stage, known in _STAGES.items():
            names = known.get(file, set())
            if names is None or name in names:
                return stage
        frame = frame.f_back
    return _ELSE


if __name__ == "__main__":
    if "serve" in sys.argv:
        serve(Path(sys.argv.pop(1)))
    else:
        main()
