"""Strategies for manifests: values that YAML 1.1 and 1.2 read differently, written in every style."""

import json
from typing import Any

from hypothesis import strategies as st

from webhook.kube import kubernetes_yaml
from webhook.log.escaping import escape_document, is_shown

#: Strings that could be read as another type, or are difficult to write.
STRINGS = (
    *(
        "",
        "y",
        "n",
        "Y",
        "N",
        "yes",
        "on",
        "Off",
        "true",
        "False",
        "~",
        "null",
        "NULL",
        "=",
        "<<",
        "-",
        "?",
        "!x",
        "&x",
    ),
    *(
        "*x",
        "|",
        ">",
        "%",
        "@",
        "`",
        "'",
        '"',
        "it's",
        "\\",
        "\\n",
        "{{ x }}",
        "[a",
        "a]",
        "{a",
        "a,b",
        ",",
        "#",
        "a #b",
    ),
    *(
        "1e3",
        "12E03",
        "0e123",
        "08",
        "01089",
        "0o17",
        "0x1F",
        "0b1",
        "-0b1",
        "017",
        "1_000",
        "1,000",
        "22:22",
        "1:30.5",
    ),
    *("1.5", ".5", "5.", "+1", "-0", ".inf", "-.INF", ".nan", "1e999", "2001-01-01", "2001-12-14T21:59:43.10-05:00"),
    *(
        "9223372036854775808",
        "a: b",
        "a:",
        ": a",
        "- a",
        "a\tb",
        " a",
        "a ",
        "\n",
        "a\n",
        "a\nb",
        "\na",
        "a\n\n",
        " a\nb",
    ),
    *("a\r\nb", "a\n b\n", "--- a", "---", "...", "a\n---\nb", "::", "2001:db8::", "http://x/?a=b&c", "word " * 30),
    *("é", "☃", "😀", "\u202ea", "\x9b31m", "\x1b[31m", "\x00", "\x7f", "\x85", "\u2028", "\ufeff", "\u200d", "\ufffd"),
)

_NUMBERS = (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 0.1, -1.5, 1e22, 1e-9, 5e-324)

strings = st.sampled_from(STRINGS) | st.text(max_size=8)
#: Integers of more than 64 bits are left out: kubectl's decoder has them as floats.
scalars = strings | st.sampled_from(_NUMBERS) | st.integers(-(1 << 63), (1 << 64) - 1) | st.booleans() | st.none()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3), max_leaves=8
)

#: Plain scalars of every type, as users write them.
_PLAIN = (
    *(
        "y",
        "No",
        "ON",
        "~",
        "null",
        "",
        "=",
        "<<x",
        "22:22",
        "1:30",
        "1e3",
        "12e03",
        "08",
        "017",
        "0o17",
        "0x1F",
        "0b11",
    ),
    *("1_000", ".5", "5.", "+1", "-0", "2001-01-01", "18446744073709551616", "1.50", "text", "a b", "!t 1", "!!str 1"),
    *("!!int '7'", "'y'", '"n"', "'08'", '"\\u202e"', "http://x/y"),
)

images = st.sampled_from(
    (
        "nginx",
        "nginx:1.27",
        "team/app@sha256:" + "a" * 64,
        "ghcr.io/team/app:1",
        "1.27",
        "docker.io/x",
        "y",
        "0x1F",
        "1e3",
    )
)


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """Draw metadata and spec of a Pod or template."""
    container = st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "n", "08"]), "image": images}, optional={"args": st.lists(scalars, max_size=2)}
    )
    pod: dict[str, Any] = {"spec": {"containers": draw(st.lists(container, min_size=1, max_size=2))}}
    if draw(st.booleans()):
        pod["spec"]["initContainers"] = draw(st.lists(container, max_size=2))
    if draw(st.booleans()):
        pod["spec"]["imagePullSecrets"] = draw(
            st.sampled_from([[], [{"name": "own"}], [{"name": "registry-webhook-pull"}]])
        )
    if draw(st.booleans()):
        pod["spec"]["nodeSelector"] = draw(st.dictionaries(strings, strings, max_size=2))
    if draw(st.booleans()):
        labels = st.dictionaries(strings, strings, max_size=2)
        pod["metadata"] = draw(
            st.just({}) | st.fixed_dictionaries({}, optional={"annotations": labels, "labels": labels})
        )
    return dict(draw(st.permutations(list(pod.items()))))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Kubernetes object, usually with a Pod template."""
    pod = draw(pods())
    head = {"apiVersion": "v1", "metadata": {"name": "x"}}
    kind = draw(st.sampled_from(["Pod", "Deployment", "CronJob", "Service", "List", "ConfigMap"]))
    match kind:
        case "Pod":
            return {"kind": kind, "apiVersion": "v1", **pod}
        case "ConfigMap":
            return {**head, "kind": kind, "data": draw(values)}
        case "CronJob":
            return {**head, "kind": kind, "spec": {"x": draw(values), "jobTemplate": {"spec": {"template": pod}}}}
        case "List":
            return {"kind": kind, "apiVersion": "v1", "items": draw(st.lists(documents(), max_size=2))}
    return {**head, "kind": kind, "spec": {"template": pod, "x": draw(values)}}


@st.composite
def texts(draw: st.DrawFn, documents: st.SearchStrategy[Any] = documents()) -> str:  # noqa: B008 - a strategy is a value
    """Draw a document in a mixture of styles, with comments and other things that are not part of the value."""
    value = draw(documents)
    style = draw(st.integers(0, 9))
    if style == 0:
        return json.dumps(value, indent=draw(st.sampled_from([None, 1, 4])))
    if style == 1:
        return kubernetes_yaml.dump(value)
    text = "\n".join(_block(draw, value, draw(st.sampled_from([1, 2, 4])))) + draw(
        st.sampled_from(["", "\n", "\n# end\n"])
    )
    if draw(st.integers(0, 5)) == 0:
        text = text.replace("\n", "\r\n")
    return text


def _block(draw: st.DrawFn, value: Any, indent: int) -> list[str]:
    """Return a value as lines of a block."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        lines: list[str] = []
        for key, item in value.items():
            if draw(st.integers(0, 7)) == 0:
                lines.append("# a comment")
            lines += _entry(draw, f"{_scalar(draw, key)}:", item, indent)
        if draw(st.integers(0, 7)) == 0:
            lines += [f"{_scalar(draw, 'extra')}: {draw(st.sampled_from(_PLAIN))}"]
        return lines
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        return [line for item in value for line in _item(draw, _block(draw, item, indent))]
    return [_flow(draw, value)]


def _entry(draw: st.DrawFn, key: str, value: Any, indent: int) -> list[str]:
    if isinstance(value, dict | list) and value:
        below = _block(draw, value, indent)
        if len(below) > 1 or ":" in below[0] or below[0].startswith("- "):
            if below[0][0] in "{[":
                return [f"{key} {below[0]}", *below[1:]]
            spaces = 0 if below[0].startswith("- ") and draw(st.booleans()) else indent
            return [f"{key}{draw(st.sampled_from(['', '  # why']))}", *(" " * spaces + line for line in below)]
        return [f"{key} {below[0]}"]
    if (
        isinstance(value, str)
        and "\n" in value
        and value.replace("\n", "").isascii()
        and value.replace("\n", "").isalnum()
    ):
        chomping = {True: "+", False: "-"}[value.endswith("\n")]
        return [f"{key} |{chomping}", *(" " * indent + line for line in value.removesuffix("\n").split("\n"))]
    return [f"{key} {_flow(draw, value)}{draw(st.sampled_from(['', '', ' # why']))}"]


def _item(draw: st.DrawFn, lines: list[str]) -> list[str]:
    if lines[0].startswith("#"):
        return [lines[0], *_item(draw, lines[1:])]
    return [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]


def _flow(draw: st.DrawFn, value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_scalar(draw, key)}: {_flow(draw, item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(_flow(draw, item) for item in value) + "]"
        case str():
            return _scalar(draw, value)
    return json.dumps(value)


def _scalar(draw: st.DrawFn, text: str) -> str:
    """Return a string in quotes, or without them if kubectl reads it the same."""
    # In flow style, a colon after a comma begins a value.
    is_flow_safe = not text.startswith(":") and not set(text) & set(",?[]{}")
    plain = text and is_flow_safe and kubernetes_yaml.dump({text: text}) == f"{text}: {text}\n"
    style = draw(st.integers(0, 2))
    if plain and style:
        return text
    if style == 1 and is_shown(text):
        return "'" + text.replace("'", "''") + "'"
    return escape_document(json.dumps(text, ensure_ascii=False), "yaml")
