"""kubectl command lines that can be pasted into a shell.

An owner reference, a webhook configuration and the command line can hold any string, so command lines are only built
with valid names: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/.
"""

import shlex

from webhook.kube.object_names import is_name, is_namespace


def shell(*words: str) -> str:
    """Return any command line, quoted for a shell."""
    return shlex.join(words)


def line(*words: str, namespace: str | None = None, kind: str = "", name: str | None = None) -> str | None:
    """Return `kubectl [-n NAMESPACE] WORDS [KIND/]NAME`, quoted for a shell; None if a name is not valid."""
    if (namespace is not None and not is_namespace(namespace)) or (name is not None and not is_name(name)):
        return None
    within = () if namespace is None else ("-n", namespace)
    about = () if name is None else (f"{kind}/{name}" if kind else name,)
    return shlex.join(("kubectl", *within, *words, *about))
