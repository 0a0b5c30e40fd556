"""The sidecar: reads the credential, and keeps the pull secret current in every served namespace."""
