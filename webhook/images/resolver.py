"""Resolve an image reference to the image to use, with the reason: the one place where that is decided.

The result depends on the reference and the configuration alone, and resolving is idempotent.
"""

from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from webhook.errors import InvalidReference
from webhook.images import prefix, reference
from webhook.images.patterns import Globs
from webhook.images.rules import Rules
from webhook.log import shorten
from webhook.settings import Configuration, RuleSettings

_CACHE_SIZE = 4096
#: A longer text is valid only with an absurdly long registry, and is not worth its place in the cache.
_CACHED_LENGTH = 512
#: How much is shown of a text that stays as it is.
_SHOWN = 128
#: Longer than any reference whose registry DNS can resolve and whose port has no leading zeros.
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


class Resolution(Struct, frozen=True, gc=False):
    """The result for one reference."""

    image: str
    """The image to use: the reference as written, or what it is rewritten to."""
    reason: Reason
    detail: str
    """The reason in words, with the rule, pattern or registry that decided."""
    rewritten: bool
    """Whether `image` differs from what was written."""
    private: bool
    """Whether the image is pulled with our credential, from the server, a rule's target or a further registry."""
    description: str
    """The whole in words, escaped and bounded: `nginx -> registry.example.com/nginx (names no registry: ...)`."""
    rule: str | None = None
    """The rule that rewrote it, `quay.io -> registry.example.com/quay`."""


class Resolver:
    """Resolves references by one configuration."""

    def __init__(self, settings: Configuration) -> None:
        """Compile the rules. Raises `ConflictingRules`, for which a loaded configuration has been checked."""
        self._rules = Rules(settings.webhook.rules, settings.registry.server)
        self._exclude = Globs(settings.webhook.exclude)
        self._private = frozenset(map(prefix.canonical, settings.private_prefixes))
        self._cached = lru_cache(_CACHE_SIZE)(self._resolve)

    def resolve(self, written: str) -> Resolution:
        """Resolve one reference, in time linear in its length whatever it holds."""
        return self._cached(written) if len(written) <= _CACHED_LENGTH else self._resolve(written)

    def _resolve(self, written: str) -> Resolution:
        try:
            parsed = reference.parse(written)
        except InvalidReference as error:
            return _kept(written, Reason.INVALID, f"no image reference: {error}", private=False)
        name = parsed.canonical_name
        here = prefix.longest(self._private, name)
        private = here is not None
        pattern = self._exclude.match(name)
        if pattern is not None:
            return _kept(written, Reason.EXCLUDED, f"excluded by {pattern}", private=private)
        image, rule, below = self._rules.step(written, parsed)
        if image != written:
            return self._rewritten(written, image, rule, below)
        if rule is not None:
            return _kept(written, Reason.ALREADY_PREFIXED, f"already below {rule.target}", private=private)
        if not parsed.qualified:
            return _kept(written, Reason.NO_REGISTRY, "names no registry, and none is configured", private=private)
        if private:
            return _kept(written, Reason.ALREADY_PREFIXED, f"already below {here}", private=private)
        return _kept(
            written, Reason.QUALIFIED, f"names its registry, {shorten(parsed.domain, _SHOWN)}", private=private
        )

    def _rewritten(self, written: str, image: str, rule: RuleSettings | None, below: str) -> Resolution:
        target = rule.target if rule else self._rules.server or ""
        try:
            result = reference.parse(image)
        except InvalidReference as error:
            return _kept(written, Reason.TOO_LONG, f"{target} does not fit in front: {error}", private=False)
        if not (result.qualified and prefix.covers(below, result.canonical_name)):
            # A rule whose source is the whole name and whose target is a bare registry leaves no name.
            return _kept(written, Reason.TOO_LONG, f"{target} leaves no name for it", private=False)
        detail = f"rule {rule}" if rule else f"names no registry: {target} goes in front"
        reason = Reason.RULE if rule else Reason.SERVER
        account = f"{shorten(written, _LONGEST)} -> {shorten(image, _LONGEST)} ({detail})"
        by = str(rule) if rule else None
        return Resolution(image, reason, detail, rewritten=True, private=True, description=account, rule=by)


def never_pulled(written: str) -> Resolution:
    """Return what an image with the pull policy Never resolves to: itself, because no registry is asked for it."""
    return _kept(written, Reason.NEVER_PULLED, "its pull policy is Never", private=False)


def _kept(written: str, reason: Reason, detail: str, *, private: bool) -> Resolution:
    account = f"{shorten(written, _SHOWN)} stays ({detail})"
    return Resolution(written, reason, detail, rewritten=False, private=private, description=account)
