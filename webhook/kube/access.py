"""How a command reaches its cluster. Imports no client, so that declaring the options takes no time."""

from pathlib import Path
from typing import NamedTuple

#: For a response that is not from an API server.
SERVER_HINT = "check the server in the kubeconfig: kubectl config view --minify"


class Access(NamedTuple):
    """The values of kubectl's connection options; the default is what kubectl does without any.

    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_options/
    """

    kubeconfig: Path | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    impersonate: str | None = None
    """The user of `--as`."""
    groups: tuple[str, ...] = ()
    """The groups of `--as-group`."""
    request_timeout: float | None = None
    """Seconds for each request, 0 for no limit; None for the default of each request."""

    @property
    def chooses_kubeconfig(self) -> bool:
        """Whether an option names a kubeconfig or a part of one, so that a Pod's ServiceAccount is not used."""
        return any(one is not None for one in (self.kubeconfig, self.context, self.cluster, self.user))
