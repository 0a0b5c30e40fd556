"""registry-webhook: a Kubernetes mutating admission webhook that makes Pods pull from a private registry.

`.importlinter` has the layers, each importing only from those below it, and docs/architecture.md explains them. From
`admission_policy` down packages are pure: values in, values out, no I/O and no clock of their own.
"""

__version__ = "0.1.0"
