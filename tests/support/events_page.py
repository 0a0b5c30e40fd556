"""Generates docs/reference/events-and-logs.md: Event reasons, and the log messages in the source."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import webhook
from webhook.admission.decision import Outcome
from webhook.images.resolver import Reason
from webhook.refresher.runtime.event_reasons import EventReason

from .markdown import table

SOURCES = Path(webhook.__file__).parent

_HEAD = """\
# Events and log messages
Problems are reported in Events, in the log, in metrics and by `doctor`. Reasons, log messages and the names of fields
are an interface. A search for a message finds every occurrence. The values of `why`, `note` and `error` may change.

This page is generated from the code.

## Events
The refresher creates Events with `reportingController: registry-webhook/refresher`. An Event about a namespace's pull
secret is next to that Secret. An Event about the refresher is in the namespace of the installation, about the Lease.

```sh
kubectl get events --namespace team-a --field-selector reportingComponent=registry-webhook/refresher
```

The same Event is repeated after an hour, and one with another note after a minute. Each Event is also logged as
`Event occurred`.

"""

_LOGS = """
## Log format
Both processes write to standard error. With `--log-format=json`, which the manifests set, each line is a JSON object
with `time`, `level`, `logger` and `message`, and the fields of the message. The text format has the same message, then
`key=value`. No value can add a line, and no credential is logged. This is one line, with line breaks added:

```json
{
  "time": "2026-11-25T23:04:05.678Z",
  "level": "INFO",
  "logger": "webhook.admission",
  "message": "Pod changed",
  "namespace": "team-a",
  "pod": "web-",
  "uid": "0b1c...",
  "client": "10.0.0.4",
  "outcome": "rewritten",
  "pull_secret": "registry-webhook-pull",
  "images": [
    {
      "place": "container app",
      "before": "nginx",
      "after": "registry.example.com/nginx",
      "reason": "server"
    }
  ]
}
```

`webhook.log_level` sets the lowest level that is logged, and can change at run time. Pods are logged if they were
changed, at level info, or could not be examined. `client` is the address that the review came from. Without mutual TLS,
any Pod that reaches the port can send a review, which is logged like one of an API server. `Pod changed` also has the
fields `outcome`, `pull_secret` and `images`. `Pod not examined` has `outcome`, `allowed` and `why`.

| Level | Meaning |
| --- | --- |
| error | someone must act |
| warning | something fails, and is retried or skipped |
| info | a state has changed |
| debug | frequent events |
"""

_REVIEWS = """
## Outcomes of reviews
The field `outcome` of log lines, the label `outcome` of `registry_webhook_reviews_total` and the audit annotation
`outcome` have one of these values.

"""

_REASONS = """
## Reasons for images
The field `reason` of an image in a log line and the label `reason` of `registry_webhook_images_total` have one of these
values.

"""

_AUDIT = """
## Audit annotations
The API server adds these to its audit events, each with the webhook's name and a `/` before the key.

| Key | Value |
| --- | --- |
| `outcome` | the outcome and its cause |
| `images` | each image before and after, with the reason |
| `pull-secret` | the pull secret, if it was added |

## Admission warnings
kubectl and other clients print warnings of the webhook.

| Case | Warning |
| --- | --- |
| a dry run | one for each change |
| a Pod that was admitted without being examined | the cause |
| an image is changed in a Pod that was created without the pull secret | the pull secret cannot be added later |
| the annotation with the original images does not fit | the annotation is left out |
| more warnings than an API server shows (4,096 characters) | how many are left out |
"""

_OUTCOMES = {
    Outcome.REWRITTEN: "an image was rewritten",
    Outcome.PULL_SECRET: "only the pull secret was added",
    Outcome.UNCHANGED: "no image had to be rewritten",
    Outcome.OPTED_OUT: "the Pod's label opts it out",
    Outcome.MIRROR: "the Pod is a copy of a static Pod",
    Outcome.NOT_SELECTED: "the namespace is not selected",
    Outcome.UNSUPPORTED: "the request is not one that the webhook handles",
    Outcome.TOO_LARGE: "the Pod is too large to be examined",
    Outcome.UNREADABLE: "the Pod cannot be decoded",
    Outcome.ERROR: "an internal error",
}

_IMAGE_REASONS = {
    Reason.SERVER: "specifies no registry, and was prefixed with the server",
    Reason.RULE: "was rewritten by a rule",
    Reason.ALREADY_PREFIXED: "is on the server or below the target of a rule already",
    Reason.QUALIFIED: "specifies a registry that no rule covers",
    Reason.EXCLUDED: "matches a pattern of `webhook.exclude`",
    Reason.NO_REGISTRY: "specifies no registry, and no server is configured",
    Reason.INVALID: "is not a valid reference, or is an image ID",
    Reason.TOO_LONG: "would be too long after rewriting",
    Reason.NEVER_PULLED: "has the pull policy `Never`",
}

#: The component that logs a message, and the heading of its table.
_PROCESSES = {"server": "Server messages", "refresher": "Refresher messages", "both": "Messages of both processes"}

_LEVELS = {"debug", "info", "warning", "error", "exception", "log"}


class LogMessage(NamedTuple):
    """A call that writes a log line."""

    process: str
    level: str
    message: str
    fields: tuple[str, ...]


def page() -> str:
    """Return the page. Raises `KeyError` for a value without a description."""
    messages = log_messages()
    return (
        _HEAD
        + table(("Reason", "Type", "Meaning"), [(f"`{reason}`", reason.kind, reason.meaning) for reason in EventReason])
        + _LOGS
        + "".join(
            f"\n### {title}\n{table(('Message', 'Level', 'Fields'), _rows(messages, process))}"
            for process, title in _PROCESSES.items()
        )
        + _REVIEWS
        + table(("Outcome", "Meaning"), [(f"`{outcome}`", _OUTCOMES[outcome]) for outcome in Outcome])
        + _REASONS
        + table(("Reason", "The image"), [(f"`{reason}`", _IMAGE_REASONS[reason]) for reason in Reason])
        + _AUDIT
    )


def _rows(messages: list["LogMessage"], process: str) -> Iterator[tuple[str, str, str]]:
    for one in messages:
        if one.process == process:
            yield f"`{one.message}`", one.level, ", ".join(f"`{field}`" for field in one.fields)


def log_messages() -> list[LogMessage]:
    """Return the messages of all log calls in the source, each once, by process and message."""
    found = set()
    for path in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names: dict[str, ast.expr] = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Dict | ast.IfExp)
        }
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        found |= {message for call in calls for message in _messages(_process(path), call, names)}
    return sorted(found, key=lambda one: (one.process, one.message.lower(), one.level))


def _process(path: Path) -> str:
    layer = path.relative_to(SOURCES).parts[0]
    return layer if layer in {"server", "refresher"} else "both"


def _messages(process: str, call: ast.Call, names: dict[str, ast.expr]) -> Iterator[LogMessage]:
    function = call.func
    if ast.unparse(function) == "log.info":
        yield from (LogMessage(process, "info", text, fields) for text, fields in _texts(call.args[1], names))
    if ast.unparse(function) == "self._line" and call.args:
        yield from (LogMessage(process, "warning", text, fields) for text, fields in _texts(call.args[-1], names))
    if not (
        isinstance(function, ast.Attribute)
        and function.attr in _LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in {"_log", "logger"}
    ):
        return
    level, arguments = function.attr, call.args
    if level == "log":
        level, arguments = _level(arguments[0], names), arguments[1:]
    for text, fields in _texts(arguments[0], names):
        yield LogMessage(process, {"exception": "error"}.get(level, level), text, fields)


def _level(node: ast.expr, names: dict[str, ast.expr]) -> str:
    """Return the level of a call of `Logger.log`, several if the code chooses one."""
    match node:
        case ast.IfExp(body=first, orelse=second):
            return " or ".join(sorted({_level(first, names), _level(second, names)}))
        case ast.Name(id=name):
            return _level(names[name], names)
        case ast.Attribute(attr=level):
            return level.lower()
    raise ValueError(f"not a level: {ast.unparse(node)}")


def _texts(node: ast.expr, names: dict[str, ast.expr]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the messages that an argument can have, with the names of the fields.

    `names` are the values of variables in the module.
    """
    match node:
        case ast.Constant(value=str(text)):
            yield text.replace("%s", "…"), ()
        case ast.IfExp(body=first, orelse=second):
            yield from _texts(first, names)
            yield from _texts(second, names)
        case ast.Call(
            func=ast.Attribute(attr="event" | "Event") | ast.Name(id="event"), args=[message, *more], keywords=keywords
        ):
            spread = [*more, *(keyword.value for keyword in keywords if keyword.arg is None)]
            named = [keyword.arg for keyword in keywords if keyword.arg]
            keys = [key for argument in spread for key in _keys(argument, names)]
            for text, _ in _texts(message, names):
                yield text, (*keys, *named)


def _keys(node: ast.expr, names: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the keys of a dict, or of the variable that has one."""
    if isinstance(node, ast.Name):
        node = names.get(node.id, node)
    if isinstance(node, ast.Dict):
        yield from (key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
