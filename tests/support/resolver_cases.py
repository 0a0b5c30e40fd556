"""References and configurations to resolve, for the resolver and for the admission policies."""

from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

SERVER = "registry.example.com"
DIGEST = "@sha256:" + "0123456789abcdef" * 4


class Case(NamedTuple):
    """A configuration, and images to resolve."""

    what: str
    images: tuple[str, ...]
    rules: tuple[tuple[str, str], ...] = ()
    server: str | None = SERVER
    exclude: tuple[str, ...] = ()
    registries: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.what


_USUAL = (
    "opencti/connector-example:1.0.0",
    "nginx",
    "library/nginx",
    f"nginx:1.27{DIGEST}",
    "registry.example.com/opencti/connector-example:1.0.0",
    "docker.io/nginx",
    "localhost/nginx",
    "localhost",
    "localhost:5000",
    "localhost:5000/x",
    "registry.example.com",
    "registry.example.com:443/x",
    "Registry.Example.com:0443/x",
    "quay.io/coreos/etcd",
    "sha256:" + "a" * 64,
    "sha384:" + "b" * 96,
    "sha512:" + "c" * 128,
    "sha256:" + "A" * 64,
    "sha256:" + "a" * 63,
    "sha256:" + "a" * 65,
    "library/sha256:" + "a" * 64,
    "quay.io./x",
    "quay.io:/x",
    "quay.io:" + "0" * 900 + "443/x",
    "h" * 300 + ".example.com/x",
    "[::1]:5000/x",
    "[abc]/x",
    "[ABC]/x",
    "[abc]:5000/x",
    "Registry/x",
    "a_b.c/x",
    "a--b/x",
    "a__b/x",
    "a___b/x",
    "a._b",
    "-a/x",
    "a-/x",
    "a.b-/x",
    "a:/x",
    "a:x/y",
    "x/Y",
    "x:",
    "x:tag/",
    "x:" + "t" * 128,
    "x:" + "t" * 129,
    "x@sha256:abc",
    f"x{DIGEST.upper()}",
    "x@sha384:" + "0" * 96,
    "x@sha512:" + "0" * 128,
    f"x:1:2{DIGEST}",
    "a" * 64,
    "A" * 64,
    "a" * 65,
    "Not A Reference",
    "https://quay.io/x",
    "x//y",
    "/x",
    "x/",
    "é/x",
    "É/x",
    "x\ny",
    "quay.io/x\ny",
    "K/x",  # the Kelvin sign
)
_HUB = tuple(
    f"{name}{suffix}"
    for name in ("nginx", "library/nginx", "docker.io/nginx", "index.docker.io/library/nginx", "grafana/grafana")
    for suffix in ("", f":1.27{DIGEST}")
)

CASES = [
    Case("a server", _USUAL),
    Case("no server", _USUAL, server=None),
    Case(
        "a server with port and path",
        ("nginx", "registry.example.com:5000/other/nginx", "registry.example.com:5000/team/x", *_HUB),
        server="https://registry.example.com:5000/team/",
    ),
    Case("Docker Hub as server", (*_HUB, "docker.io/library/nginx", "x/" + "y" * 250), server="index.docker.io/v1/"),
    Case("a path on Docker Hub as server", _HUB, server="docker.io/team"),
    Case("a rule for Docker Hub", _HUB, (("docker.io", "mirror.example.com/hub"),)),
    Case(
        "the longest source",
        ("quay.io/x/y", "quay.io/a/x", "quay.io/a/b/x", "quay.io/a/b", "quay.io/a/b:1", "quay.io/ab", "quay.io/a/bc"),
        (("quay.io", "m.example.com/quay"), ("quay.io/a/b", "m.example.com/ab"), ("quay.io/a", "m.example.com/a")),
    ),
    Case(
        "registries of every form",
        ("Registry/x", "registry/x", "localhost/x:1", "[::1]:5000/x", "[ABC]/x", "a:444/x", "a/x", "a.b/x", "A.b/x"),
        (
            ("localhost", "m.example.com/local"),
            ("[::1]:5000", "m.example.com/six"),
            ("a:444", "m.example.com/port"),
            ("a.b", "m.example.com/dot"),
        ),
    ),
    Case(
        "every spelling of a registry",
        (
            "quay.io/x",
            "Quay.io/x:1",
            f"QUAY.IO:443/x{DIGEST}",
            "quay.io:0443/x",
            "quay.io:" + "0" * 900 + "443/x",
            "quay.io:4430/x",
            "quay.io:80/x",
            "Docker.IO/nginx",
            "docker.io:443/nginx:1",
            "Index.Docker.io/nginx",
            "index.docker.io:443/library/nginx",
            "registry-1.docker.io/library/nginx",
            "Registry-1.Docker.io:443/grafana/loki",
            "registry.hub.docker.com/library/nginx",
            "a.b:05000/x",
            "A.B:5000/x",
            "a.b:500/x",
            "[FD00::1]/x",
            "[fd00:0:0:0:0:0:0:1]:443/x",
            "[fd00::2]/x",
            "[::FFFF:102:304]/x",
            "[::ffff:0102:0304]/x",
            "LocalHost:443/x",
            "GHCR.io:443/org/x",
            "ghcr.io/org/x",
            "gcr.io:443/kept/x",
            "Gcr.io/kept/x",
            "Gcr.io/moved/x",
            "Target.Example.com:443/x",
            "target.example.com/q/x",
            "TARGET.example.com:0443/q/x",
            "Registry.Example.com:443/x",
            "registry.example.com/x",
            "nginx",
        ),
        (
            ("Quay.io:0443", "Target.Example.com:443/q"),
            ("Index.Docker.io/grafana", "m.example.com/g"),
            ("a.B:05000", "m.example.com/port"),
            ("[fd00::1]:443", "m.example.com/six"),
            ("[::ffff:102:304]", "m.example.com/four"),
            ("localhost", "m.example.com/local"),
            ("GCR.io", "m.example.com/gcr"),
        ),
        server="REGISTRY.example.com:443",
        exclude=("Docker.io:443/library/*", "GCR.IO/kept/**"),
        registries=("ghcr.IO:443/org",),
    ),
    Case(
        "a rule for Docker Hub and every spelling of it",
        (
            "nginx",
            "Docker.IO/nginx",
            "docker.io:443/nginx",
            "INDEX.docker.io:0443/x/y",
            "registry-1.docker.io/nginx",
            "Docker.io/" + "y" * 247,
            "Docker.io/" + "y" * 250,
            "docker.io/" + "y" * 250,
            "sha256:" + "a" * 64,
            "sha512:" + "a" * 128,
            "a" * 64,
        ),
        (("registry-1.docker.io/v2/", "mirror.example.com"), ("docker.io/library", "m.example.com")),
    ),
    Case(
        "whole components",
        ("quay.io/teams/x", "quay.io/team-a/x", "quay.io:443/team/x", "quay.io/team", "quay.io/team/x"),
        (("quay.io/team", "m.example.com/t"),),
    ),
    Case(
        "what is at its target",
        ("registry.example.com/x", "registry.example.com/mirror/x", "registry.example.com/mirrors/x", "x"),
        (("registry.example.com", "registry.example.com/mirror"),),
        server=None,
    ),
    Case(
        "an exception",
        ("quay.io/keep/x", "quay.io/x"),
        (("quay.io", "m.example.com"), ("quay.io/keep", "quay.io/keep")),
    ),
    Case(
        "no name left",
        (
            "redis:7",
            "docker.io/library/redis",
            "quay.io/y:1",
            "quay.io/y/z",
            "quay.io/w",
            "nginx",
            "index.docker.io/nginx",
        ),
        (
            ("docker.io/library/redis", "redis.example.com"),
            ("quay.io/y", "docker.io/x"),
            ("quay.io/w", "localhost:5000"),
            ("docker.io/library/nginx", "docker.io/nginx"),
        ),
        registries=("docker.io/library",),
    ),
    Case(
        "exclusion",
        (
            "nginx",
            "docker.io/library/nginx:1",
            f"nginx{DIGEST}",
            "registry.k8s.io/pause:3.10",
            "nginx-unprivileged",
            "gcr.io/a",
            "gcr.io/a/b",
            "gcr.io/c",
            "gcr.io.example.com/a",
            "ghcr.io/org/one/app",
            "ghcr.io/org/one/two/app",
            "ghcr.io/org2/app",
            "[::1]:5000/x",
            "quay.io/x.y",
            "quay.io/xzy",
        ),
        (
            ("docker.io", "m.example.com"),
            ("gcr.io", "m.example.com/g"),
            ("ghcr.io", "m.example.com/h"),
            ("quay.io", "m.example.com/q"),
        ),
        exclude=(
            "docker.io/library/nginx",
            "**/pause",
            "gcr.io/a/**",
            "ghcr.io/org/*/app",
            "ghcr.io/org2*/**",
            "[::1]:5000/*",
            "quay.io/x.y*",
        ),
    ),
    Case(
        "what would be too long",
        ("x/" + "y" * 248, "x/" + "y" * 249, "y" * 247, "y" * 248, "y" * 242, "y" * 243),
        server="registry.example.com/team",
    ),
    Case(
        "what would be too long on Docker Hub",
        ("quay.io/" + "y" * 247, "quay.io/" + "y" * 248, "quay.io/" + "y" * 255, "quay.io/" + "y" * 256),
        (("quay.io", "docker.io"),),
    ),
    Case(
        "private registries",
        (
            "nginx",
            "registry.example.com/x",
            "registry.example.com:443/x",
            "mirror.example.com/quay/x",
            "mirror.example.com/x",
            "quay.io/x",
            "further.example.com/x",
            "ghcr.io/x",
            "ghcr.io/team/x",
            "Not A Reference",
        ),
        (("quay.io", "mirror.example.com/quay"),),
        registries=("further.example.com", "ghcr.io/team"),
    ),
]

# Few and similar, so that drawn values often match.
_DOMAINS = (
    *("docker.io", "index.docker.io", "quay.io", "a.b", "localhost:5000", SERVER),
    *("Docker.IO", "docker.io:0443", "registry-1.docker.io", "Quay.io", "quay.io:443", "A.b", "localhost:05000"),
    *("Registry.Example.com:443", "[fd00::1]", "[FD00:0::1]:443"),
)
_PARTS = ("library", "a", "b", "a-b", "nginx", "x" * 120)
_SUFFIXES = ("", ":1", DIGEST, f":1{DIGEST}")
_PATTERNS = (
    "*/a/**",
    "docker.io/library/*",
    "docker.io/library/nginx",
    "**/b",
    "Quay.io:443/**",
    "a.b/a/**",
    f"{SERVER}/a/*",
    "[fd00::1]/**",
)
_PREFIXES = st.builds(
    lambda domain, parts: "/".join([domain, *parts]),
    st.sampled_from(_DOMAINS),
    st.lists(st.sampled_from(_PARTS), max_size=3),
)


def drawn_images(seed: int, number: int = 100) -> tuple[str, ...]:
    """Return random images, most of them plausible, a quarter of them random characters."""
    random = Random(seed)  # noqa: S311 - nothing is kept secret by it
    return tuple(_garbled(random) if random.random() < 0.25 else _plausible(random) for _ in range(number))


def _plausible(random: Random) -> str:
    domain = random.choice(("", "", "", *_DOMAINS))
    parts = random.choices(_PARTS, k=random.randint(1, 4))
    return "/".join([*filter(None, [domain]), *parts]) + random.choice(_SUFFIXES)


def _garbled(random: Random) -> str:
    # The API server accepts any string as an image that is not empty and has no surrounding spaces.
    text = "".join(random.choices("aab1.:/@-_[]Aé\u212a \n\\'\"", k=random.randint(1, 16)))
    return text.strip() or "a"


#: A configuration, not always a valid one, and many images.
DRAWN = st.builds(
    Case,
    what=st.just("drawn"),
    images=st.integers(0, 2**32).map(drawn_images),
    rules=st.lists(st.tuples(_PREFIXES, _PREFIXES), max_size=4).map(tuple),
    server=st.none() | _PREFIXES,
    exclude=st.lists(st.sampled_from(_PATTERNS), max_size=2).map(tuple),
    registries=st.lists(_PREFIXES, max_size=2).map(tuple),
)
