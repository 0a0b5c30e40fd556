"""The Kubernetes API: objects and manifests as values, and, in `client` and above, requests to the API server.

Only `kubernetes_client` and `kubeconfig_credentials` import the Kubernetes client. Every failed request is a
`ClusterError`, so that no caller handles HTTP status codes.
"""
