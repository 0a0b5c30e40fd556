"""All registries of a docker `config.json`; the configuration's own username and password take precedence."""

from pathlib import Path

from webhook.credentials import provider
from webhook.credentials.provider import CredentialResult
from webhook.credentials.static import StaticProvider
from webhook.credentials.targets import Targets
from webhook.errors import CredentialProviderError, InvalidPrefix
from webhook.images import prefix
from webhook.log import escape
from webhook.pull_secret import dockerconfigjson, keyring
from webhook.pull_secret.credential import Credential, Entry

_KEY = "webhook.credential.docker_config"


class DockerConfigProvider:
    """A file written by `docker login`, or a mounted pull secret. `own` has the server's own credential, if set."""

    def __init__(self, targets: Targets, own: StaticProvider, path: Path) -> None:
        self._targets = targets
        self._own = own
        self._path = path

    def read(self) -> CredentialResult:
        """Read the file's entries, and replace those that the server's own credential covers."""
        where = escape(str(self._path))
        content = provider.read_file(_KEY, self._path)
        try:
            found, notes = dockerconfigjson.parse(content)
        except CredentialProviderError as error:
            error.message, error.where = f"{_KEY}: {error.message}", where
            raise
        own = self._own.entries()
        replaced = {_prefix(entry) for entry in own}
        kept = [entry for entry in found if _prefix(entry) not in replaced]
        entries = (*own, *kept)
        if not entries:
            if notes:
                raise CredentialProviderError(f"{_KEY}: {notes[0]}", where=where)
            raise CredentialProviderError(f"{_KEY}: auths has no entry", where=where, hint="log in to a registry")
        notes += [
            f"{entry.key} is ignored: the username and password in the configuration replace it"
            for entry in found
            if entry not in kept
        ]
        unusable = dockerconfigjson.auth_keys(content) - {entry.key for entry in found}
        return CredentialResult(Credential(entries), (*notes, *self._targets.uncovered(entries)), tuple(unusable))

    def fingerprint(self) -> bytes:
        return provider.fingerprint(self._path) + (self._own.fingerprint() or b"")


def _prefix(entry: Entry) -> str:
    """Return the normalized prefix of a key, or its keyring key if that is not a prefix, such as one with a glob."""
    place = keyring.keyring_key(entry.key) or entry.key
    try:
        return prefix.normalize(place)
    except InvalidPrefix:
        return place
