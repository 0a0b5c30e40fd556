"""The parts of the Kubernetes client that are used, imported without the rest.

An import of any module of the client first runs `kubernetes/__init__.py`, which imports all of them, with OAuth,
pydantic and web sockets: 330 modules and 19 MiB that a request to an API server does not use. Here the packages are
created without running their `__init__.py`. It runs when a name that it would define is read, so other code finds the
complete package.
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that has not run its `__init__.py`, but finds its modules."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment] # as importlib.util.LazyLoader does
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def _create_package(name: str) -> None:
    """Create a package unless it has been imported."""
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        return
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    package.__class__ = _Package
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, package)


for _name in ("kubernetes", "kubernetes.config", "kubernetes.utils"):
    _create_package(_name)

from kubernetes.client.configuration import Configuration  # noqa: E402 - after its package
from kubernetes.client.exceptions import ApiException  # noqa: E402
from kubernetes.client.rest import RESTClientObject  # noqa: E402
from kubernetes.config.config_exception import ConfigException  # noqa: E402
from kubernetes.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config  # noqa: E402
from kubernetes.utils.keepalive import tcp_keepalive_socket_options  # noqa: E402

__all__ = [
    "SERVICE_HOST_ENV_NAME",
    "ApiException",
    "ConfigException",
    "Configuration",
    "RESTClientObject",
    "load_incluster_config",
    "tcp_keepalive_socket_options",
]
