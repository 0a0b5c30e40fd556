"""Image resolution as CEL variables that build on each other.

Each variable is a list parallel to `places`, with an item for each examined image. Together they do what
`images.reference.parse`, `images.rules.Rules.step` and `images.resolver.Resolver` do.

The grammar of references is repeated here because RE2 has no possessive repetition; RE2's `$` matches only at the very
end. No expression fails, whatever a Pod contains: fields that may be absent are read as optional values.
"""

from collections.abc import Iterable, Iterator, Sequence

from webhook.admission_policy import match_constraints
from webhook.admission_policy.cel_literals import Table, pattern, string, strings
from webhook.admission_policy.model import Variable
from webhook.images import prefix
from webhook.images.reference import (
    DEFAULT_PORT,
    DOCKER_HUB,
    DOCKER_HUB_ALIAS,
    DOCKER_HUB_DOMAINS,
    OFFICIAL,
    PATH_LIMIT,
    REMAINDER_LIMIT,
)
from webhook.settings import Configuration

_COMPONENT = "[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*"
_DOMAIN = f"^(?:{_COMPONENT}(?:[.]{_COMPONENT})*|[[][a-fA-F0-9:]+[]])(?::[0-9]+)?$"
_DIGEST = "sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
_PART = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
_REMAINDER = f"^{_PART}(?:/{_PART})*(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}})?(?:@(?:{_DIGEST}))?$"
#: `images.reference.looks_like_registry`.
_QUALIFIED = "^(?:localhost|[^/]*[.:A-Z][^/]*)/"
_IDENTIFIER = f"^(?:[a-f0-9]{{64}}|{_DIGEST})$"
_HOST = "^(?:[[][^]]*[]]|[^:]*)"
#: The port at the end of a registry, without leading zeros.
_PORT = "(?:0|[1-9][0-9]*)$"
_PATH = "^[^:@]*"
_ON_DOCKER_HUB = "^docker[.]io/[^/]*$"
_BELOW = "/**"
#: Whether the image of a place is never pulled from a registry, and so is left as written.
NEVER = "{}.policy == 'Never'"
_OR = "\n  || "

#: Container fields of a Pod's spec, and the kind of an item.
_CONTAINERS = {
    "containers": "container",
    "initContainers": "init container",
    "ephemeralContainers": "ephemeral container",
}


def resolution(settings: Configuration, further: Sequence[Variable] = ()) -> list[Variable]:
    """Return the variables up to `resolved`: the image to use for each of `places`, rewritten or as written.

    The last of `further` lists references that are resolved after the images.
    """
    rules = _rules(settings)
    exclusion_tables, excluded = _exclusion(settings.webhook.exclude)
    return [
        Variable("server", "the private registry", string(settings.registry.server or "")),
        *rules.variables,
        *exclusion_tables,
        *_examined(),
        *further,
        _images(further[-1].name if further else None),
        *_parsed(),
        Variable("excluded", "whether the name is excluded", excluded),
        *_rule_applied(settings, rules),
        *_resolved(),
    ]


def private(settings: Configuration) -> list[Variable]:
    """Return the variables up to `private`: whether an image, as written, is on a private registry."""
    entries = _set(map(prefix.canonical, settings.private_prefixes))
    table = Table("registered", "private registries, whose images need the pull secret", entries, {})
    return [
        *table.variables,
        Variable(
            "private",
            "whether an image, as written, is on one of these",
            f"variables.names.map(name,\n  name != '' && {_exists(table)})",
        ),
    ]


def _set(members: Iterable[str]) -> dict[str, str]:
    """Return the entries of a map that is used as a set; CEL would search a list."""
    return dict.fromkeys(members, "true")


def _rules(settings: Configuration) -> Table:
    entries: dict[str, str] = {}
    notes: dict[str, str] = {}
    for index, rule in enumerate(settings.webhook.rules):
        # Two rules from one prefix have equal targets; the first one's spelling counts.
        source = prefix.canonical(rule.source)
        entries.setdefault(source, string(rule.target))
        notes.setdefault(source, f"webhook.rules[{index}]")
    return Table("rules", "prefixes of names, and their targets; the longest prefix applies", entries, notes)


def _exclusion(globs: Sequence[str]) -> tuple[list[Variable], str]:
    """Return the tables and the expression for names left as written.

    Most patterns are a name, or a prefix with all names below; these are looked up instead of matched.
    """
    names = [glob for glob in globs if "*" not in glob]
    starred = [glob for glob in globs if "*" in glob]
    prefixes = [rest for glob in starred if "*" not in (rest := glob.removesuffix(_BELOW))]
    others = [glob for glob in starred if "*" in glob.removesuffix(_BELOW)]
    variables: list[Variable] = []
    conditions: list[str] = []
    if names:
        table = Table("excludedNames", "names left as written", _set(names), {})
        variables += table.variables
        conditions.append(table.contains("name"))
    if prefixes:
        table = Table("excludedBelow", "all below these is left as written", _set(prefixes), {})
        variables += table.variables
        conditions.append(_exists(table, "prefix != name && "))
    if others:
        conditions.append(f"name.matches({string(pattern(others))})")
    return variables, f"variables.names.map(name,\n  {_OR.join(conditions) or 'false'})"


def _exists(table: Table, further: str = "") -> str:
    """Return the condition that the table contains a prefix of `name`."""
    return f"{table.prefixes('name')}.exists(prefix, {further}({table.contains('prefix')}))"


def _examined() -> Iterator[Variable]:
    key = "place.kind + ' ' + place.name + ' ' + place.image"
    yield Variable(
        "before",
        "the images before an UPDATE, which are not checked again",
        f"(request.operation != 'UPDATE' ? [] :\n{_places('oldObject')})\n"
        f".transformMapEntry(n, place, {{{key}: true}})",
    )
    yield Variable(
        "every",
        "the places in the Pod with an image; of a request for ephemeral containers only these are stored",
        f"{match_constraints.EPHEMERAL} ?\n{_containers('object', 'ephemeralContainers')} :\n{_places('object')}",
    )
    yield Variable(
        "places",
        "the places to check",
        f"variables.every.filter(place, !({key} in variables.before))",
    )


def _images(further: str | None) -> Variable:
    return Variable(
        "images",
        "the images as written",
        "variables.places.map(place, place.image)" + (f"\n+ variables.{further}" if further else ""),
    )


def _places(root: str) -> str:
    """Return the list of all places of a Pod with an image, in the order of `admission.pod.images`."""
    parts = [_containers(root, field) for field in _CONTAINERS]
    return "\n+ ".join([*parts, _listed(root, "volumes", "volume", "image.?reference", "image.?pullPolicy")])


def _containers(root: str, field: str) -> str:
    return _listed(root, field, _CONTAINERS[field], "image", "imagePullPolicy")


def _listed(root: str, field: str, kind: str, image: str, policy: str) -> str:
    """Return the list of places in one field of the Pod's spec: kind, name, JSON pointer, image and pull policy."""
    return (
        f"{root}.spec.?{field}.orValue([]).transformList(n, c, c.?{image}.hasValue(), {{\n"
        f"  'kind': '{kind}', 'name': string(c.?name.orValue('')), 'image': string(c.{image.replace('.?', '.')}),\n"
        f"  'at': '/spec/{field}/' + string(n) + '/{image.replace('.?', '/')}',\n"
        f"  'policy': string(c.?{policy}.orValue(''))}})"
    )


def _parsed() -> Iterator[Variable]:
    """Yield the equivalent of `images.reference.parse` and `Reference.canonical_name`."""
    yield Variable(
        "registries",
        "the registry that each specifies, empty if it specifies none",
        f"variables.images.map(image,\n"
        f"  image.matches({string(_QUALIFIED)}) ? image.substring(0, image.indexOf('/')) : '')",
    )
    yield Variable(
        "remainders",
        "the rest: path, tag and digest",
        "variables.images.transformList(n, image,\n"
        "  variables.registries[n] == '' ? image : image.substring(variables.registries[n].size() + 1))",
    )
    yield Variable(
        "paths",
        "the path, empty if the reference is not valid",
        f"variables.remainders.transformList(n, remainder,\n"
        f"  remainder.size() <= {REMAINDER_LIMIT} && remainder.matches({string(_REMAINDER)})\n"
        f"  && (variables.registries[n] == '' ? !remainder.matches({string(_IDENTIFIER)}) :\n"
        f"  variables.registries[n].matches({string(_DOMAIN)}))\n"
        f"  ? remainder.find({string(_PATH)}) : '')",
    )
    yield Variable(
        "suffixes",
        "tag and digest",
        "variables.remainders.transformList(n, remainder, remainder.substring(variables.paths[n].size()))",
    )
    yield Variable(
        "hosts",
        "the registry's host in canonical form",
        f"variables.registries.transformList(n, registry,\n"
        f"  variables.paths[n] == '' ? '' : registry.lowerAscii().find({string(_HOST)}))\n"
        "  .map(host, host.startsWith('[') && isIP(host.substring(1, host.size() - 1))\n"
        "  ? '[' + string(ip(host.substring(1, host.size() - 1))) + ']' : host)",
    )
    yield Variable(
        "ports",
        "its port, empty for the default port",
        f"variables.registries.transformList(n, registry,\n"
        f"  variables.paths[n] == '' || !registry.contains(':') || registry.endsWith(']') ? '' :\n"
        f"  registry.find({string(_PORT)}))\n"
        f"  .map(port, port == '{DEFAULT_PORT}' ? '' : port)",
    )
    hub = strings(["", *sorted(DOCKER_HUB_DOMAINS)])
    yield Variable(
        "fronts",
        "the prefix of the path in the full name",
        f"variables.paths.transformList(n, path,\n"
        f"  variables.ports[n] != '' ? variables.hosts[n] + ':' + variables.ports[n] + '/' :\n"
        f"  !(variables.hosts[n] in {hub}) ? variables.hosts[n] + '/' :\n"
        f"  path.contains('/') ? {string(f'{DOCKER_HUB}/')} : {string(f'{DOCKER_HUB}/{OFFICIAL}')})",
    )
    with_library = strings(["", DOCKER_HUB, DOCKER_HUB_ALIAS])
    yield Variable(
        "names",
        "the full name, which rules are compared with, empty if the reference is not valid",
        f"variables.paths.transformList(n, path,\n"
        f"  path == '' || path.size() + (variables.registries[n] in {with_library} && !path.contains('/') ? "
        f"{len(OFFICIAL)} : 0) > {PATH_LIMIT}\n"
        "  ? '' : variables.fronts[n] + path)",
    )


def _rule_applied(settings: Configuration, rules: Table) -> Iterator[Variable]:
    """Yield the equivalent of `images.rules.Rules.step`."""
    yield Variable(
        "sources",
        "the longest rule's prefix that covers the name",
        f"variables.names.map(name,\n"
        f"  ({rules.prefixes('name')}.filter(prefix, {rules.contains('prefix')}) + [''])[0])",
    )
    yield Variable(
        "targets",
        "the target of that rule",
        f"variables.sources.map(source, {rules.value('source')})",
    )
    canonical = {rule.target: prefix.canonical(rule.target) for rule in settings.webhook.rules}
    respelled = {target: string(other) for target, other in canonical.items() if other != target}
    table = Table("respelled", "targets with another canonical form", respelled, {})
    yield from table.variables if respelled else ()
    below = f"variables.targets.map(target, {table.value('target', 'target')})" if respelled else "variables.targets"
    yield Variable("below", "that target in canonical form", below)
    yield Variable(
        "candidates",
        "the new name without tag and digest, empty if the image does not change",
        "variables.names.transformList(n, name,\n"
        "  name == '' || variables.excluded[n]\n"
        f"  || n < variables.places.size() && {NEVER.format('variables.places[n]')} ? '' :\n"
        "  variables.sources[n] == ''\n"
        "  ? (variables.registries[n] != '' || variables.server == '' ? ''\n"
        "  : variables.server + '/' + variables.paths[n])\n"
        "  : (name + '/').startsWith(variables.below[n] + '/') ? ''\n"
        "  : variables.targets[n] + name.substring(variables.sources[n].size()))",
    )


def _resolved() -> Iterator[Variable]:
    """Yield the equivalent of `images.resolver.Resolver`: a candidate must be a valid name below its target."""
    # Docker Hub's official images count with library/, and are not below a target that is written without it.
    longest = len(f"{DOCKER_HUB}/") + PATH_LIMIT - len(OFFICIAL)
    yield Variable(
        "unfit",
        "whether the new name would be invalid or too long",
        f"variables.candidates.transformList(n, name,\n"
        f"  name != '' && name + variables.suffixes[n] != variables.images[n] && !(name.contains('/')\n"
        f"  && (name.matches({string(_ON_DOCKER_HUB)})\n"
        f"  ? name != variables.targets[n] && name.size() <= {longest}\n"
        f"  : name.size() - name.indexOf('/') - 1 <= {PATH_LIMIT})))",
    )
    yield Variable(
        "resolved",
        "the images to use",
        "variables.candidates.transformList(n, name,\n"
        "  name == '' || variables.unfit[n] ? variables.images[n] : name + variables.suffixes[n])",
    )
