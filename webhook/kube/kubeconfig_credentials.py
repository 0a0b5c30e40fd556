"""A kubeconfig's server and credentials, read as kubectl reads them.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/

The client's own loader runs only for the legacy `auth-provider`. It imports OAuth and pydantic, which takes longer than
all other imports of a command, parses YAML without libyaml, logs the failure of an exec plugin and continues without
credentials, prefers `token` to `tokenFile`, and accepts a server without a scheme.
"""

import os
import shutil
import tempfile
import weakref
from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
import yaml

from webhook.errors import RegistryWebhookError
from webhook.kube.access import Access
from webhook.kube.kubernetes_client import Configuration
from webhook.log import shorten
from webhook.registry import origin as registry_origin

_SHOWN = 200
_SERVER_HINT = "write https://HOST:PORT"
_FILE_HINT = "pass --kubeconfig FILE, or set KUBECONFIG"
_NO_PLUGIN_CREDENTIAL = "it gave neither a token nor a certificate"
#: The fields with paths, which are relative to the file that has them.
_PATHS = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
    "contexts": (),
}


class UnusableKubeconfig(RegistryWebhookError):
    """An unusable kubeconfig; the message names the field."""


class _Merged(NamedTuple):
    """The files of KUBECONFIG as one: the first that has a name or a current context wins."""

    entries: dict[str, dict[str, dict[str, Any]]]
    """Of `clusters`, `users` and `contexts`: each name's content, with absolute paths."""
    folders: dict[str, Path]
    """The folder of each cluster's file."""
    current: str


class _Section(dict[str, Any]):
    """A part of a kubeconfig with the methods that the client's exec provider calls."""

    safe_get = dict.get

    @property
    def value(self) -> dict[str, Any]:
        return self


def load(access: Access, settings: Configuration) -> tuple[dict[str, Any], str]:
    """Load a kubeconfig's context into the client's settings, and return its user and name.

    Raises `UnusableKubeconfig`, and any exception for a file that is not a kubeconfig.
    """
    merged = _merged(access)
    if merged is None:
        raise UnusableKubeconfig("no kubeconfig file found", hint=_FILE_HINT)
    _check_names(merged, access)
    wanted = access.context or merged.current
    context = merged.entries["contexts"][wanted]
    cluster_name = str(access.cluster or context.get("cluster") or "")
    cluster = merged.entries["clusters"].get(cluster_name, {})
    user = merged.entries["users"].get(str(access.user or context.get("user") or ""), {})
    if "auth-provider" in user:
        _load_with_client(cluster, user, settings)
    else:
        _load_cluster(cluster, settings)
        _load_user(user, cluster, merged.folders.get(cluster_name, Path()), settings)
    return user, wanted


def _merged(access: Access) -> _Merged | None:
    """Read the files that exist; None if there are none. Raises `UnusableKubeconfig`."""
    paths = [Path(one).expanduser().absolute() for one in name(access).split(os.pathsep) if one]
    files = [(path.parent, config) for path in paths if (config := _read(path)) is not None]
    if not files:
        return None
    merged = _Merged(
        {part: {} for part in _PATHS},
        {},
        str(next((config["current-context"] for _, config in files if config.get("current-context")), "")),
    )
    for folder, config in files:
        for part, fields in _PATHS.items():
            for entry in config.get(part) or []:
                content = entry.get(part[:-1])
                content = dict(content) if isinstance(content, Mapping) else {}
                content |= {field: str(folder / content[field]) for field in fields if content.get(field)}
                merged.entries[part].setdefault(str(entry["name"]), content)
                if part == "clusters":
                    merged.folders.setdefault(str(entry["name"]), folder)
    return merged


def name(access: Access) -> str:
    """Return the kubeconfig's path, or the paths of KUBECONFIG."""
    return str(access.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")


def namespace(access: Access) -> str | None:
    """Return the namespace of the kubeconfig's context, or None if it has none or cannot be read."""
    try:
        merged = _merged(access)
    except (UnusableKubeconfig, OSError, ValueError):
        return None
    found = merged and merged.entries["contexts"].get(access.context or merged.current, {}).get("namespace")
    return str(found) if found else None


def _read(path: Path) -> dict[str, Any] | None:
    """Read a file that is a kubeconfig; None if it does not exist. Raises `UnusableKubeconfig`."""
    try:
        config = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except FileNotFoundError:
        return None  # as kubectl, if another file of KUBECONFIG exists
    except IsADirectoryError:
        raise UnusableKubeconfig("a directory, not a kubeconfig file", hint=_FILE_HINT) from None
    except OSError as error:
        raise UnusableKubeconfig(f"cannot read the kubeconfig: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UnusableKubeconfig("not a kubeconfig file: not text", hint=_FILE_HINT) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UnusableKubeconfig(f"not a kubeconfig file: invalid YAML{line}", hint=_FILE_HINT) from None
    if config is None:
        raise UnusableKubeconfig("the kubeconfig file is empty", hint=_FILE_HINT)
    if not isinstance(config, dict) or not {"clusters", "contexts", "users", "current-context"} & config.keys():
        kind = f"kind {shorten(str(config['kind']), 60)}" if isinstance(config, dict) and config.get("kind") else ""
        missing = "clusters and contexts are missing"
        raise UnusableKubeconfig(f"not a kubeconfig file: {kind or missing}", hint=_FILE_HINT)
    for part in ("clusters", "contexts", "users"):
        found = config.get(part) or []
        if not isinstance(found, list) or not all(isinstance(one, dict) and "name" in one for one in found):
            raise UnusableKubeconfig(f"not a kubeconfig file: {part} must be a list of objects with a name")
    return config


def _check_names(merged: _Merged, access: Access) -> None:
    """Check that the chosen context, cluster and user exist; the hint lists those that do."""
    if not (access.context or merged.current):
        known = _known(merged, "contexts")
        raise UnusableKubeconfig("no current context", hint=f"pass --context, one of: {known}" if known else "")
    wanted = access.context or merged.current
    _check_name(merged, "contexts", wanted)
    context = merged.entries["contexts"][wanted]
    for part, option in (("clusters", access.cluster), ("users", access.user)):
        chosen = option or context.get(part[:-1])
        if chosen:
            _check_name(merged, part, str(chosen), "" if option else f' of context "{shorten(wanted, 100)}"')


def _check_name(merged: _Merged, part: str, wanted: str, place: str = "") -> None:
    if wanted not in merged.entries[part]:
        known = _known(merged, part) or "none"
        raise UnusableKubeconfig(
            f'{part[:-1]} "{shorten(wanted, 100)}"{place} not found', hint=f"known {part}: {known}"
        )


def _known(merged: _Merged, part: str) -> str:
    return shorten(", ".join(merged.entries[part]), _SHOWN)


def _load_cluster(cluster: Mapping[str, Any], settings: Configuration) -> None:
    settings.host = str(cluster.get("server") or "").rstrip("/")
    if data := cluster.get("certificate-authority-data"):
        settings.ca_cert_data = b64decode(data).decode()
    elif path := cluster.get("certificate-authority"):
        settings.ssl_ca_cert = _existing(path)
    settings.verify_ssl = not cluster.get("insecure-skip-tls-verify")
    settings.tls_server_name = cluster.get("tls-server-name")
    settings.proxy = cluster.get("proxy-url") or settings.proxy


def _load_user(user: Mapping[str, Any], cluster: Mapping[str, Any], folder: Path, settings: Configuration) -> None:
    """Load the credentials of a user: certificate, and token, exec plugin or password, in this order."""
    certificate, key = (
        (b64decode(user[f"{field}-data"]) if user.get(f"{field}-data") else user.get(field))
        for field in ("client-certificate", "client-key")
    )
    file = user.get("tokenFile")
    token = Path(_existing(file)).read_text().strip() if file else str(user.get("token") or "").strip()
    if token:
        token = f"Bearer {token}"
    elif "exec" in user:
        status = _run(user["exec"], cluster, folder)
        token = f"Bearer {str(status['token']).strip()}" if status.get("token") else ""
        if status.get("clientCertificateData"):
            certificate, key = (str(status[field]).encode() for field in ("clientCertificateData", "clientKeyData"))
    elif "username" in user and "password" in user:
        login = f"{user['username']}:{user['password']}"
        token = urllib3.util.make_headers(basic_auth=login)["authorization"]
    if token:
        settings.api_key["BearerToken"] = token
    settings.cert_file, settings.key_file = _files(settings, certificate, key)


def _run(plugin: Any, cluster: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Run an exec plugin and return its credentials. Raises `UnusableKubeconfig`."""
    from kubernetes.config.exec_provider import ExecProvider  # noqa: PLC0415 - imports nothing else of the client

    _check_plugin(plugin)
    try:
        status = ExecProvider(_Section(plugin), str(folder), _Section(cluster)).run()  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - the client raises anything for a plugin's output
        why = shorten(str(error), _SHOWN)
        raise UnusableKubeconfig(f"exec plugin {_name(plugin)}: {why}", hint=_hint(plugin)) from None
    if isinstance(status, Mapping):
        if status.get("clientCertificateData") and not status.get("clientKeyData"):
            raise UnusableKubeconfig(f"exec plugin {_name(plugin)}: clientKeyData is missing", hint=_hint(plugin))
        if str(status.get("token") or "").strip() or status.get("clientCertificateData"):
            return status
    raise UnusableKubeconfig(f"exec plugin {_name(plugin)}: {_NO_PLUGIN_CREDENTIAL}", hint=_hint(plugin))


def _files(settings: Configuration, *contents: bytes | str | None) -> list[str | None]:
    """Return the paths of a certificate and its key; OpenSSL reads only files.

    Contents of the kubeconfig are written to a folder that only this user can read, and that is deleted when `settings`
    is no longer used, or on exit.
    """
    paths: list[str | None] = []
    folder = None
    for number, content in enumerate(contents):
        if not isinstance(content, bytes):
            paths.append(_existing(content) if content else None)
            continue
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="registry-webhook-"))
            weakref.finalize(settings, shutil.rmtree, folder, ignore_errors=True)
        file = folder / str(number)
        file.write_bytes(content)
        paths.append(str(file))
    return paths


def _existing(path: str) -> str:
    if not Path(path).is_file():
        raise UnusableKubeconfig(f"the kubeconfig names a file that does not exist: {shorten(path, _SHOWN)}")
    return path


def _load_with_client(cluster: Mapping[str, Any], user: Mapping[str, Any], settings: Configuration) -> None:
    """Load the credentials of a legacy `auth-provider`. Raises `UnusableKubeconfig`."""
    provider = user["auth-provider"]
    provider_name = shorten(str(provider.get("name") if isinstance(provider, Mapping) else provider), 60)
    try:
        from kubernetes.config.kube_config import KubeConfigLoader  # noqa: PLC0415 - see above
    except ModuleNotFoundError:
        raise UnusableKubeconfig(
            f"auth-provider {provider_name} is not supported by the single file and the image",
            hint="use an exec plugin, or install the command with pipx",
        ) from None
    config = {
        "clusters": [{"name": "cluster", "cluster": dict(cluster)}],
        "users": [{"name": "user", "user": dict(user)}],
        "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "context",
    }
    KubeConfigLoader(config).load_and_set(settings)  # type: ignore[no-untyped-call]
    # Our client reloads a token that the server rejects; the library's hook only handles expired ones.
    settings.refresh_api_key_hook = None
    if not settings.api_key.get("BearerToken") and not settings.cert_file:
        raise UnusableKubeconfig(f"auth-provider {provider_name} gave no token")


def server(url: str | None) -> registry_origin.Origin:
    """Read the URL of an API server. Raises `UnusableKubeconfig`."""
    if not url:
        raise UnusableKubeconfig("server of the cluster is missing", hint=_SERVER_HINT)
    scheme, mark, _ = url.partition("://")
    try:
        origin = registry_origin.parse(urlsplit(url).netloc, secure=scheme.lower() == "https")
    except ValueError:
        origin = None
    if not mark or scheme.lower() not in {"http", "https"}:
        raise UnusableKubeconfig("server of the cluster is neither https:// nor http://", hint=_SERVER_HINT)
    if origin is None:
        raise UnusableKubeconfig("server of the cluster has no valid host and port", hint=_SERVER_HINT)
    return origin


def _check_plugin(plugin: Mapping[str, Any]) -> None:
    command = plugin.get("command")
    if not isinstance(command, str) or not command:
        raise UnusableKubeconfig("exec of the user has no command")
    # A relative path starts at the kubeconfig's folder, in which the client runs the plugin.
    if "/" not in command and shutil.which(command) is None:
        raise UnusableKubeconfig(f"exec plugin {_name(plugin)} is not on PATH", hint=_hint(plugin))
    if Path(command).is_absolute() and not os.access(command, os.X_OK):
        raise UnusableKubeconfig(f"exec plugin {_name(plugin)} is missing or not executable", hint=_hint(plugin))


def _name(plugin: Any) -> str:
    return shorten(str(plugin.get("command")) if isinstance(plugin, Mapping) else "(unnamed)", 100)


def _hint(plugin: Any) -> str:
    hint = plugin.get("installHint") if isinstance(plugin, Mapping) else None
    return shorten(" ".join(str(hint).split()), _SHOWN) if hint else ""
