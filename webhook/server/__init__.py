"""The HTTPS server, from a request to a response. It must not import cluster, registry or credential code."""
