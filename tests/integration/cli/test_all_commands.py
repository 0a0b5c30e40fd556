"""Common behavior of all commands: help, one-line errors, exit statuses."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import webhook
from webhook.cli import main

_Run = Callable[..., "subprocess.CompletedProcess[str]"]

_COMMANDS = (
    *("demo", "resolve", "review", "config", "doctor", "explain", "plan", "report", "serve", "refresh", "cleanup"),
    *("policy", "certs", "completion", "version", "help"),
)

#: A call of each command that reads the configuration.
_READING = {
    "serve": ["serve", "--bind", "127.0.0.1:0", "--health-bind", "127.0.0.1:0"],
    "resolve": ["resolve", "nginx"],
    "review": ["review", "-"],
    "config": ["config"],
    "config --check": ["config", "--check"],
}


@pytest.mark.parametrize("word", ["version", "--version", "-V"])
def test_version_printed(run: _Run, word: str) -> None:
    done = run(word)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"registry-webhook {webhook.__version__}\n"


@pytest.mark.parametrize("names", ["", "plan", "policy", "policy mutate", "help"])
def test_help_command_same_as_option(call: _Run, names: str) -> None:
    done = call("help", *names.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == call(*names.split(), "--help").stdout


@pytest.mark.parametrize("group", ["policy", "certs"])
def test_group_without_command_prints_help(call: _Run, group: str) -> None:
    done = call(group)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == call(group, "--help").stdout


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("/usr/bin/kubectl-registry_webhook", "kubectl registry-webhook"),
        ("kubectl-registry_webhook.exe", "kubectl registry-webhook"),
        ("/usr/bin/registry-webhook", "registry-webhook"),
    ],
)
def test_program_named_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, program: str
) -> None:
    shown = []
    for words in (["resolve", "--help"], ["resove"], ["resolve"]):
        monkeypatch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit):
            main()
        shown.append(capsys.readouterr())
    assert shown[0].out.startswith(f"Usage: {program} resolve ")
    assert [line for line in shown[0].out.splitlines() if line.startswith(f"  {program} resolve --config")]
    assert shown[1].err.splitlines()[1] == f"hint: {program} resolve"
    assert shown[2].err.splitlines()[1] == f"hint: {program} resolve --help"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(run: _Run, flag: str) -> None:
    done = run(flag)
    assert (done.returncode, done.stderr) == (0, "")
    for command in _COMMANDS:
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_command_has_examples(run: _Run, command: str) -> None:
    done = run(command, "-h")
    assert (done.returncode, done.stderr) == (0, "")
    _, found, examples = done.stdout.partition("Examples:\n")
    assert found
    assert f"registry-webhook {command}" in examples


def test_no_command_prints_help(run: _Run) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout


@pytest.mark.parametrize(
    ("line", "part", "hint"),
    [
        ("bogus", '"bogus"', "--help"),
        ("resove nginx 'a b'", '"resove"', "resolve nginx 'a b'"),
        ("EXPLAIN pod/web", '"EXPLAIN"', "--help"),
        ("policy mutat --config x", '"mutat"', "policy mutate --config x"),
        ("help resove", '"resove"', "help resolve"),
        ("help plan more", "plan has no commands", "plan --help"),
        ("--bogus", "--bogus", "--help"),
        ("resolve --confg=x nginx", "--confg", "resolve --config=x nginx"),
        ("review --namespce a -", "--namespce", "review --namespace a -"),
        ("resolve --bogus nginx", "--bogus", "resolve --help"),
        ("resolve", "IMAGE...", "resolve --help"),
        ("review", "FILE...", "review --help"),
        ("config --config", "--config requires a value: FILE", "config --help"),
        ("config --config=", "--config requires a value: FILE", "config --help"),
        ("certs create --out ''", "--out requires a value: FOLDER", "certs create --help"),
        ("plan -n ''", "--namespace requires a value: NAMESPACE", "plan --help"),
        ("plan Team_A", "NAMESPACE must be a name", "plan --help"),
        ("review -n Team_A x", "--namespace must be a name", "review --help"),
        ("certs create --out x --service A_B", "--service must be a name", "certs create --help"),
        (
            "certs client --out x --installation-namespace 'A B'",
            "--installation-namespace must be a name",
            "certs client --help",
        ),
        (
            "certs create --out x --namespace other",
            "unknown option --namespace",
            "certs create --out x --installation-namespace other",
        ),
        ("demo --port 1", "unknown option --port", "demo --help"),
        ("resolve nginx --no-color", "unknown option --no-color", "resolve nginx --color=never"),
        ("doctor --ignore RW-FOO", "--ignore must be the code", "doctor --help"),
        ("review --config c.yaml -f my.yaml", "unknown option -f", "review --config c.yaml my.yaml"),
        ("review --filename=my.yaml", "unknown option --filename", "review my.yaml"),
        ("resolve -f my.yaml", "unknown option -f", "resolve --help"),
        ("--config c.yaml resolve redis", "unknown option --config", "resolve --config c.yaml redis"),
        ("--config config resolve redis", "unknown option --config", "resolve --config config redis"),
        ("policy --config=c.yaml mutate", "unknown option --config", "policy mutate --config=c.yaml"),
        ("serve c.yaml", "unexpected argument: c.yaml", "serve --config c.yaml"),
        ("config check", "unexpected argument: check", "config --check"),
        ("config --check=3", "--check takes no value", "config --help"),
        ("config c.yaml extra", "extra", "config --help"),
        ("version one two", "one two", "version --help"),
        ("resolve --output xml nginx", 'must be one of: text, json, not "xml"', "resolve --help"),
        ("review --output=jso -", "must be one of: diff, patch, yaml, json", "review --output=json -"),
        ("policy guard --action deny", "must be one of: Deny, Warn, Audit", "policy guard --action Deny"),
        ("completion tcsh", "SHELL must be one of: bash, zsh, fish", "completion --help"),
        ("serve --drain soon", 'from 0 to 300, not "soon"', "serve --help"),
        ("serve --drain nan", "from 0 to 300", "serve --help"),
        ("certs create --days 1.5", "a whole number from 1 to 36500", "certs create --help"),
        ("certs create --days -1", "a whole number from 1 to 36500", "certs create --help"),
        ("doctor --request-timeout never", "a duration such as 30s", "doctor --help"),
        ("serve --config -", "a regular file", "serve --help"),
        ("refresh --tls-folder missing", "an existing folder", "refresh --help"),
    ],
)
def test_usage_error_names_corrected_command(call: _Run, line: str, part: str, hint: str) -> None:
    done = call(*shlex.split(line))
    assert (done.returncode, done.stdout) == (2, "")
    shown, remedy = done.stderr.splitlines()
    assert shown.startswith("error: ")
    assert part in shown
    assert remedy == f"hint: registry-webhook {hint}"


@pytest.mark.parametrize("command", _READING)
def test_configuration_invalid_one_line_per_error(run: _Run, command: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("webhook:\n  verify: maybe\n  zzz: 1\n")
    done = run(*_READING[command], "--config", "broken.yaml", variables={"WEBHOOK__ON_ERROR": "explode"})
    assert (done.returncode, done.stdout) == (2, "")
    errors = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert [line.startswith("error: ") for line in errors] == [True] * 3
    for key, origin in (
        ('webhook.verify = "maybe"', "broken.yaml:2"),
        ("webhook.zzz", "broken.yaml:3"),
        ('webhook.on_error = "explode"', "WEBHOOK__ON_ERROR"),
    ):
        assert [key in line and origin in line for line in errors].count(True) == 1
    (verify,) = [line for line in errors if "webhook.verify" in line]
    assert all(value in verify for value in ("off", "strict", "warn"))


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        *((command, "gone.yaml", "") for command in _READING),
        ("config", "folder", ""),
        ("config", "large.yaml", "1 MiB"),
    ],
)
def test_configuration_unreadable_one_line(run: _Run, command: str, name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    done = run(*_READING[command], "--config", name)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert line.startswith("error: ")
    assert name in line
    assert said in line


#: A call of each command that reads a cluster, except for `refresh`, which retries.
_OF_CLUSTER = (
    *("doctor", "explain pod/web", "plan team-a", "report", "cleanup", "version --cluster"),
    "policy guard --from-cluster",
)
_NO_KUBECONFIGS = {
    "empty": b"",
    "binary": bytes(range(256)),
    "list": b"- a\n",
    "tab": b"a:\n\tb: c\n",
    "Service": b"apiVersion: v1\nkind: Service\n",
    "\x1b[31mred": b"current-context: a\x1b[32m\n",
    "context": b"current-context: gone\n",
}


@pytest.mark.parametrize("name", ["missing", "folder", *_NO_KUBECONFIGS])
@pytest.mark.parametrize("line", _OF_CLUSTER)
def test_kubeconfig_unusable_one_line_with_hint(call: _Run, tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / "folder").mkdir()
    if name in _NO_KUBECONFIGS:
        (tmp_path / name).write_bytes(_NO_KUBECONFIGS[name])
    done = call(*shlex.split(line), "--kubeconfig", name)
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert error.endswith(f"({name})".replace("\x1b", "\\x1b"))
    assert hint.startswith("hint: ")
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("line", _OF_CLUSTER)
def test_cluster_unreachable_one_line_with_hint(call: _Run, tmp_path: Path, line: str) -> None:
    (tmp_path / "kubeconfig").write_text(
        "current-context: dev\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: dev, context: {cluster: c}}]\n"
    )
    done = call(*shlex.split(line), "--kubeconfig", "kubeconfig")
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.endswith('cannot connect to https://127.0.0.1:1: connection refused (context "dev" in kubeconfig)')
    assert hint.startswith("hint: ")


def test_configuration_path_from_variable(run: _Run, tmp_path: Path) -> None:
    (tmp_path / "named.yaml").write_text("opencti: {daemon: {registry: {server: r.example.com}}}")
    done = run("resolve", "nginx", variables={"REGISTRY_WEBHOOK_CONFIG": "named.yaml"})
    assert done.stdout.startswith("nginx -> r.example.com/nginx ")


def test_config_option_overrides_variable(run: _Run, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"opencti: {{daemon: {{registry: {{server: {name}.example.com}}}}}}")
    done = run("resolve", "nginx", "--config", "b.yaml", variables={"REGISTRY_WEBHOOK_CONFIG": "a.yaml"})
    assert done.stdout.startswith("nginx -> b.example.com/nginx ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("words", [["config"], ["resolve", "nginx"]])
def test_output_device_full_one_line(environment: dict[str, str], tmp_path: Path, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "webhook", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("error: ")]
    assert errors == ["error: no space left on device"]


@pytest.mark.parametrize("words", [["resolve", "-"], ["review", "-"], ["review", "--output", "yaml", "-"]])
def test_output_closed_by_reader_no_error(environment: dict[str, str], tmp_path: Path, words: list[str]) -> None:
    pod = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: nginx}]}\n---\n"
    # Far more than any pipe holds, so that the writer is still writing when the reader goes.
    (tmp_path / "input").write_text("nginx\n" * 20_000 if words[0] == "resolve" else pod * 2000)
    with (tmp_path / "input").open("rb") as source:
        process = subprocess.Popen(
            [sys.executable, "-m", "webhook", *words],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**environment, "REGISTRY__SERVER": "registry.example.com"},
        )
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    process.wait(60)
    assert said == b""


@pytest.mark.parametrize("words", ["config", "resolve nginx"])
def test_output_closed_one_line(environment: dict[str, str], tmp_path: Path, words: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m webhook {words} >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, cwd=tmp_path, env=environment, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, b"error: standard output is closed\n")


def test_error_output_closed_result_printed(environment: dict[str, str], tmp_path: Path) -> None:
    line = f"{shlex.quote(sys.executable)} -m webhook resolve nginx 2>&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, cwd=tmp_path, env=environment, timeout=60, check=False
    )
    assert (done.returncode, done.stdout[:8]) == (0, b"nginx ==")
