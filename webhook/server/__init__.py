"""The HTTPS server: from a request to a decision and back. It never reaches a cluster, a registry or a credential."""
