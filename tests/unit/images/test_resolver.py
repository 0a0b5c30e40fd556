import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook.errors import ConflictingRules, InvalidPrefix, InvalidReference
from webhook.images import name_pattern, prefix, reference
from webhook.images.resolver import Reason, Resolver
from webhook.settings import Configuration, PullSecretSettings, RegistrySettings, RuleSettings, WebhookSettings

SERVER = "registry.example.com"
DIGEST = "@sha256:" + "0123456789abcdef" * 4


def resolver(
    *rules: tuple[str, str],
    server: str | None = SERVER,
    exclude: tuple[str, ...] = (),
    registries: tuple[str, ...] = (),
) -> Resolver:
    webhook = WebhookSettings(
        rules=tuple(RuleSettings(prefix.normalize(source), prefix.normalize(target)) for source, target in rules),
        exclude=tuple(map(name_pattern.normalize, exclude)),
        pull_secret=PullSecretSettings(registries=registries),
    )
    return Resolver(Configuration(RegistrySettings(server and prefix.normalize(server)), webhook))


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("opencti/connector-example:1.0.0", "registry.example.com/opencti/connector-example:1.0.0"),
        ("nginx", "registry.example.com/nginx"),
        ("library/nginx", "registry.example.com/library/nginx"),
        (f"nginx:1.27{DIGEST}", f"registry.example.com/nginx:1.27{DIGEST}"),
        (
            "registry.example.com/opencti/connector-example:1.0.0",
            "registry.example.com/opencti/connector-example:1.0.0",
        ),
        ("docker.io/nginx", "docker.io/nginx"),
        ("localhost/nginx", "localhost/nginx"),
        ("localhost", "registry.example.com/localhost"),
        ("registry.example.com", "registry.example.com/registry.example.com"),
        ("quay.io/coreos/etcd", "quay.io/coreos/etcd"),
        ("[::1]:5000/x", "[::1]:5000/x"),
        ("Registry/x", "Registry/x"),
        ("Not A Reference", "Not A Reference"),
        ("", ""),
    ],
)
def test_resolve_unqualified_name_prefixed_with_server(written: str, image: str) -> None:
    assert resolver().resolve(written).image == image


def test_resolve_without_server_unchanged_and_public() -> None:
    resolution = resolver(server=None).resolve("nginx")
    assert (resolution.image, resolution.reason, resolution.private) == ("nginx", Reason.NO_REGISTRY, False)


def test_resolve_server_with_port_and_path() -> None:
    resolve = resolver(server="https://registry.example.com:5000/team/").resolve
    assert resolve("nginx").image == "registry.example.com:5000/team/nginx"
    assert resolve("registry.example.com:5000/other/nginx").reason is Reason.QUALIFIED


@pytest.mark.parametrize(
    "server", ["docker.io", "index.docker.io/v1/", "https://index.docker.io/v1/", "index.docker.io"]
)
def test_resolve_docker_hub_as_server(server: str) -> None:
    resolve = resolver(server=server).resolve
    assert resolve("nginx").image == "docker.io/nginx"
    assert resolve("docker.io/nginx").image == "docker.io/nginx"
    assert resolve("docker.io/library/nginx").private


@pytest.mark.parametrize("written", ["nginx", "library/nginx", "docker.io/nginx", "index.docker.io/library/nginx"])
def test_resolve_docker_hub_rule_covers_all_spellings(written: str) -> None:
    resolution = resolver(("docker.io", "mirror.example.com/hub")).resolve(f"{written}:1.27{DIGEST}")
    assert resolution.image == f"mirror.example.com/hub/library/nginx:1.27{DIGEST}"
    assert resolution.reason is Reason.RULE


def test_resolve_longest_source_wins_in_any_order() -> None:
    rules = [("quay.io", "m.example.com/quay"), ("quay.io/a/b", "m.example.com/ab"), ("quay.io/a", "m.example.com/a")]
    for order in itertools.permutations(rules):
        resolve = resolver(*order).resolve
        assert resolve("quay.io/x/y").image == "m.example.com/quay/x/y"
        assert resolve("quay.io/a/x").image == "m.example.com/a/x"
        assert resolve("quay.io/a/b/x").image == "m.example.com/ab/x"
        assert resolve("quay.io/a/b").image == "m.example.com/ab"


def test_resolve_source_matches_whole_components() -> None:
    resolve = resolver(("quay.io/team", "m.example.com/t")).resolve
    assert resolve("quay.io/teams/x").image == "quay.io/teams/x"
    assert resolve("quay.io/team-a/x").image == "quay.io/team-a/x"
    assert resolve("quay.io:444/team/x").image == "quay.io:444/team/x"


def test_resolve_image_at_target_untouched() -> None:
    resolve = resolver(("registry.example.com", "registry.example.com/mirror"), server=None).resolve
    assert resolve("registry.example.com/x").image == "registry.example.com/mirror/x"
    assert resolve("registry.example.com/mirror/x").image == "registry.example.com/mirror/x"
    assert resolve("registry.example.com/mirror/x").reason is Reason.ALREADY_PREFIXED


def test_resolve_identity_rule_overrides_shorter_rule() -> None:
    resolve = resolver(("quay.io", "m.example.com"), ("quay.io/keep", "quay.io/keep")).resolve
    assert resolve("quay.io/keep/x").image == "quay.io/keep/x"
    assert resolve("quay.io/x").image == "m.example.com/x"


def test_resolve_rule_leaving_no_path_unchanged() -> None:
    resolve = resolver(("docker.io/library/redis", "redis.example.com")).resolve
    assert resolve("redis:7").image == "redis:7"
    assert resolve("redis:7").reason is Reason.TOO_LONG


def test_resolve_exclusion_precedes_rules() -> None:
    resolve = resolver(("docker.io", "m.example.com"), exclude=("docker.io/library/nginx", "**/pause")).resolve
    for written in ("nginx", "docker.io/library/nginx:1", f"nginx{DIGEST}", "registry.k8s.io/pause:3.10"):
        assert resolve(written).image == written
        assert resolve(written).reason is Reason.EXCLUDED
    assert resolve("nginx-unprivileged").reason is Reason.RULE


def test_resolve_result_too_long_unchanged() -> None:
    resolve = resolver(server="registry.example.com/team").resolve
    fits, too_long = "x/" + "y" * 248, "x/" + "y" * 249
    assert resolve(fits).image == f"registry.example.com/team/{fits}"
    assert resolve(too_long).image == too_long
    assert resolve(too_long).reason is Reason.TOO_LONG


def test_resolve_bare_name_length_includes_library() -> None:
    assert resolver().resolve("y" * 247).reason is Reason.SERVER
    assert resolver().resolve("y" * 248).reason is Reason.INVALID


@pytest.mark.parametrize(
    ("written", "private"),
    [
        ("nginx", True),
        ("registry.example.com/x", True),
        ("registry.example.com:443/x", True),
        ("registry.example.com:5000/x", False),
        ("Mirror.Example.com/quay/x", True),
        ("further.example.com:00443/x", True),
        ("mirror.example.com/quay/x", True),
        ("mirror.example.com/x", False),
        ("quay.io/x", True),
        ("further.example.com/x", True),
        ("ghcr.io/x", False),
        ("Not A Reference", False),
    ],
)
def test_resolve_private_registries(written: str, private: bool) -> None:
    resolve = resolver(("quay.io", "mirror.example.com/quay"), registries=("further.example.com",)).resolve
    assert resolve(written).private is private


@pytest.mark.parametrize(
    ("rules", "part"),
    [
        # A cycle, a chain, and a source below another's target.
        ([("docker.io", "a.example.com"), ("a.example.com", "docker.io")], "from"),
        ([("docker.io", "a.example.com"), ("a.example.com", "b.example.com")], "from"),
        ([("quay.io", "a.example.com"), ("a.example.com/old", "a.example.com/new")], "from"),
        ([("quay.io", "docker.io"), ("docker.io/library/x", "a.example.com")], "from"),
        # What the server makes is rewritten again.
        ([("registry.example.com", "a.example.com")], "from"),
        ([("registry.example.com/old", "registry.example.com/new")], "from"),
        # The same source twice, and a rule that could do nothing.
        ([("docker.io", "a.example.com"), ("index.docker.io", "b.example.com")], "from"),
        ([("docker.io", "a.example.com"), ("Registry-1.docker.io", "b.example.com")], "from"),
        ([("quay.io", "a.example.com"), ("Quay.io:443", "b.example.com")], "from"),
        # The same in other spellings.
        ([("quay.io", "A.example.com"), ("a.example.com:443", "b.example.com")], "from"),
        ([("Quay.io", "a.example.com:0443"), ("A.example.com/old", "a.example.com/new")], "from"),
        ([("REGISTRY.example.com", "a.example.com")], "from"),
        ([("quay.io/x", "Quay.io:443")], "to"),
        ([("docker.io/library", "docker.io")], "to"),
    ],
)
def test_resolver_conflicting_rules_raise(rules: list[tuple[str, str]], part: str) -> None:
    with pytest.raises(ConflictingRules) as refused:
        resolver(*rules)
    assert refused.value.part == part


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("quay.io/x", "Mirror.Example.com:443/q/x"),
        (f"Quay.IO/x:1{DIGEST}", f"Mirror.Example.com:443/q/x:1{DIGEST}"),
        ("quay.io:443/x", "Mirror.Example.com:443/q/x"),
        ("quay.io:" + "0" * 2000 + "443/x", "Mirror.Example.com:443/q/x"),
        ("quay.io:5000/x", "quay.io:5000/x"),
        ("mirror.example.com/q/x", "mirror.example.com/q/x"),
        ("MIRROR.example.com/x", "MIRROR.example.com/x"),
        ("Docker.IO/nginx:1", "h.example.com/library/nginx:1"),
        ("registry-1.docker.io/library/nginx", "h.example.com/library/nginx"),
        ("index.Docker.io:0443/team/x", "h.example.com/team/x"),
    ],
)
def test_resolve_any_source_spelling_target_as_written(written: str, image: str) -> None:
    resolve = resolver(
        ("Quay.io:0443", "Mirror.Example.com:443/q"), ("docker.io", "h.example.com"), server="Registry.Example.com"
    ).resolve
    assert resolve(written).image == image
    assert resolve("registry.example.com/x").image == "registry.example.com/x"
    assert resolve("registry.example.com/x").reason is Reason.ALREADY_PREFIXED


@pytest.mark.parametrize("exclude", ["Quay.io/**", "quay.io:443/**", "QUAY.io:0443/**"])
def test_resolve_exclusion_covers_all_spellings(exclude: str) -> None:
    resolve = resolver(("quay.io", "m.example.com"), exclude=(exclude,)).resolve
    for written in ("quay.io/x", "Quay.io:443/x", "quay.IO/x:1"):
        assert resolve(written).image == written
        assert resolve(written).reason is Reason.EXCLUDED
    assert resolve("quay.io:5000/x").reason is Reason.QUALIFIED


@pytest.mark.parametrize(
    "written", ["a" * 64, "sha256:" + "a" * 64, "sha384:" + "a" * 96, "sha512:" + "a" * 128], ids=len
)
def test_resolve_image_id_unchanged(written: str) -> None:
    for made in (
        resolver(),
        resolver(("docker.io", "m.example.com")),
        resolver(("docker.io/library/sha256", "m.example.com/x")),
        resolver(exclude=("**",)),
    ):
        resolution = made.resolve(written)
        assert (resolution.image, resolution.reason, resolution.private) == (written, Reason.INVALID, False)
    qualified = f"library/{written}" if ":" in written else f"{written}:latest"
    assert resolver().resolve(qualified).image == f"{SERVER}/{qualified}"


def test_resolution_description_length_limited() -> None:
    written = "quay.io:" + "0" * 100_000 + "443/x"
    for made in (resolver(("quay.io", "m.example.com")), resolver()):
        resolution = made.resolve(written)
        assert len(resolution.description) < 3000
        assert len(resolution.detail) < 300


_PLACES = ["docker.io", "quay.io", "a.b:5000", "localhost", "[fd00::1]", SERVER]


@st.composite
def _respelled(draw: st.DrawFn, place: str) -> str:
    """Spell a registry in another way."""
    host, port = (place[:-5], "5000") if place.endswith(":5000") else (place, "443")
    if host == "docker.io":
        host = draw(st.sampled_from(["docker.io", "index.docker.io", "registry-1.docker.io"]))
    spelled = "".join(letter.upper() if draw(st.booleans()) else letter for letter in host)
    if port == "443" and draw(st.booleans()):
        return spelled
    return f"{spelled}:{'0' * draw(st.integers(0, 3))}{port}"


@given(st.data())
def test_resolve_equal_for_all_spellings(data: st.DataObject) -> None:
    rules = data.draw(
        st.lists(st.tuples(st.sampled_from(_PLACES), st.sampled_from(["m.example.com", *_PLACES])), max_size=3)
    )
    exclude = data.draw(st.lists(st.sampled_from(_PLACES).map(lambda place: f"{place}/x/**"), max_size=1))
    try:
        plain = resolver(*rules, exclude=tuple(exclude))
    except ConflictingRules:
        with pytest.raises(ConflictingRules):
            resolver(*[(data.draw(_respelled(source)), target) for source, target in rules], exclude=tuple(exclude))
        return
    made = resolver(
        *[(data.draw(_respelled(source)), target) for source, target in rules],
        exclude=tuple(f"{data.draw(_respelled(pattern.partition('/')[0]))}/x/**" for pattern in exclude),
    )
    place, path = data.draw(st.sampled_from(_PLACES)), data.draw(st.sampled_from(["x/y", "x/y:1", f"team/a{DIGEST}"]))
    written = f"{data.draw(_respelled(place))}/{path}"
    expected, found = plain.resolve(f"{place}/{path}"), made.resolve(written)
    assert (found.reason, found.private, found.rewritten) == (expected.reason, expected.private, expected.rewritten)
    assert found.image == (expected.image if expected.rewritten else written)
    assert made.resolve(found.image).image == found.image


# Few and close together, so that drawn rules often meet.
_DOMAINS = st.sampled_from(
    [
        *("docker.io", "index.docker.io", "quay.io", "a.b", "localhost:5000", SERVER),
        *("Docker.IO", "registry-1.docker.io:443", "Quay.io", "quay.io:0443", "A.B:443", "localhost:05000"),
        *("Registry.Example.com", f"{SERVER}:443", "[fd00::1]", "[FD00:0::1]:443"),
    ]
)
_PARTS = st.sampled_from(["library", "a", "b", "a-b", "nginx", "x" * 120])
_PREFIXES = st.builds(lambda domain, parts: "/".join([domain, *parts]), _DOMAINS, st.lists(_PARTS, max_size=3))
_SUFFIXES = st.sampled_from(["", ":1", DIGEST, f":1{DIGEST}"])
_NAMES = st.builds(
    lambda domain, parts, suffix: "/".join([*domain, *parts]) + suffix,
    st.lists(_DOMAINS, max_size=1),
    st.lists(_PARTS, min_size=1, max_size=4),
    _SUFFIXES,
)
_PATTERNS = st.sampled_from(["**", "*/a/**", "docker.io/library/*", "**/b", "Quay.io:443/**", f"{SERVER}/a/*"])


@given(
    rules=st.lists(st.tuples(_PREFIXES, _PREFIXES), max_size=4),
    server=st.none() | _PREFIXES,
    exclude=st.lists(_PATTERNS, max_size=2),
    images=st.lists(_NAMES | st.text(max_size=20), min_size=1, max_size=20),
)
def test_resolve_idempotent(
    rules: list[tuple[str, str]], server: str | None, exclude: list[str], images: list[str]
) -> None:
    try:
        resolve = resolver(*rules, server=server, exclude=tuple(exclude)).resolve
    except (ConflictingRules, InvalidPrefix):
        assume(False)
    for image in images:
        once = resolve(image)
        assert resolve(once.image).image == once.image
        assert resolve(once.image).private == once.private
        try:
            parsed = reference.parse(image)
        except InvalidReference:
            assert once.image == image
        else:
            after = reference.parse(once.image)
            assert after.suffix == parsed.suffix
            assert once.image == image or after.qualified


def test_resolver_cache_bounded() -> None:
    made = resolver()
    for number in range(10_000):
        made.resolve(f"image-{number}")
    made.resolve("x" * 100_000)
    assert made._cached.cache_info().currsize == 4096  # noqa: SLF001 - its size is what this is about
    assert made.resolve("image-1").image == "registry.example.com/image-1"
