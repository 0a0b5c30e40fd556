"""Versions of Kubernetes, and the first one that has what a generated policy needs."""

import re
from typing import NamedTuple, Self

#: `v1.30.14`, `v1.33.4-gke.1172000` and `1.30`.
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:[.+-].*)?", re.ASCII)


class KubernetesVersion(NamedTuple):
    """A release of Kubernetes without its patch level."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the version in a tag or an API server's `gitVersion`; None if it is not one."""
        found = _VERSION.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


#: The oldest supported version: ValidatingAdmissionPolicy in v1, which limits the refresher's ServiceAccount.
OLDEST = KubernetesVersion(1, 30)
#: CEL's comprehensions with two variables, such as `transformList`, which the expressions of both policies use.
#: https://kubernetes.io/docs/reference/using-api/cel/#cel-options-language-features-and-libraries
POLICY_GUARD = KubernetesVersion(1, 33)
#: MutatingAdmissionPolicy in v1.
POLICY_MUTATE = KubernetesVersion(1, 36)
