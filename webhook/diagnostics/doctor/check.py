"""The decorator for checks."""

import functools
from collections.abc import Callable, Iterator

from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, or_unknown

Check = Callable[[InstallationSnapshot], Iterator[Finding]]


def check(subject: str, unknown: Code) -> Callable[[Check], Check]:
    """Turn the first `NotReadable` that a check raises into a `?` finding with this subject and code."""

    def decorate(function: Check) -> Check:
        @functools.wraps(function)
        def run(snapshot: InstallationSnapshot) -> Iterator[Finding]:
            return or_unknown(subject, unknown, function(snapshot))

        return run

    return decorate
