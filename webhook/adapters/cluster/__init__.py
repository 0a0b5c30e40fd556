"""The API server, as far as the sidecar and whoever takes it away need it.

`client` sends requests and knows the Kubernetes client, alone in this program; `objects` decodes the few fields that
somebody reads; the others say what is asked. Every failure is a `ClusterError`, so that nobody further in knows a
status code.
"""
