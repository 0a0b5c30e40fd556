"""Drift reports for tests of their output."""

from webhook.diagnostics.drift.analysis import Counts, NamespaceDrift, OwnerDrift, Report
from webhook.diagnostics.evaluate import Change
from webhook.diagnostics.running_pods import Cause


def drift_report(name: str = "team-a", owners: int = 1, pods: int = 10) -> Report:
    """Return a report in which every string is or contains `name`."""
    change = Change(f"container {name}", f"{name}/nginx", f"registry.example.com/{name}")
    every = tuple(
        OwnerDrift(
            *(f"Kind{name}", f"{name}-{number}", name),
            pods=2,
            drifted=1,
            lacking_secret=1,
            causes={Cause.MISSED: 1},
            changes=(change,),
            names=(name,),
            command=name,
            note=name,
        )
        for number in range(owners)
    )
    counts = Counts(
        pods=pods, current=pods - owners, drifted=owners, images=owners, lacking_secret=owners, missed=owners
    )
    others = Counts(pods=3, not_selected=3, would_change=2)
    namespaces = (
        NamespaceDrift(name, selected=True, why=name, counts=counts, owners=every),
        NamespaceDrift(f"{name}-other", selected=False, why=name, counts=others, owners=()),
    )
    totals = Counts(pods + 3, pods - owners, owners, owners, owners, owners, 0, 3, 2)
    return Report(name, name, "0123456789ab", name, (name,), totals, namespaces, {name: 3, "docker.io": 1})
