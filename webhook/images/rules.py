"""Rewrite rules from one prefix to another, and the default that prefixes unqualified names with the server.

Rules match the canonical name by whole path components, and the longest `from` wins. Only one rule is applied, so that
resolving is idempotent; rules that would chain are rejected at load time.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Self

from msgspec import Struct

from webhook.errors import ConflictingRules, InvalidReference
from webhook.images import prefix, reference
from webhook.images.reference import Reference
from webhook.settings import RuleSettings


class Rewrite(Struct, frozen=True, gc=False):
    """A rule, or the default for unqualified names, prepared for all images that it applies to."""

    rule: RuleSettings | None
    """None for the default."""
    target: str
    canonical_target: str
    detail: str
    """The reason in words that is reported for images that it rewrites."""
    name: str | None
    """The rule as a string."""

    @classmethod
    def by_rule(cls, rule: RuleSettings) -> Self:
        return cls(rule, rule.target, prefix.canonical(rule.target), f"rule {rule}", str(rule))

    @classmethod
    def by_default(cls, server: str) -> Self:
        detail = f"no registry specified, prefixed with {server}"
        return cls(None, server, prefix.canonical(server), detail, None)


class Step(Struct, frozen=True, gc=False):
    """The result of applying the rules to one reference."""

    image: str
    """The image to use, rewritten or as written."""
    rewrite: Rewrite | None = None
    """The rule with the longest `from` that covers the reference, or the default if it applies."""
    is_source: bool = False
    """Whether the reference's name is that `from`, so that the image is named as the target."""


class Rules:
    """A consistent set of rules, with the server for unqualified names, a normalized prefix.

    Raises `ConflictingRules` if two rules contradict each other, one has no effect, or one would rewrite the result of
    another.
    """

    def __init__(self, rules: Sequence[RuleSettings], server: str | None) -> None:
        self.rules = tuple(rules)
        self._default = None if server is None else Rewrite.by_default(server)
        self._by_source: dict[str, Rewrite] = {}
        for index, rule in enumerate(rules):
            source, rewrite = prefix.canonical(rule.source), Rewrite.by_rule(rule)
            target = rewrite.canonical_target
            earlier = self._by_source.setdefault(source, rewrite)
            if earlier.canonical_target != target:
                problem = f"another rule rewrites {rule.source} to {earlier.target}"
                raise ConflictingRules(index, "from", problem, "keep one of the two rules")
            if source != target and prefix.covers(target, source):
                problem = f"the rule has no effect, because every image below {rule.source} is also below {rule.target}"
                raise ConflictingRules(index, "to", problem, "remove the rule, or write another target")
        self._check_for_chains()

    def step(self, written: str, parsed: Reference, name: str) -> Step:
        """Apply the rules to the reference `written`; `parsed` has its parts, and `name` is its canonical name.

        A name already below the rule's target is unchanged. So is a qualified name that no rule covers, and an
        unqualified one if there is no server.
        """
        source = prefix.longest(self._by_source, name)
        if source is not None:
            rewrite = self._by_source[source]
            if prefix.covers(rewrite.canonical_target, name):
                return Step(written, rewrite)
            return Step(rewrite.target + name[len(source) :] + parsed.suffix, rewrite, source == name)
        if parsed.qualified or self._default is None:
            return Step(written)
        return Step(f"{self._default.target}/{written}", self._default)

    def _check_for_chains(self) -> None:
        for first, written in self._chain_candidates():
            once = self._image(written)
            twice = self._image(once)
            if once == twice:
                continue
            second = self._step(once).rewrite
            index = self.rules.index(second.rule) if second and second.rule else -1
            origin = f"the rule {first.name}" if first.rule else f"the server {first.target}"
            example = f"{written} would become {once} and then {twice}"
            problem = f"the result of {origin} would be rewritten again, for example {example}"
            raise ConflictingRules(index, "from", problem, "write rules that reach the final name in one step")

    def _image(self, written: str) -> str:
        try:
            return self._step(written).image
        except InvalidReference:
            return written

    def _step(self, written: str) -> Step:
        parsed = reference.parse(written)
        return self.step(written, parsed, parsed.canonical_name)

    def _chain_candidates(self) -> Iterator[tuple[Rewrite, str]]:
        """Yield references to test, each with what applies first; if any is rewritten twice, one of these is.

        A rule's result is rewritten again only if another rule's source covers its target or is below it. In the first
        case any name below the target shows it; in the second, a name that is rewritten to that source.
        """
        if not self.rules:
            return
        sources = sorted(self._by_source)
        unused = "image"
        while any(unused in source for source in sources):
            unused += "-x"
        rewrites = [(rewrite, f"{source}/") for source, rewrite in self._by_source.items()]
        if self._default is not None:
            rewrites.append((self._default, ""))
        for rewrite, source_prefix in rewrites:
            below_target = f"{rewrite.canonical_target}/"
            # On Docker Hub a single component is below library/, where another rule may apply.
            yield rewrite, f"{source_prefix}{unused}"
            yield rewrite, f"{source_prefix}{unused}/{unused}"
            for source in sources[bisect_left(sources, below_target) :]:
                if not source.startswith(below_target):
                    break
                below = source[len(below_target) :]
                # On Docker Hub a single component is written without library/.
                for rest in {below, below.removeprefix(reference.OFFICIAL)}:
                    yield rewrite, f"{source_prefix}{rest}"
                    yield rewrite, f"{source_prefix}{rest}/{unused}"
