"""Rules: from one prefix to another, and the default one that puts the server in front of unqualified names.

Rules are matched with the canonical name, on whole path components, and the longest `from` wins. One step is taken and
no more, so resolving twice must give what once gave; rules for which it would not are refused when they are loaded.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from webhook.errors import ConflictingRules, InvalidReference
from webhook.images import prefix, reference
from webhook.images.reference import Reference
from webhook.settings import RuleSettings


class Step(NamedTuple):
    """The result of the rules for one reference."""

    image: str
    """The image to use, which may be the one that was written."""
    rule: RuleSettings | None
    """The longest rule that covers the reference."""
    below: str = ""
    """The prefix that a new image must be below, in canonical form."""


class _Compared(NamedTuple):
    """A rule with its target in canonical form."""

    rule: RuleSettings
    target: str


class Rules:
    """An accepted set of rules, with the server that unqualified names get."""

    def __init__(self, rules: Sequence[RuleSettings], server: str | None) -> None:
        """Compile rules and server, whose prefixes are normalised.

        Raises `ConflictingRules` when two rules contradict each other, when one could never apply, or when the result
        of one would be rewritten again.
        """
        self.server = server
        self._server = prefix.canonical(server or "")
        self.rules = tuple(rules)
        self._by_source: dict[str, _Compared] = {}
        for index, rule in enumerate(rules):
            source, target = prefix.canonical(rule.source), prefix.canonical(rule.target)
            earlier = self._by_source.setdefault(source, _Compared(rule, target))
            if earlier.target != target:
                problem = f"{rule.source} is already rewritten to {earlier.rule.target}: keep one of the two"
                raise ConflictingRules(index, "from", problem)
            if source != target and prefix.covers(target, source):
                problem = f"everything below {rule.source} is already below {rule.target}: the rule would do nothing"
                raise ConflictingRules(index, "to", problem)
        self._refuse_what_is_rewritten_twice()

    def step(self, written: str, parsed: Reference) -> Step:
        """Apply the longest rule, or the server, to the reference `written`, whose parts are `parsed`.

        A rule never touches what is already below its target. A qualified name that no rule covers stays, and so does
        an unqualified one where there is no server.
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

    def _refuse_what_is_rewritten_twice(self) -> None:
        for maker, written in self._witnesses():
            once = self._image(written)
            twice = self._image(once)
            if once == twice:
                continue
            taker = self.step(once, reference.parse(once)).rule
            index = self.rules.index(taker) if taker else -1
            origin = f"the rule {maker}" if maker else f"the server {self.server}"
            example = f"{written} would become {once} and then {twice}"
            problem = f"rewrites again what {origin} makes ({example}): images must reach their last place in one step"
            raise ConflictingRules(index, "from", problem)

    def _image(self, written: str) -> str:
        try:
            return self.step(written, reference.parse(written)).image
        except InvalidReference:
            return written

    def _witnesses(self) -> Iterator[tuple[RuleSettings | None, str]]:
        """Yield references that would change twice if any would, each with the rule that changes it first.

        What a rule makes is changed again only when another's source covers its target, or stands below it. For the
        first any name below the target will do; for each source below the target, one that leads there.
        """
        if not self.rules:
            return
        sources = sorted(self._by_source)
        fresh = "image"
        while any(fresh in source for source in sources):
            fresh += "-x"
        makers: list[tuple[RuleSettings | None, str, str]] = [
            (rule, f"{source}/", target) for source, (rule, target) in self._by_source.items()
        ]
        if self.server is not None:
            makers.append((None, "", self._server))
        for maker, before, target in makers:
            # On Docker Hub a single component stands below library/, where another rule may hold.
            yield maker, f"{before}{fresh}"
            yield maker, f"{before}{fresh}/{fresh}"
            for source in sources[bisect_left(sources, f"{target}/") :]:
                if not source.startswith(f"{target}/"):
                    break
                below = source[len(target) + 1 :]
                # Below Docker Hub a single component is written without its library/.
                for rest in {below, below.removeprefix(reference.OFFICIAL)}:
                    yield maker, f"{before}{rest}"
                    yield maker, f"{before}{rest}/{fresh}"
