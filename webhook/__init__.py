"""registry-webhook: a Kubernetes mutating admission webhook that makes Pods pull from a private registry.

`.importlinter` lists the layers, each of which imports only from those below. docs/explanation/architecture.md explains
them. From `admission_policy` down, packages are pure: no I/O, no clock.
"""

__version__ = "0.1.0"
