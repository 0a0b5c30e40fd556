"""Rewrite rules from one prefix to another, and the default that prefixes unqualified names with the server.

Rules match the canonical name by whole path components, and the longest `from` wins. Only one rule is applied, so that
resolving is idempotent; rules that would chain are rejected at load time.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webhook.errors import ConflictingRules, InvalidReference
from webhook.images import prefix, reference
from webhook.images.reference import Reference
from webhook.settings import RuleSettings


class Step(NamedTuple):
    """The result of applying the rules to one reference."""

    image: str
    """The image to use, rewritten or as written."""
    rule: RuleSettings | None
    """The rule with the longest `from` that covers the reference."""
    target: str = ""
    """The prefix of a rewritten image, in canonical form."""


class _CompiledRule(NamedTuple):
    """A rule with its target in canonical form."""

    rule: RuleSettings
    target: str


class Rules:
    """A consistent set of rules, with the server for unqualified names, a normalized prefix.

    Raises `ConflictingRules` if two rules contradict each other, one has no effect, or one would rewrite the result of
    another.
    """

    def __init__(self, rules: Sequence[RuleSettings], server: str | None) -> None:
        self.server = server
        self._server = prefix.canonical(server or "")
        self.rules = tuple(rules)
        self._by_source: dict[str, _CompiledRule] = {}
        for index, rule in enumerate(rules):
            source, target = prefix.canonical(rule.source), prefix.canonical(rule.target)
            earlier = self._by_source.setdefault(source, _CompiledRule(rule, target))
            if earlier.target != target:
                problem = f"another rule rewrites {rule.source} to {earlier.rule.target}"
                raise ConflictingRules(index, "from", problem, "keep one of the two rules")
            if source != target and prefix.covers(target, source):
                problem = f"the rule has no effect, because every image below {rule.source} is also below {rule.target}"
                raise ConflictingRules(index, "to", problem, "remove the rule, or write another target")
        self._check_for_chains()

    def step(self, written: str, parsed: Reference) -> Step:
        """Apply the rules to the reference `written`; `parsed` has its parts.

        A name already below the rule's target is unchanged. So is a qualified name that no rule covers, and an
        unqualified one if there is no server.
        """
        name = parsed.canonical_name
        source = prefix.longest(self._by_source, name)
        if source is not None:
            rule, target = self._by_source[source]
            if prefix.covers(target, name):
                return Step(written, rule)
            return Step(rule.target + name[len(source) :] + parsed.suffix, rule, target)
        if parsed.qualified or self.server is None:
            return Step(written, None)
        return Step(f"{self.server}/{written}", None, self._server)

    def _check_for_chains(self) -> None:
        for first, written in self._chain_candidates():
            once = self._image(written)
            twice = self._image(once)
            if once == twice:
                continue
            second = self.step(once, reference.parse(once)).rule
            index = self.rules.index(second) if second else -1
            origin = f"the rule {first}" if first else f"the server {self.server}"
            example = f"{written} would become {once} and then {twice}"
            problem = f"the result of {origin} would be rewritten again, for example {example}"
            raise ConflictingRules(index, "from", problem, "write rules that reach the final name in one step")

    def _image(self, written: str) -> str:
        try:
            return self.step(written, reference.parse(written)).image
        except InvalidReference:
            return written

    def _chain_candidates(self) -> Iterator[tuple[RuleSettings | None, str]]:
        """Yield references to test, each with the rule that applies first; if any is rewritten twice, one of these is.

        A rule's result is rewritten again only if another rule's source covers its target or is below it. In the first
        case any name below the target shows it; in the second, a name that is rewritten to that source.
        """
        if not self.rules:
            return
        sources = sorted(self._by_source)
        unused = "image"
        while any(unused in source for source in sources):
            unused += "-x"
        rewrites: list[tuple[RuleSettings | None, str, str]] = [
            (rule, f"{source}/", target) for source, (rule, target) in self._by_source.items()
        ]
        if self.server is not None:
            rewrites.append((None, "", self._server))
        for rule, source_prefix, target in rewrites:
            # On Docker Hub a single component is below library/, where another rule may apply.
            yield rule, f"{source_prefix}{unused}"
            yield rule, f"{source_prefix}{unused}/{unused}"
            for source in sources[bisect_left(sources, f"{target}/") :]:
                if not source.startswith(f"{target}/"):
                    break
                below = source[len(target) + 1 :]
                # On Docker Hub a single component is written without library/.
                for rest in {below, below.removeprefix(reference.OFFICIAL)}:
                    yield rule, f"{source_prefix}{rest}"
                    yield rule, f"{source_prefix}{rest}/{unused}"
