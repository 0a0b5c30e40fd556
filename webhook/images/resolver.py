"""Resolve image references: which image to use, and why.

The result depends only on the reference and the configuration, and resolving is idempotent.
"""

from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from webhook.errors import InvalidReference
from webhook.images import prefix, reference
from webhook.images.patterns import Globs
from webhook.images.rules import Rewrite, Rules
from webhook.log import shorten
from webhook.log.escaping import truncate
from webhook.settings import Configuration

_CACHE_SIZE = 4096
#: Longer references are not cached: they are invalid or have an implausibly long registry.
_CACHED_LENGTH = 512
#: Characters shown of an unchanged reference.
_SHOWN = 128
#: Characters shown of a rewritten reference: enough for any whose registry DNS can resolve.
_LONGEST = 1024


class Reason(StrEnum):
    """Why a reference was rewritten, or was not."""

    SERVER = "server"
    RULE = "rule"
    ALREADY_PREFIXED = "already-prefixed"
    QUALIFIED = "qualified"
    EXCLUDED = "excluded"
    NO_REGISTRY = "no-registry"
    INVALID = "invalid"
    TOO_LONG = "too-long"
    NEVER_PULLED = "never-pulled"

    # Of the value, so that metrics are counted by it. Enum's is of the name, and takes a call of Python code.
    __hash__ = str.__hash__


class Resolution(Struct, frozen=True, gc=False):
    """The result for one reference."""

    written: str
    image: str
    """The image to use, rewritten or as written."""
    reason: Reason
    detail: str
    """The reason in words, with the deciding rule, pattern or registry."""
    private: bool
    """Whether the pull secret applies: the image is on the server, a rule's target or a further registry."""
    rule: str | None = None
    """The rule that rewrote it, `quay.io -> registry.example.com/quay`."""

    @property
    def rewritten(self) -> bool:
        return self.image != self.written

    @property
    def description(self) -> str:
        """The result in words, escaped and shortened: `nginx -> registry.example.com/nginx (no registry ...)`."""
        if self.rewritten:
            # Both are valid, and so printable ASCII.
            return f"{truncate(self.written, _LONGEST)} -> {truncate(self.image, _LONGEST)} ({self.detail})"
        shown = shorten(self.written, _SHOWN)
        # Quotes show where it ends.
        quoted = f'"{shown}"' if not self.written or " " in self.written else shown
        return f"{quoted} unchanged ({self.detail})"


class Resolver:
    """Resolves references for one configuration.

    Raises `ConflictingRules`, which does not occur for a configuration that was loaded.
    """

    def __init__(self, settings: Configuration) -> None:
        self._rules = Rules(settings.webhook.rules, settings.registry.server)
        self._exclude = Globs(settings.webhook.exclude)
        self._private = frozenset(map(prefix.canonical, settings.private_prefixes))
        self._cached = lru_cache(_CACHE_SIZE)(self._resolve)

    def resolve(self, written: str) -> Resolution:
        """Resolve any string, in time linear in its length."""
        return self._cached(written) if len(written) <= _CACHED_LENGTH else self._resolve(written)

    def _resolve(self, written: str) -> Resolution:
        try:
            parsed = reference.parse(written)
        except InvalidReference as error:
            return _unchanged(written, Reason.INVALID, f"not an image name: {error}", private=False)
        name = parsed.canonical_name
        pattern = self._exclude.match(name)
        if pattern is not None:
            private = prefix.longest(self._private, name) is not None
            return _unchanged(written, Reason.EXCLUDED, f"excluded by {pattern}", private=private)
        step = self._rules.step(written, parsed, name)
        rewrite = step.rewrite
        if rewrite is not None and step.image != written:
            return _rewritten(written, step.image, rewrite, certain=not step.is_source)
        private_prefix = prefix.longest(self._private, name)
        private = private_prefix is not None
        if rewrite is not None or (private and parsed.qualified):
            target = rewrite.target if rewrite else private_prefix
            return _unchanged(written, Reason.ALREADY_PREFIXED, f"already under {target}", private=private)
        if not parsed.qualified:
            detail = "no registry specified, and none configured"
            return _unchanged(written, Reason.NO_REGISTRY, detail, private=private)
        detail = f"specifies its registry, {shorten(parsed.domain, _SHOWN)}"
        return _unchanged(written, Reason.QUALIFIED, detail, private=private)


def _rewritten(written: str, image: str, rewrite: Rewrite, *, certain: bool) -> Resolution:
    # Prefix and reference are valid, and so is a name below the prefix, unless its path is too long.
    if not certain or len(image) > reference.PATH_LIMIT:
        problem = _why_unusable(image, rewrite)
        if problem is not None:
            return _unchanged(written, Reason.TOO_LONG, problem, private=False)
    reason = Reason.RULE if rewrite.rule else Reason.SERVER
    return Resolution(written, image, reason, rewrite.detail, private=True, rule=rewrite.name)


def _why_unusable(image: str, rewrite: Rewrite) -> str | None:
    """Return why the result of rewriting is not an image below the target, or None."""
    try:
        result = reference.parse(image)
    except InvalidReference as error:
        return f"cannot be prefixed with {rewrite.target}: {error}"
    if result.qualified and prefix.covers(rewrite.canonical_target, result.canonical_name):
        return None
    # The rule's source is the whole name and its target a bare registry.
    return f"rule {rewrite.name} leaves no image name"


def never_pulled(written: str) -> Resolution:
    """Return the resolution of an image with pull policy Never, which is unchanged because it is never pulled."""
    return _unchanged(written, Reason.NEVER_PULLED, "pull policy is Never", private=False)


def _unchanged(written: str, reason: Reason, detail: str, *, private: bool) -> Resolution:
    return Resolution(written, written, reason, detail, private=private)
