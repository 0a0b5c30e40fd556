"""Parse a docker `config.json`: which entries of its `auths` kubelet can use, and why the others are left out.

`docker login` writes this format, and `.dockerconfigjson` holds it:
https://docs.docker.com/reference/cli/docker/login/#credential-stores. One entry that kubelet cannot decode would break
the whole Secret, so those are left out, each with a note. Neither a note nor an error shows a value, nor a key that is
not a registry's, because a password may have been written into it.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any

from webhook.errors import CredentialProviderError, InvalidCredential
from webhook.pull_secret import keyring
from webhook.pull_secret.credential import (
    DOCKER_HUB_KEY,
    TOKEN_USERNAME,
    Entry,
    accepts_identity_tokens,
    check_key,
    create_entry,
)

#: The most entries of `auths`: more than anyone needs.
LIMIT = 1000

#: An object with one of these members is an entry.
_LOGIN = frozenset({"auth", "username", "password", "identitytoken"})
_MANIFEST = re.compile(rb"^kind: *[\"']?Secret", re.MULTILINE)
_IS_MANIFEST = "expected a docker config.json, found a Kubernetes manifest"
_EXTRACT = "kubectl get secret NAME -o jsonpath='{.data.\\.dockerconfigjson}' | base64 -d"
_TEXTS = ("username", "password", "auth", "email", "identitytoken", "registrytoken")


class _Object(tuple[tuple[str, Any], ...]):
    """A JSON object as its members in order, to detect duplicates."""

    __slots__ = ()


def parse(content: bytes) -> tuple[list[Entry], list[str]]:
    """Return the entries that kubelet can use, one for each of its keyring keys, and notes about the others.

    Raises `CredentialProviderError`, with the JSON path, if it is not such a file.
    """
    auths = _auths(content)
    if not auths:
        return [], _elsewhere(content)
    if len(auths) > LIMIT:
        raise CredentialProviderError(f"auths has {len(auths)} entries; the limit is {LIMIT}")
    entries, notes = [], []
    for number, (key, value) in enumerate(auths.items(), 1):
        where = _where(key, number)
        try:
            entries.append(_entry(key, _members(value, where), where))
        except (InvalidCredential, CredentialProviderError) as error:
            notes.append(f"{where} is ignored: {error.one_line}")
    return _merged(entries, notes), notes


def auth_keys(content: bytes) -> frozenset[str]:
    """Return the keys that a document names, whether or not their entries can be used.

    Raises `CredentialProviderError`.
    """
    return frozenset(_auths(content))


def _auths(content: bytes) -> dict[str, Any]:
    """Find the entries: under `auths`, or at the top as in the legacy `.dockercfg`.

    Raises `CredentialProviderError`.
    """
    members = _members(_decoded(content), "the file")
    found = _any_case(members)
    if "auths" in found:
        return _members(found["auths"], "auths")
    if found.get("kind") in {"Secret", "List"}:
        raise CredentialProviderError(_IS_MANIFEST, hint=_EXTRACT)
    return members if members and all(map(_is_login, members.values())) else {}


def _is_login(value: Any) -> bool:
    return isinstance(value, _Object) and bool(_LOGIN & _any_case(dict(value)).keys())


def _elsewhere(content: bytes) -> list[str]:
    """Return a note that names where the credentials of a file without entries are."""
    found = _any_case(_members(_decoded(content), "the file"))
    stores = [name for name in ("credHelpers", "credsStore") if found.get(name.lower())]
    if not stores:
        return []
    names = " and ".join(stores)
    return [f"the file has no credential but {names}; set webhook.credential.helper to that credential helper"]


def _any_case(members: dict[str, Any]) -> dict[str, Any]:
    """Return members by their names in lower case: docker and kubelet ignore case."""
    return {name.lower(): value for name, value in members.items()}


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_Object)
    except UnicodeDecodeError:
        raise CredentialProviderError("invalid JSON: not UTF-8") from None
    except json.JSONDecodeError as error:
        if _MANIFEST.search(content):
            raise CredentialProviderError(_IS_MANIFEST, hint=_EXTRACT) from None
        raise CredentialProviderError(f"invalid JSON at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise CredentialProviderError("invalid JSON: nested too deeply, or a number is too long") from None


def _members(value: Any, where: str) -> dict[str, Any]:
    """Return an object's members; a value that is absent or null has none."""
    if value is None:
        return {}
    if not isinstance(value, _Object):
        raise CredentialProviderError(f"{where} must be a JSON object")
    members = dict(value)
    if len(members) != len(value):
        raise CredentialProviderError(f"{where} has a duplicate key", hint="remove one of the two")
    return members


def _where(key: str, number: int) -> str:
    try:
        check_key(key)
    except InvalidCredential:
        return f"entry {number} of auths"
    return f'auths["{key}"]'


def _entry(key: str, members: dict[str, Any], where: str) -> Entry:
    """Create an entry as docker and kubelet read it: `auth`, if present, takes precedence over the other two."""
    found = _any_case(members)
    texts = {name: found.get(name) or "" for name in _TEXTS}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InvalidCredential(f"{where}.{name} is not a string")
    check_key(key)
    if texts["identitytoken"] and accepts_identity_tokens(key):
        return create_entry(key, TOKEN_USERNAME, texts["identitytoken"], texts["email"])
    if texts["identitytoken"] or texts["registrytoken"]:
        raise InvalidCredential("the kubelet does not support tokens", hint="use a username and password")
    username, password = texts["username"], texts["password"]
    if texts["auth"]:
        username, password = _user_and_password(texts["auth"])
    if not username and not password:
        hint = "docker may have stored them in a credential store or helper"
        raise InvalidCredential("no username and password", hint=hint)
    return create_entry(key, username, password, texts["email"])


def _user_and_password(auth: str) -> tuple[str, str]:
    """Decode `auth`; kubelet accepts it with or without padding, and with line breaks."""
    packed = "".join(auth.split())
    try:
        text = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True).decode()
    except ValueError:
        raise InvalidCredential("auth is not a base64-encoded UTF-8 string") from None
    username, colon, password = text.partition(":")
    if not colon:
        raise InvalidCredential("auth has no colon between username and password")
    return username, password


def _merged(entries: Iterable[Entry], notes: list[str]) -> list[Entry]:
    """Keep one entry for each keyring key of kubelet, which would try two in random order.

    As in docker, that is the one whose key `docker login` writes today, or else the last one.
    """
    kept: dict[str, Entry] = {}
    for entry in entries:
        place = keyring.keyring_key(entry.key) or entry.key
        earlier = kept.get(place, entry)
        left, out = (earlier, entry) if earlier.key == _todays_key(place) else (entry, earlier)
        kept[place] = left
        if (left.username, left.password) != (out.username, out.password):
            notes.append(f"{out.key} is ignored: for the kubelet it is the same key as {left.key}")
    return list(kept.values())


def _todays_key(place: str) -> str:
    return DOCKER_HUB_KEY if place == keyring.DEFAULT else place
