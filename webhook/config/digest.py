"""Which configuration is in force, in a few characters: the same for all that decide alike.

Both processes of every replica, the commands and the generated policies say it, so that it can be seen whether they go
by the same. It tells nothing of what it was made of.
"""

from hashlib import sha256

import msgspec

from webhook.settings import Configuration

#: Hexadecimal digits, 48 bits: enough to tell the configurations of a cluster apart.
_DIGITS = 12
#: What decides what becomes of a Pod and of a namespace. No credential is among it, not even hashed: a guess could be
#: tried on it.
_DECIDING = ("rules", "exclude", "namespaces", "pod_opt_out", "pull_secret", "on_error")


def fingerprint(configuration: Configuration) -> str:
    """Give the first 12 hexadecimal digits of the SHA-256 of all that decides, as JSON with sorted keys.

    What is written in another way and means the same, such as a default that is written out, has the same one; the
    order of lists counts.
    """
    webhook = msgspec.to_builtins(configuration.webhook)
    deciding = {"server": configuration.registry.server, **{key: webhook[key] for key in _DECIDING}}
    return sha256(msgspec.json.encode(deciding, order="sorted")).hexdigest()[:_DIGITS]
