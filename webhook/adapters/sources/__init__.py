"""Where a credential comes from: the configuration, a file with a password, a docker `config.json`, or a helper.

`choice` takes the one that the configuration names, `wanted` says what a credential is needed for. Each source reads
anew whenever it is asked. What is wrong with one is said when it is read, never when the program starts: a webhook
whose pull secret cannot be kept current still serves.
"""

from webhook.adapters.sources.choice import source
from webhook.adapters.sources.reading import Reading, Source

__all__ = ["Reading", "Source", "source"]
