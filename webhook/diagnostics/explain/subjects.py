"""Arguments of `explain`: Pods, and the workloads that create Pods, named as kubectl names them."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from webhook.errors import RegistryWebhookError
from webhook.kube.object_names import is_name
from webhook.kube.reader import Resource

#: A kind as kubectl accepts it: `deploy`, `deployments.apps`, `deployments.v1.apps`.
_KIND = re.compile(r"(?P<word>[a-z]+)(?:\.(?P<rest>[a-z0-9.-]+))?")


class Kind(NamedTuple):
    """A kind of objects that create Pods, or Pods."""

    name: str
    """`Deployment`."""
    group: str
    """Empty for the core group."""
    words: tuple[str, ...]
    """The names that kubectl knows for it, in lower case; the plural is the first."""

    @property
    def resource(self) -> Resource[dict[str, Any]]:
        path = f"/apis/{self.group}/v1" if self.group else "/api/v1"
        return Resource(f"{self.name}s", path, self.words[0], dict[str, Any])


POD = Kind("Pod", "", ("pods", "pod", "po"))
_KINDS = (
    POD,
    Kind("Deployment", "apps", ("deployments", "deployment", "deploy")),
    Kind("ReplicaSet", "apps", ("replicasets", "replicaset", "rs")),
    Kind("StatefulSet", "apps", ("statefulsets", "statefulset", "sts")),
    Kind("DaemonSet", "apps", ("daemonsets", "daemonset", "ds")),
    Kind("Job", "batch", ("jobs", "job")),
    Kind("CronJob", "batch", ("cronjobs", "cronjob", "cj")),
    Kind("ReplicationController", "", ("replicationcontrollers", "replicationcontroller", "rc")),
)
_BY_WORD = {word: kind for kind in _KINDS for word in kind.words}


class Subject(NamedTuple):
    """An object to explain."""

    kind: Kind
    name: str


def parse(words: Sequence[str]) -> list[Subject]:
    """Read `NAME`, `KIND NAME...` or `KIND/NAME...`; a single name is a Pod's.

    Raises `RegistryWebhookError` for what kubectl would not accept either, and for kinds that create no Pods.
    """
    if any("/" in word for word in words):
        subjects = [_split(word) for word in words]
    elif len(words) == 1 and words[0].lower() not in _BY_WORD:
        subjects = [Subject(POD, words[0])]
    elif len(words) == 1:
        raise RegistryWebhookError(f"{words[0]} has no name", hint=f"write {words[0]}/NAME")
    else:
        kind = find_kind(words[0])
        subjects = [Subject(kind, word) for word in words[1:]]
    for _, name in subjects:
        if not is_name(name):
            hint = "names have only a-z, 0-9, - and ., as in pod/web-1"
            raise RegistryWebhookError(f'"{name}" is not the name of an object', hint=hint)
    return list(dict.fromkeys(subjects))


def find_kind(word: str) -> Kind:
    """Return the kind that kubectl knows by a word. Raises `RegistryWebhookError`, with a suggestion."""
    found = _KIND.fullmatch(word.lower())
    kind = _BY_WORD.get(found["word"]) if found else None
    if (
        found is not None
        and kind is not None
        and (found["rest"] or kind.group).removeprefix("v1").lstrip(".")
        in {
            kind.group,
            "",
        }
    ):
        return kind
    similar = difflib.get_close_matches(found["word"] if found else word.lower(), _BY_WORD, n=1)
    known = ", ".join(kind.words[1] for kind in _KINDS)
    hint = f"did you mean {similar[0]}?" if similar and kind is None else f"kinds that create Pods: {known}"
    raise RegistryWebhookError(f'"{word}" is not a kind that creates Pods', hint=hint)


def _split(word: str) -> Subject:
    kind, slash, name = word.partition("/")
    if not slash or not kind or not name:
        hint = "write all as KIND/NAME, or one KIND before all names"
        raise RegistryWebhookError(f'"{word}" is not KIND/NAME', hint=hint)
    return Subject(find_kind(kind), name)
