"""A container registry, asked whether it accepts a credential before that is published.

`check` knows how registries let one log in, `challenge` what they ask for, `transport` how to send one request and
bear whatever comes back, `proxy` which way it goes. No text that a server sent leaves this room but the name of a host,
escaped and cut; neither does a password, a token or a header.
"""

from webhook.adapters.registry.check import Answer, Registry, Verdict

__all__ = ["Answer", "Registry", "Verdict"]
