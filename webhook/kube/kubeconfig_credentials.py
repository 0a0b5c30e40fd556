"""A kubeconfig's server and credentials, checked before the Kubernetes client uses them.

The client logs the failure of an exec plugin and continues without credentials, prefers `token` to `tokenFile`, and
accepts a server without a scheme. kubectl does none of that.
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/

The client's loader is imported where it is used: it imports OAuth and pydantic, which a Pod with a ServiceAccount does
not need.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from webhook.errors import RegistryWebhookError
from webhook.kube.access import Access
from webhook.kube.kubernetes_client import ConfigException, Configuration
from webhook.log import shorten
from webhook.registry import origin as registry_origin

_SHOWN = 200
_SERVER_HINT = "write https://HOST:PORT"


class UnusableKubeconfig(RegistryWebhookError):
    """An unusable kubeconfig; the message names the field."""


def load(access: Access, settings: Configuration) -> tuple[dict[str, Any], str]:
    """Load a kubeconfig's context into the client's settings, and return its user and name.

    Raises `UnusableKubeconfig`, and any exception of the client for a file that is not a kubeconfig.
    """
    from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger  # noqa: PLC0415 - see above

    paths = [Path(one).expanduser() for one in name(access).split(os.pathsep) if one]
    for path in paths:
        _check_file(path)
    merged = KubeConfigMerger(os.pathsep.join(map(str, paths)))  # type: ignore[no-untyped-call]
    if merged.config is None:
        raise UnusableKubeconfig(
            "no kubeconfig: the file does not exist", hint="pass --kubeconfig FILE, or set KUBECONFIG"
        )
    _check_names(merged.config.value, access)
    context = _choose(merged.config.value, access)
    user = _user(merged.config.value, context)
    if "tokenFile" in user:
        user.pop("token", None)
    plugin = user.get("exec")
    if isinstance(plugin, Mapping):
        _check_plugin(plugin)
    with _failures() as failures:
        loader = KubeConfigLoader(merged.config, context, config_base_path=None)  # type: ignore[no-untyped-call]
        loader.load_and_set(settings)  # type: ignore[no-untyped-call]
    # Our client reloads a token that the server rejects; the library's hook only handles expired ones.
    settings.refresh_api_key_hook = None
    token = str(settings.api_key.get("BearerToken") or "").strip()
    if token:
        settings.api_key["BearerToken"] = token
    if plugin is not None and not token and not settings.cert_file:
        why = shorten(failures[0], _SHOWN) if failures else "it gave neither a token nor a certificate"
        raise UnusableKubeconfig(f"exec plugin {_name(plugin)}: {why}", hint=_hint(plugin))
    provider = user.get("auth-provider")
    if isinstance(provider, Mapping) and not token and not settings.cert_file:
        raise UnusableKubeconfig(f"auth-provider {shorten(str(provider.get('name')), 60)} gave no token")
    return user, str(access.context or merged.config.value["current-context"])


def name(access: Access) -> str:
    """Return the kubeconfig's path, or the paths of KUBECONFIG."""
    return str(access.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")


def namespace(access: Access) -> str | None:
    """Return the namespace of the kubeconfig's context, or None if it has none or cannot be read."""
    from kubernetes.config.kube_config import list_kube_config_contexts  # noqa: PLC0415

    try:
        contexts, current = list_kube_config_contexts(name(access))  # type: ignore[no-untyped-call]
        wanted = access.context
        entry = current if wanted is None else next(one for one in contexts if one["name"] == wanted)
        found = entry["context"].get("namespace")
    except (ConfigException, OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError, StopIteration):
        return None
    return str(found) if found else None


def _check_file(path: Path) -> None:
    """Check that a file, if it exists, is a kubeconfig: the client's own errors do not say what is wrong."""
    try:
        config = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except FileNotFoundError:
        return  # as kubectl, if another file of KUBECONFIG exists
    except IsADirectoryError:
        raise UnusableKubeconfig("a directory, not a kubeconfig file") from None
    except OSError as error:
        raise UnusableKubeconfig((error.strerror or str(error)).lower()) from None
    except UnicodeDecodeError:
        raise UnusableKubeconfig("not a kubeconfig file: not text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UnusableKubeconfig(f"not a kubeconfig file: invalid YAML{line}") from None
    if config is None:
        raise UnusableKubeconfig("the kubeconfig file is empty")
    if not isinstance(config, dict) or not {"clusters", "contexts", "users", "current-context"} & config.keys():
        kind = f"kind {shorten(str(config['kind']), 60)}" if isinstance(config, dict) and config.get("kind") else ""
        raise UnusableKubeconfig(f"not a kubeconfig file: {kind or 'clusters and contexts are missing'}")
    for part in ("clusters", "contexts", "users"):
        found = config.get(part) or []
        if not isinstance(found, list) or not all(isinstance(one, dict) and "name" in one for one in found):
            raise UnusableKubeconfig(f"not a kubeconfig file: {part} must be a list of objects with a name")


def _check_names(config: Any, access: Access) -> None:
    """Check that the chosen context, cluster and user exist; the hint lists those that do."""
    current = config.get("current-context")
    if not (access.context or current):
        known = _known(config, "contexts")
        raise UnusableKubeconfig("no current context", hint=f"pass --context, one of: {known}" if known else "")
    wanted = access.context or current
    _check_name(config, "contexts", wanted)
    context = next(one.value for one in config["contexts"] if one.value["name"] == wanted).get("context") or {}
    # The client continues without a credential if the user of the context does not exist.
    for part, option in (("clusters", access.cluster), ("users", access.user)):
        of_context = context.get(part[:-1]) if isinstance(context, Mapping) else None
        if option or of_context:
            _check_name(
                config, part, option or of_context, "" if option else f' of context "{shorten(str(wanted), 100)}"'
            )


def _check_name(config: Any, part: str, wanted: Any, place: str = "") -> None:
    if wanted not in [one.value["name"] for one in config[part]]:
        known = _known(config, part) or "none"
        raise UnusableKubeconfig(
            f'{part[:-1]} "{shorten(str(wanted), 100)}"{place} not found', hint=f"known {part}: {known}"
        )


def _known(config: Any, part: str) -> str:
    return shorten(", ".join(str(one.value["name"]) for one in config[part]), _SHOWN)


def _choose(config: Any, access: Access) -> str | None:
    """Replace cluster and user of the context by those of the options, and return the context's name."""
    name = access.context or config.get("current-context")
    for one in config["contexts"]:
        if one.value["name"] == name:
            one.value["context"].update(
                {key: value for key, value in (("cluster", access.cluster), ("user", access.user)) if value}
            )
    return access.context


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


def _user(config: Any, context: str | None) -> dict[str, Any]:
    """Return the user of a context, or an empty mapping, for which the client reports the error."""
    try:
        contexts, users = ([one.value for one in config[items]] for items in ("contexts", "users"))
        context_name = context or config["current-context"]
        name = next(one["context"].get("user") for one in contexts if one["name"] == context_name)
        found = next(one["user"] for one in users if one["name"] == name)
    except (AttributeError, KeyError, StopIteration, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


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


@contextmanager
def _failures() -> Iterator[list[str]]:
    """Collect what the client logs about an exec plugin instead of logging it.

    It uses the root logger, as nothing else does: a logger's filter sees only what is logged with that logger itself.
    """
    messages: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return False

    root = logging.getLogger()
    root.addFilter(collect)
    try:
        yield messages
    finally:
        root.removeFilter(collect)
