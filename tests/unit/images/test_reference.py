"""The grammar, with a line for each case, all compared with distribution/reference v0.6.0."""

import pytest

from webhook.errors import InvalidReference
from webhook.images.reference import Reference, canonical_domain, parse

SHA256 = "sha256:" + "a1" * 32
SHA384 = "sha384:" + "b2" * 48
SHA512 = "sha512:" + "c3" * 64


@pytest.mark.parametrize(
    ("written", "domain", "path", "suffix", "qualified"),
    [
        ("nginx", "docker.io", "library/nginx", "", False),
        ("nginx:1.27", "docker.io", "library/nginx", ":1.27", False),
        (f"nginx@{SHA256}", "docker.io", "library/nginx", f"@{SHA256}", False),
        (f"nginx:1.27@{SHA256}", "docker.io", "library/nginx", f":1.27@{SHA256}", False),
        (f"nginx@{SHA384}", "docker.io", "library/nginx", f"@{SHA384}", False),
        (f"nginx@{SHA512}", "docker.io", "library/nginx", f"@{SHA512}", False),
        ("library/nginx", "docker.io", "library/nginx", "", False),
        ("opencti/connector-example:1.0.0", "docker.io", "opencti/connector-example", ":1.0.0", False),
        ("docker.io/nginx", "docker.io", "library/nginx", "", True),
        ("index.docker.io/nginx", "docker.io", "library/nginx", "", True),
        ("docker.io/library/nginx", "docker.io", "library/nginx", "", True),
        ("quay.io/coreos/etcd:v3", "quay.io", "coreos/etcd", ":v3", True),
        ("localhost/app", "localhost", "app", "", True),
        ("localhost:5000/app", "localhost:5000", "app", "", True),
        ("registry:5000/app", "registry:5000", "app", "", True),
        ("127.0.0.1/app", "127.0.0.1", "app", "", True),
        ("[::1]/app", "[::1]", "app", "", True),
        ("[fe80::1]:5000/app:v1", "[fe80::1]:5000", "app", ":v1", True),
        ("Registry/app", "Registry", "app", "", True),
        ("a-b.example.com/app", "a-b.example.com", "app", "", True),
        # Without a slash nothing is a registry.
        ("localhost", "docker.io", "library/localhost", "", False),
        ("registry.example.com", "docker.io", "library/registry.example.com", "", False),
        ("registry.example.com:5000", "docker.io", "library/registry.example.com", ":5000", False),
        ("docker.io", "docker.io", "library/docker.io", "", False),
        # Only what looks like a registry is one.
        ("registry/app", "docker.io", "registry/app", "", False),
        ("a/b/c/d/e", "docker.io", "a/b/c/d/e", "", False),
        # Separators.
        ("a.b/c", "a.b", "c", "", True),
        ("x/a.b_c__d-e---f", "docker.io", "x/a.b_c__d-e---f", "", False),
        # 64 hexadecimal characters are an identifier alone, and a name with anything around them.
        ("a" * 63, "docker.io", "library/" + "a" * 63, "", False),
        ("x/" + "a" * 64, "docker.io", "x/" + "a" * 64, "", False),
        ("a" * 64 + ":v1", "docker.io", "library/" + "a" * 64, ":v1", False),
        # The longest path and tag.
        ("x/" + "y" * 253, "docker.io", "x/" + "y" * 253, "", False),
        ("y" * 247, "docker.io", "library/" + "y" * 247, "", False),
        ("a:" + "t" * 128, "docker.io", "library/a", ":" + "t" * 128, False),
        ("a:_T.-x", "docker.io", "library/a", ":_T.-x", False),
    ],
)
def test_parse_valid_reference(written: str, domain: str, path: str, suffix: str, qualified: bool) -> None:
    assert parse(written) == Reference(domain, path, suffix, qualified=qualified)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "nginx ",
        " nginx",
        "nginx\n",
        "nginx:1\n",
        "nginx\0",
        "nginx:",
        "nginx@",
        "nginx:1:2",
        "nginx:-1",
        "nginx:.1",
        "nginx:" + "t" * 129,
        "Nginx",
        "x/Nginx",
        "docker.io/Nginx",
        "/nginx",
        "nginx/",
        "x//y",
        "./nginx",
        "../nginx",
        "a..b/nginx",
        "x/..",
        "x%2fy",
        "x\\y",
        "-nginx",
        "nginx-",
        "_nginx",
        "a___b",
        "a._b",
        "https://registry.example.com/nginx",
        "registry.example.com:/nginx",
        "registry.example.com:port/nginx",
        "-registry.example.com/nginx",
        "registry-.example.com/nginx",
        "[::1/nginx",
        "[::1%eth0]/nginx",
        "user@registry.example.com/nginx",
        "ngınx",
        "пginx",
        "registry.example.com/ngin\u0445",
        "é.example.com/nginx",
        "nginx:1․0",
        "nginx:१",
        "nginx@sha256:" + "a" * 63,
        "nginx@sha256:" + "a" * 65,
        "nginx@sha256:" + "A" * 64,
        "nginx@sha1:" + "a" * 40,
        "nginx@sha512:" + "a" * 64,
        "nginx@sha256+b64:" + "a" * 64,
        "a" * 64,
        SHA256,
        SHA384,
        SHA512,
        "quay.io./x",
        "quay..io/x",
        "quay.-io/x",
        "quay-.io/x",
        ".quay.io/x",
        "quay.io:/x",
        "quay.io:-1/x",
        "[::1].quay.io/x",
        "y" * 248,
        "x/" + "y" * 254,
        "quay.io/" + "y" * 256,
        "\ud800",
    ],
)
def test_parse_invalid_reference_raises(written: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        parse(written)
    assert str(refused.value).isprintable()
    assert str(refused.value)


@pytest.mark.parametrize(
    "domain",
    [".".join(["h" * 63] * 4) + ":65535", "a." * 400 + "b", "a" * 5000 + ".b", "quay.io:" + "0" * 5000 + "443"],
    ids=len,
)
def test_parse_long_domain_accepted(domain: str) -> None:
    # kubelet and containerd have no limit: a port's leading zeros lead to the same registry.
    written = f"{domain}/{'y' * 255}:{'t' * 128}@{SHA512}"
    assert parse(written) == Reference(domain, "y" * 255, f":{'t' * 128}@{SHA512}", qualified=True)


@pytest.mark.parametrize("suffix", ["t", f"{SHA512}"], ids=["tag", "digest"])
def test_parse_remainder_over_limit_raises(suffix: str) -> None:
    with pytest.raises(InvalidReference, match=r"characters, more than"):
        parse(f"quay.io/{'y' * 255}:{'t' * 128}@{SHA512}{suffix}")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("sha256", "docker.io/library/sha256"),
        (f"library/{SHA256}", "docker.io/library/sha256"),
        (f"docker.io/{SHA256}", "docker.io/library/sha256"),
        (f"{SHA256}@{SHA256}", "docker.io/library/sha256"),
        ("sha256:" + "a" * 63, "docker.io/library/sha256"),
        ("sha256:" + "A1" * 32, "docker.io/library/sha256"),
        ("sha384:" + "a" * 64, "docker.io/library/sha384"),
        ("sha512:" + "a" * 64, "docker.io/library/sha512"),
        ("sha1:" + "a" * 40, "docker.io/library/sha1"),
    ],
)
def test_parse_name_resembling_image_id(written: str, name: str) -> None:
    assert parse(written).name == name


@pytest.mark.parametrize(
    ("domain", "canonical"),
    [
        ("quay.io", "quay.io"),
        ("Quay.IO", "quay.io"),
        ("quay.io:443", "quay.io"),
        ("quay.io:00443", "quay.io"),
        ("quay.io:" + "0" * 5000 + "443", "quay.io"),
        ("quay.io:05000", "quay.io:5000"),
        ("quay.io:80", "quay.io:80"),
        ("quay.io:0", "quay.io:0"),
        ("quay.io:00", "quay.io:0"),
        ("quay.io:4430", "quay.io:4430"),
        ("localhost:443", "localhost"),
        ("LocalHost:5000", "localhost:5000"),
        ("a:443", "a"),
        ("Registry", "registry"),
        ("127.0.0.1:443", "127.0.0.1"),
        ("docker.io", "docker.io"),
        ("Docker.IO", "docker.io"),
        ("docker.io:443", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("Index.Docker.io:0443", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("registry-1.docker.io:5000", "registry-1.docker.io:5000"),
        ("registry.hub.docker.com", "registry.hub.docker.com"),
        ("[::1]", "[::1]"),
        ("[::1]:443", "[::1]"),
        ("[FE80::1]:05000", "[fe80::1]:5000"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[fd00:0:0:1::]:443", "[fd00:0:0:1::]"),
        ("[::ffff:102:304]", "[::ffff:102:304]"),
        ("[ABC]", "[abc]"),
        ("[:]:1", "[:]:1"),
    ],
)
def test_canonical_domain_equal_for_all_spellings(domain: str, canonical: str) -> None:
    assert canonical_domain(domain) == canonical
    assert canonical_domain(canonical) == canonical


@pytest.mark.parametrize(
    ("written", "kubelet", "canonical"),
    [
        ("nginx", "docker.io/library/nginx", "docker.io/library/nginx"),
        ("index.docker.io/nginx", "docker.io/library/nginx", "docker.io/library/nginx"),
        ("Docker.IO/nginx:1", "Docker.IO/nginx", "docker.io/library/nginx"),
        ("registry-1.docker.io/team/x", "registry-1.docker.io/team/x", "docker.io/team/x"),
        ("Quay.io:443/x/y:1", "Quay.io:443/x/y", "quay.io/x/y"),
    ],
)
def test_reference_kubelet_and_canonical_names(written: str, kubelet: str, canonical: str) -> None:
    parsed = parse(written)
    assert (parsed.name, parsed.canonical_name) == (kubelet, canonical)


@pytest.mark.parametrize("length", [900, 1_000_000])
@pytest.mark.parametrize("hostile", ["a-", "a.", "a/", "a__", "a.b/", "a:", "[:", "a.b:0", "a.b/x@"])
def test_parse_hostile_text_no_backtracking(hostile: str, length: int) -> None:
    # A pattern that backtracked would not come back from these within anybody's patience.
    with pytest.raises(InvalidReference):
        parse((hostile * length)[: length - 1] + "!")
