"""Checks that the API knows an object: all fields, their types, and required fields.

Uses the models of the Kubernetes client, which are generated from the API's description, and a copy of cert-manager's.
"""

import re
from typing import Annotated, Any, Literal

import kubernetes.client
import msgspec
from msgspec import Meta, Struct
from pydantic import BaseModel, ValidationError

from .kustomize import Manifest


class Invalid(Exception):
    """An object that the API would reject."""


def check(manifest: Manifest) -> None:
    """Raise `Invalid` if the API would reject the object."""
    group, _, _ = manifest["apiVersion"].rpartition("/")
    if group == "cert-manager.io":
        _check_certificate(manifest)
        return
    is_namespaced(manifest)
    version = manifest["apiVersion"].rpartition("/")[2]
    model: type[BaseModel] = getattr(kubernetes.client, version.capitalize() + manifest["kind"])
    try:
        read = model.model_validate(manifest)
    except ValidationError as error:
        raise Invalid(str(error)) from None
    # The models also accept a field's name in Python, which the API does not.
    written = read.model_dump(by_alias=True, exclude_unset=True)
    if written != manifest:
        raise Invalid(f"it is read as {written}")


def is_namespaced(manifest: Manifest) -> bool:
    """Return whether objects of this kind are namespaced. Raises `Invalid` for an unknown kind."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    if group == "cert-manager.io":
        return True
    words = [word.capitalize() for word in group.removesuffix(".k8s.io").split(".")]
    api = getattr(kubernetes.client, f"{''.join(words) or 'Core'}{version.capitalize()}Api", None)
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", manifest["kind"]).lower()
    if hasattr(api, f"create_namespaced_{kind}"):
        return True
    if hasattr(api, f"create_{kind}"):
        return False
    raise Invalid(f"{manifest['apiVersion']} knows no {manifest['kind']}")


# https://cert-manager.io/docs/reference/api-docs/, as far as it is used.


class _Strict(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    pass


class _Metadata(_Strict, frozen=True):
    name: str
    namespace: str
    labels: dict[str, str] = {}


class _Authority(_Strict, frozen=True):
    secret_name: str


class _IssuerSpec(_Strict, frozen=True):
    self_signed: dict[Literal["crlDistributionPoints"], list[str]] | None = None
    ca: _Authority | None = None

    def __post_init__(self) -> None:
        if (self.self_signed is None) == (self.ca is None):
            raise ValueError("an Issuer is of one kind")


class _Issuer(_Strict, frozen=True):
    api_version: Literal["cert-manager.io/v1"]
    kind: Literal["Issuer"]
    metadata: _Metadata
    spec: _IssuerSpec


class _PrivateKey(_Strict, frozen=True):
    algorithm: Literal["RSA", "ECDSA", "Ed25519"]
    size: Literal[256, 384, 521, 2048, 4096, 8192]
    rotation_policy: Literal["Never", "Always"]


class _IssuerReference(_Strict, frozen=True):
    name: str
    kind: Literal["Issuer", "ClusterIssuer"]
    group: Literal["cert-manager.io"]


_Duration = Annotated[str, Meta(pattern=r"^[0-9]+h$")]


class _CertificateSpec(_Strict, frozen=True):
    secret_name: str
    issuer_ref: _IssuerReference
    private_key: _PrivateKey
    duration: _Duration
    renew_before: _Duration | None = None
    common_name: str | None = None
    dns_names: list[str] = []
    is_ca: bool = msgspec.field(default=False, name="isCA")
    usages: list[Literal["digital signature", "key encipherment", "cert sign", "server auth", "client auth"]] = []


class _Certificate(_Strict, frozen=True):
    api_version: Literal["cert-manager.io/v1"]
    kind: Literal["Certificate"]
    metadata: _Metadata
    spec: _CertificateSpec


def _check_certificate(manifest: Manifest) -> None:
    kinds: dict[str, Any] = {"Issuer": _Issuer, "Certificate": _Certificate}
    if manifest["kind"] not in kinds:
        raise Invalid(f"{manifest['apiVersion']} knows no {manifest['kind']}")
    try:
        msgspec.convert(manifest, kinds[manifest["kind"]])
    except msgspec.ValidationError as error:
        raise Invalid(str(error)) from None
