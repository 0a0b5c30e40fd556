"""The Kubernetes API: objects and manifests as values, and, in `client` and above, requests to the API server.

`client` alone imports the Kubernetes client. Every failure is a `ClusterError`, so that no caller handles HTTP
status codes.
"""
