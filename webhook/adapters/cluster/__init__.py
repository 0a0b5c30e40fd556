"""The API server, as far as the sidecar needs it.

`client` sends requests and knows the Kubernetes client, alone in this program; `objects` decodes the few fields that
somebody reads; `api` is what others use. Every failure is a `ClusterError`, so that nobody further in knows a status
code.
"""
