"""Spellings of the server, and values that no image name could begin with."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.config.load import load
from webhook.errors import ConfigurationError, InvalidPrefix
from webhook.images import prefix

_SERVER = "OPENCTI__DAEMON__REGISTRY__SERVER"


@pytest.mark.parametrize(
    ("written", "server"),
    [
        ("registry.example.com", "registry.example.com"),
        ("https://registry.example.com", "registry.example.com"),
        ("http://registry.example.com", "registry.example.com"),
        ("https://registry.example.com/", "registry.example.com"),
        ("registry.example.com/", "registry.example.com"),
        ("registry.example.com:5000", "registry.example.com:5000"),
        ("https://registry.example.com:5000/team/", "registry.example.com:5000/team"),
        ("registry.example.com/team/sub", "registry.example.com/team/sub"),
        ("harbor:443", "harbor:443"),
        ("harbor.svc/team", "harbor.svc/team"),
        ("localhost", "localhost"),
        ("localhost:5000", "localhost:5000"),
        ("localhost/team", "localhost/team"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:5000", "10.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("[fd00::1]", "[fd00::1]"),
        ("https://[fd00::1]:5000/team/", "[fd00::1]:5000/team"),
        ("docker.io", "docker.io"),
        ("https://docker.io/", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("index.docker.io/v1/", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io/team", "docker.io/team"),
        ("Docker.IO", "docker.io"),
        ("https://Index.Docker.io:443/v1/", "docker.io"),
        ("registry-1.docker.io/v2/", "docker.io"),
        ("registry-1.docker.io/team", "docker.io/team"),
        # Images and credentials get the spelling that is configured.
        ("Registry.Example.com", "Registry.Example.com"),
        ("registry.example.com:443/team", "registry.example.com:443/team"),
        ("registry.example.com:05000", "registry.example.com:5000"),
        ("registry.example.com:" + "0" * 30 + "443", "registry.example.com:443"),
        ("LocalHost", "LocalHost"),
        ("Harbor:443", "Harbor:443"),
        ("index.docker.io/team", "docker.io/team"),
        ("ghcr.io/org", "ghcr.io/org"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"),
        ("europe-docker.pkg.dev/project/repository", "europe-docker.pkg.dev/project/repository"),
    ],
)
def test_server_common_spellings_accepted(written: str, server: str) -> None:
    quoted = f'opencti: {{daemon: {{registry: {{server: "{written}"}}}}}}'
    assert load(quoted.encode(), "c.yaml", {}).configuration.registry.server == server
    assert load(b"", "c.yaml", {_SERVER: written}).configuration.registry.server == server


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("harbor", "harbor.example.com"),
        ("harbor", "harbor:443"),
        ("https://harbor/", "harbor.example.com"),
        ("harbor/team", "harbor:443"),
        ("None", "None:443"),
        ("NULL", "NULL.example.com"),
        ("Registry", "Registry:443"),
        ("True", "True.example.com"),
        ("nUll/team", "nUll:443"),
        ("https://REGISTRY/", "REGISTRY.example.com"),
        ("[ABC]", "[ABC]:443"),
        ("registry.example.com.", "registry.example.com:5000/team"),
        ("registry.example.com:0", "65535"),
        ("registry.example.com:00", "65535"),
        ("registry.example.com:065536", "65535"),
        ("https://", "registry.example.com"),
        ("/", "registry.example.com"),
        ("reg..com", "registry.example.com:5000/team"),
        ("-reg.example.com", "registry.example.com:5000/team"),
        ("reg.example.com:", "registry.example.com:5000/team"),
        ("reg.example.com:port", "registry.example.com:5000/team"),
        ("reg_istry.example.com", "registry.example.com:5000/team"),
        (" reg.example.com", "registry.example.com:5000/team"),
        ("ftp://reg.example.com", "registry.example.com:5000/team"),
        ("reg.example.com\n", "registry.example.com:5000/team"),
        ("rég.example.com", "registry.example.com:5000/team"),
        ("::1", "registry.example.com:5000/team"),
        ("reg.example.com/Team", "path"),
        ("reg.example.com//team", "path"),
        ("reg.example.com/app:1.0", "write reg.example.com/app"),
        ("reg.example.com ", "write reg.example.com"),
        ("reg.example.com/Team", "write reg.example.com/team"),
        ("reg.example.com//team", "write reg.example.com/team"),
        ("reg.example.com.", "write reg.example.com"),
        ("ftp://reg.example.com/team", "write reg.example.com/team"),
        ("https://reg.example.com/v2/", "write reg.example.com, or reg.example.com/v2 if"),
        ("http://reg.example.com/v1", "write reg.example.com, or reg.example.com/v1 if"),
        ("reg.example.com/app@sha256:00", "digest"),
        ("reg.example.com/../team", "path"),
        ("reg.example.com/" + "a" * 256, "255"),
        ("robot:secret@reg.example.com", "username"),
    ],
)
def test_server_invalid_suggests_fix(written: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(b"", "c.yaml", {_SERVER: written})
    (issue,) = caught.value.issues
    assert (issue.key, issue.origin) == ("opencti.daemon.registry.server", _SERVER)
    assert remedy in issue.one_line


@given(
    st.text("aB.:/[]1 ", max_size=10),
    st.sampled_from(["", "https://", "ftp://", " "]),
    st.sampled_from(["", "/", "/v2/", ":1"]),
)
def test_server_suggestions_accepted(text: str, before: str, after: str) -> None:
    hint = ""
    try:
        prefix.normalize(f"{before}{text}{after}")
    except InvalidPrefix as error:
        hint = error.hint
    suggested = re.findall(r"(?:write|such as|or) ((?!a |the )\S+?)(?=,| or | if |$)", hint)
    assert bool(suggested) == bool(hint)
    for one in suggested:
        assert prefix.normalize(one)


@pytest.mark.parametrize("port", ["0", "65536", "99999", "9" * 30])
def test_server_invalid_port_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="port"):
        load(b"", "c.yaml", {_SERVER: f"reg.example.com:{port}"})


@pytest.mark.parametrize(
    ("written", "problem", "hint"),
    [
        ("quay.io/*", "must not contain *", "write quay.io"),
        ("quay.io/team/**", "must not contain *", "write quay.io/team"),
        ("quay.io/x@sha256:00", "must not have a digest", "write quay.io/x"),
        ("quay.io/x:1@sha256:00", "must not have a digest", "write quay.io/x"),
        ("quay.io/a..b", "joined by one of . _ __ or dashes", ""),
        ("robot:hunter2@quay.io/*", "username or password", "set registry.username and registry.password instead"),
    ],
)
def test_normalize_invalid_prefix_names_part_and_remedy(written: str, problem: str, hint: str) -> None:
    with pytest.raises(InvalidPrefix) as caught:
        prefix.normalize(written)
    assert problem in str(caught.value)
    assert caught.value.hint == hint
