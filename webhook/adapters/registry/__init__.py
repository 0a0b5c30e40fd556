"""A container registry, asked whether it accepts a credential before that is published, and whether it has an image.

`check` knows how registries let one log in, `presence` how one asks for an image, `challenge` what they ask for,
`transport` how to send one request and bear whatever comes back, `proxy` which way it goes. No text that a server sent
leaves this room but the name of a host, escaped and cut; neither does a password, a token or a header.
"""

from webhook.adapters.registry.check import Answer, Registry, Verdict
from webhook.adapters.registry.logins import Logins
from webhook.adapters.registry.presence import Images, Look, Presence

__all__ = ["Answer", "Images", "Logins", "Look", "Presence", "Registry", "Verdict"]
