"""Which published entries to retain although the last reading of their provider lacks them."""

from collections.abc import Iterable

from webhook.pull_secret import keyring
from webhook.pull_secret.credential import Entry


def retained(
    published: Iterable[Entry], read: Iterable[Entry], prefixes: Iterable[str], unusable: Iterable[str]
) -> tuple[Entry, ...]:
    """Return the published entries that a reading has no better one for.

    Those are the entries that kubelet would use for an image below one of the configured `prefixes` for which the
    reading has none, and those whose keys the provider named without a usable credential. What the configuration no
    longer names is not retained.
    """
    known = tuple(read)
    keys = {keyring.keyring_key(entry.key) for entry in known}
    lacking = [entry for entry in published if keyring.keyring_key(entry.key) not in keys]
    if not lacking:
        return ()
    named = frozenset(unusable)
    found = {entry.key: entry for entry in lacking if entry.key in named}
    for prefix in prefixes:
        image = f"{prefix}/image"
        if (candidates := keyring.lookup(lacking, image)) and not keyring.lookup(known, image):
            found |= {entry.key: entry for entry in candidates}
    return tuple(found.values())
