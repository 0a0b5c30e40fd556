"""What rewriting costs at a real API server, by the API server's own clock: `make bench-admission`.

KUBECONFIG names the cluster, and kubectl is on PATH; the user may make namespaces and webhook configurations, and read
/metrics. E2E_ADDRESS says at which address the API server reaches this machine, 127.0.0.1 if it is not set. The server
is the real one, run by the Python that runs this, and called over TLS by the webhook configuration as it ships. With
`--engine=policy` it is the generated policy that rewrites, of the same configuration, and no webhook is there.

Pods are made as dry runs over connections that are kept, in a namespace that is served, and for a while before and
after in one that is not: what that takes is the API server's own. Every answer is checked: no figure is that of a Pod
that was let through. What stands under "by the API server" is by how much its metrics grew meanwhile. Of several API
servers behind one address that would be the figures of one: it shows in the count, and is said.

Nothing is left behind: dry runs store nothing, and what else is made is removed, after Ctrl-C as well.
"""

import argparse
import json
import math
import os
import platform
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.cluster import Cluster, Manifest, eventually, find_kubectl
from tests.e2e.engines import POLICY_LABEL, put, take_away
from tests.e2e.installation import Installation, installed
from tests.e2e.pods import NOWHERE, PULL_SECRET, SERVER, images, originals, pull_secrets
from webhook.admission_policy import mutate
from webhook.config.load import load
from webhook.constants import ENABLED_LABEL
from webhook.errors import ClusterError
from webhook.kube.access import Access
from webhook.kube.client import Client, Request, connect

#: What is aimed at: the 99th percentile of what the webhook takes, by the API server, seconds.
_AIM = 0.005
_ONE_IN_A_HUNDRED = 0.99
#: Pods are made for so long before it counts: connections are opened meanwhile.
_WARM_UP = 2.0
#: So many times the seconds it may take, and one more for the last answers, to pass for the rate that was asked for.
_LATE = 1.1
#: So much of the time goes before, and again after, to Pods that the webhook is not called for.
_COMPARED = 0.15
#: Creations that are under way at once, at most; the client keeps more connections than that.
_AT_ONCE = 12
_REJECTIONS = "apiserver_admission_webhook_rejection_count"
_LET_THROUGH = "apiserver_admission_webhook_fail_open_count"
_NO_ERROR = "no_error"

#: Images as people write them. None names its registry, so each is to be rewritten.
_IMAGES = (
    "nginx:1.29",
    "opencti/connector-example:1.0.0",
    "redis:8-alpine",
    "team/api@sha256:" + "5f" * 32,
    "envoyproxy/envoy:v1.36.0",
    "team/jobs/nightly:7",
    "fluent/fluent-bit:4.1",
)


class Engine(NamedTuple):
    """What rewrites, and how the API server counts it."""

    what: str
    duration: str
    """The metric of how long it takes."""
    label: str
    """That metric's label with its name."""


_ENGINES = {
    "webhook": Engine("webhook", "apiserver_admission_webhook_admission_duration_seconds", "name"),
    "policy": Engine("policy", "apiserver_mutating_admission_policy_check_duration_seconds", "policy"),
}


class Place(NamedTuple):
    """A namespace, and whether the engine is in force there."""

    namespace: str
    served: bool


class Answer(NamedTuple):
    """What came of one Pod."""

    served: bool
    seconds: float
    fault: str | None
    """What was wrong with the answer."""


class Counted(NamedTuple):
    """What the API server has counted for one webhook or policy."""

    reviews: float
    seconds: float
    """The sum of what they took."""
    buckets: dict[float, float]
    """Upper bound in seconds -> the reviews that took no more."""
    rejections: float
    let_through: float
    """The reviews that failed, upon which the Pod was made as it was written; of a policy, all that failed."""

    def since(self, before: "Counted") -> "Counted":
        """Leave out what was counted before."""
        return Counted(
            self.reviews - before.reviews,
            self.seconds - before.seconds,
            {bound: count - before.buckets.get(bound, 0.0) for bound, count in self.buckets.items()},
            self.rejections - before.rejections,
            self.let_through - before.let_through,
        )

    def share(self, bound: float) -> float:
        """Give the share of reviews that took no more than so many seconds, which is a bucket's bound."""
        return self.buckets.get(bound, 0.0) / self.reviews

    def p99(self) -> float:
        """Give the lowest bucket's bound under which are 99 % of the reviews."""
        return min(bound for bound in self.buckets if self.share(bound) >= _ONE_IN_A_HUNDRED)


def main() -> None:
    """Measure, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rate", type=_positive, default=50.0, help="Pods a second (default 50)")
    parser.add_argument("--seconds", type=_positive, default=60.0, help="for how long (default 60)")
    parser.add_argument("--engine", choices=_ENGINES, default="webhook", help="what rewrites (default webhook)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(_ENGINES[arguments.engine], arguments.rate, arguments.seconds)
    except KeyboardInterrupt:
        sys.exit("stopped; what was made is removed")
    except (AssertionError, ClusterError, subprocess.SubprocessError) as error:  # the first is how tests/e2e fails
        sys.exit(str(error).strip())


def _positive(word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{word} is no number above 0")
    return number


def _run(engine: Engine, rate: float, seconds: float) -> None:
    kubectl = find_kubectl()
    if not os.environ.get("KUBECONFIG"):
        sys.exit("KUBECONFIG must name the kubeconfig of a cluster to measure on")
    if kubectl is None:
        sys.exit("kubectl must be on PATH")
    client = connect(Access(), lambda _method, _status: None)
    version = json.loads(client.call(Request("reach the cluster", "GET", "/version")))["gitVersion"]
    print(f"Kubernetes {version}, {_described(engine)}", flush=True)
    # A name that no webhook or policy of the cluster has: all that is counted under it is ours.
    name = f"bench-{secrets.token_hex(4)}.registry-webhook.internal"
    cluster = Cluster(kubectl)
    with _by_policy(cluster, client, name) if engine.what == "policy" else _by_webhook(cluster, name) as places:
        _measure(client, engine, name, places, rate, seconds)


def _described(engine: Engine) -> str:
    if engine.what == "policy":
        return "the policy"
    return f"the webhook on Python {platform.python_version()}"


@contextmanager
def _by_policy(cluster: Cluster, client: Client, name: str) -> Iterator[Sequence[Place]]:
    """Have the policy in force under this name, a namespace that is served, and one that is not."""
    run = secrets.token_hex(4)
    configuration = load(f"opencti: {{daemon: {{registry: {{server: {SERVER}}}}}}}".encode(), "bench", {}).configuration
    try:
        put(client, mutate.policy(configuration), name, run)
        served = Place(cluster.make_namespace({POLICY_LABEL: run, ENABLED_LABEL: "true"}), served=True)
        unserved = Place(cluster.make_namespace({}), served=False)
        eventually("the policy is in force", lambda: not _make(client, served, _pod(0)).fault)
        yield [served, unserved]
    finally:
        take_away(cluster, name)
        cluster.remove_namespaces()


@contextmanager
def _by_webhook(cluster: Cluster, name: str) -> Iterator[Sequence[Place]]:
    """Have the webhook in force under this name, a namespace that is served, and one that is not."""
    address = os.environ.get("E2E_ADDRESS") or "127.0.0.1"
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            installed(cluster, address, Path(folder), name=name) as installation,
        ):
            served, unserved = _served(installation, address), installation.namespace(labelled=False)
            yield [Place(served, served=True), Place(unserved, served=False)]
    finally:
        cluster.remove_namespaces()


def _served(installation: Installation, address: str) -> str:
    try:
        return installation.namespace(labelled=True)
    except AssertionError as error:
        reached = f"does the API server reach this machine at {address}? If not, set E2E_ADDRESS"
        raise AssertionError(f"{str(error).strip()}; {reached}") from None


def _measure(  # noqa: PLR0913, PLR0917 - what is measured, where and how
    client: Client, engine: Engine, name: str, places: Sequence[Place], rate: float, seconds: float
) -> None:
    served, unserved = places
    print(f"{rate:g} Pods a second for {seconds:g} s, of one and of three containers in turns", flush=True)
    _make_pods(client, served, rate, _WARM_UP)
    compared = _make_pods(client, unserved, rate, seconds * _COMPARED)
    before = _counted(client, engine, name)
    began = time.monotonic()
    answers = _make_pods(client, served, rate, seconds)
    spent = time.monotonic() - began
    counted = _counted(client, engine, name).since(before)
    compared += _make_pods(client, unserved, rate, seconds * _COMPARED)
    made = len(answers)
    answers += compared
    if spent > _LATE * seconds + 1:
        print(f"they could not be made as fast as that, but {made / spent:.0f} a second")
    _say_counts(counted, made)
    _refuse_wrong(answers, counted, made)
    _say_durations(counted)
    _say_client(answers)


def _make_pods(client: Client, place: Place, rate: float, seconds: float) -> list[Answer]:
    """Make `rate` Pods a second in a place."""
    began = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        due = []
        for number in range(max(1, round(rate * seconds))):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            due.append(pool.submit(_make, client, place, _pod(number)))
    return [future.result() for future in due]


def _make(client: Client, place: Place, pod: Manifest) -> Answer:
    path = f"/api/v1/namespaces/{place.namespace}/pods"
    request = Request("make a Pod", "POST", path, (("dryRun", "All"),), pod)
    began = time.monotonic()
    try:
        answer = client.call(request)
    except ClusterError as error:
        return Answer(place.served, time.monotonic() - began, str(error))
    return Answer(place.served, time.monotonic() - began, _fault(pod, json.loads(answer), place))


def _fault(pod: Manifest, made: Manifest, place: Place) -> str | None:
    """Say what is wrong with a Pod as it was made."""
    written = images(pod)
    wanted: tuple[object, ...] = (written, [], None)
    if place.served:
        wanted = ({name: f"{SERVER}/{image}" for name, image in written.items()}, [PULL_SECRET], written)
    got = (images(made), pull_secrets(made), originals(made))
    if got == wanted:
        return None
    if got == (written, [], None):
        return "it was made as it was written"
    return f"it was made with images, pull secrets and annotation {got}"


def _pod(number: int) -> Manifest:
    """Write a Pod as a ReplicaSet makes it: every other one has one container, the others three."""
    names = ("app", "proxy", "logs")[: 1 if number % 2 else 3]
    labels = {"app": "front", "pod-template-hash": "6c9f7d8b5c", "app.kubernetes.io/part-of": "shop"}
    annotations = {"prometheus.io/scrape": "true", "kubectl.kubernetes.io/restartedAt": "2026-11-24T08:00:00Z"}
    metadata = {"name": f"front-6c9f7d8b5c-{number:05d}", "labels": labels, "annotations": annotations}
    spec = {
        "nodeSelector": NOWHERE,
        "containers": [
            _container(name, _IMAGES[(number + position) % len(_IMAGES)]) for position, name in enumerate(names)
        ],
        "volumes": [{"name": name, "emptyDir": {"sizeLimit": "1Gi"}} for name in ("scratch", "cache")],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 30,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _container(name: str, image: str) -> dict[str, Any]:
    name_of_pod = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    settings = [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(5)]
    return {
        "name": name,
        "image": image,
        "args": ["--listen=:8080", "--log-format=json"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [name_of_pod, *settings],
        "resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, {"name": "cache", "mountPath": "/cache"}],  # noqa: S108
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _counted(client: Client, engine: Engine, name: str) -> Counted:
    """Read what the API server has counted for the webhook or policy of this name."""
    text = client.call(Request("read the API server's metrics", "GET", "/metrics", accept="text/plain")).decode()
    # There are tens of thousands of lines beside ours, which would take seconds to parse.
    ours = "\n".join(line for line in text.splitlines() if f'{engine.label}="{name}"' in line)
    totals: dict[str, float] = {}
    buckets: dict[float, float] = {}
    for sample in (sample for family in text_string_to_metric_families(f"{ours}\n") for sample in family.samples):
        totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
        if sample.labels.get("error_type", _NO_ERROR) != _NO_ERROR and sample.name == f"{engine.duration}_count":
            totals[_LET_THROUGH] = totals.get(_LET_THROUGH, 0.0) + sample.value
        if sample.name == f"{engine.duration}_bucket":
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
    names = (f"{engine.duration}_count", f"{engine.duration}_sum", _REJECTIONS, _LET_THROUGH)
    reviews, seconds, rejections, let_through = (totals.get(name, 0.0) for name in names)
    return Counted(reviews, seconds, buckets, rejections, let_through)


def _refuse_wrong(answers: Sequence[Answer], counted: Counted, made: int) -> None:
    """End here if the figures would be those of something else than Pods that were rewritten."""
    faults = [answer for answer in answers if answer.fault]
    if not counted.reviews:
        sys.exit("nothing was called")
    if faults:
        where = "with" if faults[0].served else "without"
        number = f"{len(faults)} of {len(answers)} Pods were"
        sys.exit(f"{number} answered wrong, the first in the namespace {where} it: {faults[0].fault}")
    if counted.reviews < made:
        sys.exit(f"{made} Pods were rewritten in {counted.reviews:.0f} reviews: are there several API servers?")
    if counted.rejections or counted.let_through:
        sys.exit("reviews failed that this has not sent: somebody else makes Pods in its namespaces")


def _say_counts(counted: Counted, made: int) -> None:
    print("\nby the API server")
    _say("reviews", f"{counted.reviews:.0f}", f"for {made} Pods")
    _say("rejected", f"{counted.rejections:.0f}")
    _say("failed, and the Pod was let through", f"{counted.let_through:.0f}")


def _say_durations(counted: Counted) -> None:
    for bound in sorted(counted.buckets):
        # Cut, not rounded: 100 % is all of them.
        share = math.floor(counted.share(bound) * 10_000) / 100
        _say(f"took no more than {_milliseconds(bound)}", f"{share:.2f} %", f"{counted.buckets[bound]:.0f}")
        if counted.buckets[bound] == counted.reviews:
            break
    _say("mean", f"{counted.seconds / counted.reviews * 1000:.2f} ms")
    p99 = counted.p99()
    reached = "reached" if p99 <= _AIM else "missed"
    _say("p99, no more than", _milliseconds(p99), f"the aim, {_milliseconds(_AIM)}, is {reached}")


def _milliseconds(bound: float) -> str:
    return "any" if bound == math.inf else f"{bound * 1000:g} ms"


def _say_client(answers: Sequence[Answer]) -> None:
    print(f"\n{'by the client, ms':<34}{'p50':>8}{'p99':>10}{'most':>10}")
    medians = []
    for served, what in ((True, "a Pod that is rewritten"), (False, "a Pod that is not")):
        seconds = sorted(answer.seconds for answer in answers if answer.served == served)
        p99 = seconds[math.ceil(len(seconds) * _ONE_IN_A_HUNDRED) - 1]
        medians.append(statistics.median(seconds))
        figures = (medians[-1], p99, seconds[-1])
        print(f"{what:<32}" + "".join(f"{figure * 1000:10.2f}" for figure in figures))
    print(f"{'the difference':<32}{(medians[0] - medians[1]) * 1000:10.2f}")


def _say(what: str, figure: str, more: str = "") -> None:
    print(f"{what:<42}{figure:>10}  {more}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
